"""Pictures of crowds of made-up people, with the truth about everybody.

As in views/scenes.py everything random about a picture derives from (seed, its number), and people
are made in two steps: a block of BLOCK consecutive pictures has POOL people and THINGS pieces of
furniture, and each of its pictures takes some of those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from keypointnet.people.contact import Surface, is_clear
from keypointnet.people.crowd_layout import (
    TOUCH_M,
    draw_level,
    draw_view,
    guessed_max_iou,
    joint_codes,
    level_of,
    look_at_crowd,
    place_people,
    placement,
)
from keypointnet.people.crowd_settings import POOL, THINGS, CrowdSettings
from keypointnet.people.furniture import KINDS, Thing, make_seat, make_thing
from keypointnet.people.persons import Person, make_person
from keypointnet.people.poses import draw_kinds
from keypointnet.people.studied import studied_library
from keypointnet.views.backdrops import Backdrops
from keypointnet.views.backgrounds import darkened
from keypointnet.views.generate import model_rng
from keypointnet.views.lights import Lights, random_lights
from keypointnet.views.occlusion import boxes_of_annotated, max_ious
from keypointnet.views.rendering import PlacedModel, UploadedModel
from keypointnet.views.scene_layout import SceneLayout
from keypointnet.views.scene_rendering import RenderedScene, SceneRenderer
from keypointnet.views.scenes import BLOCK, Scene, over, pixel_box, project

PAIRS = 16
"""Ways in which two people are put before each other until their boxes overlap as they should."""

TRIES = 8
"""Layouts that are tried for a picture of a level; the last one is taken as it is."""

_WIDE = 6  # the first of a hard picture is the widest of so many
_FEWER = 2  # people, each time that a try fails at a level other than easy


@dataclass(frozen=True)
class _Shown:
    """Somebody or something of a picture."""

    what: Person | Thing
    upload: UploadedModel
    T_obj2world: np.ndarray

    @property
    def surface(self) -> Surface:
        return self.what.surface.placed(self.T_obj2world)


class CrowdMaker:
    """Makes the pictures of one folder, by number. Use as a context manager.

    Attributes:
        unreadable: file name -> why, of backgrounds that could not be used; others took their
            places.
    """

    def __init__(self, settings: CrowdSettings, backgrounds: Sequence[Path] = ()) -> None:
        """Open the graphics system and the library of bodies.

        Args:    backgrounds: pictures; made up without any.
        Raises:  ValueError (PeopleError is one): a size that cannot be drawn, no such bodies, or
                 no library.  RenderingError: no graphics system.
        """
        self._settings = settings
        self._library, self._anatomy = studied_library()
        if settings.bodies[1] > len(self._library):
            raise ValueError(
                f"CrowdMaker: bodies must end at {len(self._library)} at most, as many there are; "
                f"got {settings.bodies}"
            )
        self._renderer = SceneRenderer(*settings.size, supersample=settings.supersample)
        self._block: tuple[int, _Block] | None = None
        self.unreadable: dict[str, str] = {}
        self._backdrops = Backdrops(backgrounds, self.unreadable)

    def __enter__(self) -> CrowdMaker:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave_block()
        self._renderer.close()

    def make(self, number: int) -> Scene:
        """Picture `number`, the same whatever was made before."""
        settings = self._settings
        block = self._open_block(number // BLOCK)
        rng = model_rng(settings.seed, str(number), "crowd")
        level = draw_level(rng, settings.layout)
        low, high = settings.layout.people
        count = int(rng.integers(low if level == "easy" else max(low, 2), high + 1))
        for attempt in range(TRIES):
            fewer = min(_FEWER * attempt, count - 2) if level != "easy" else 0
            people, things, layout = self._draw(block, count - fewer, level, rng)
            placed = [PlacedModel(one.upload, one.T_obj2world) for one in [*people, *things]]
            masks = self._renderer.render_masks(placed, layout.T_world2cam, layout.K_px)
            boxes = boxes_of_annotated(*masks[:2], len(people))
            if boxes and level_of(max(max_ious(boxes))) == level:
                break
        lights, towards_lamp = _lights(layout.T_world2cam, rng)
        rendered = RenderedScene(
            self._renderer.render_colours(placed, layout.T_world2cam, layout.K_px, lights), *masks
        )
        background = self._backdrops.draw(settings.size, layout, rng)
        shadows = _shadows([*people, *things], layout, towards_lamp)
        background = darkened(background, shadows, settings.shadow * rng.uniform(0.5, 1.0))
        joints = np.stack([one.what.joints for one in people if isinstance(one.what, Person)])
        points_px, codes = joint_codes(joints, layout, rendered.nearest, rendered.depth)
        absent = np.full((len(things), *joints.shape[1:]), np.nan)
        return Scene(
            picture=over(rendered.rgba, background),
            nearest=rendered.nearest,
            covered=rendered.covered,
            layout=layout,
            models=tuple(one.what.id for one in [*people, *things]),
            boxes_px=np.stack(
                [
                    pixel_box(project(one.what.surface.points, one.T_obj2world, layout)[0])
                    for one in [*people, *things]
                ]
            ),
            points_obj=np.concatenate([joints, absent]),
            points_px=np.concatenate([points_px, absent[..., :2]]),
            visibility=np.concatenate([codes, np.zeros(absent.shape[:2], np.uint8)]),
            occluders=len(things),
        )

    def _draw(
        self, block: _Block, count: int, level: str, rng: np.random.Generator
    ) -> tuple[list[_Shown], list[_Shown], SceneLayout]:
        """People and things in their places, and the camera."""
        azimuth = rng.uniform(0, 2 * math.pi)
        sight = -np.array([math.sin(azimuth), math.cos(azimuth)])
        chosen = _chosen([person for person, _ in block.people], count, level, rng)
        drawn = [block.people[i] for i in chosen]
        surfaces = [_with_seat(person, block) for person, _ in drawn]
        hugs = [person.kind == "hugging" for person, _ in drawn]
        view = draw_view(rng, self._settings.layout)
        size = self._settings.size
        settled: list[np.ndarray] = []
        for _ in range(PAIRS if level != "easy" else 0):
            settled = place_people(surfaces[:2], hugs[:2], sight, level, rng)
            both = [
                person.surface.placed(T) for (person, _), T in zip(drawn, settled, strict=False)
            ]
            camera = look_at_crowd(np.concatenate([s.points for s in both]), sight, view, size)
            if level_of(guessed_max_iou(both, *camera, size)) == level:
                break
            view = draw_view(rng, self._settings.layout)
        places = place_people(surfaces, hugs, sight, level, rng, settled)
        people = [_Shown(*one, T) for one, T in zip(drawn, places, strict=False)]
        things = [
            _Shown(*block.seats[one.what.id], one.T_obj2world)
            for one in people
            if one.what.id in block.seats
        ]
        things += self._obstacle(block, [*people, *things], sight, rng)
        points = np.concatenate([one.surface.points for one in people])
        camera = look_at_crowd(points, sight, view, size)
        T_obj2world = np.stack([one.T_obj2world for one in [*people, *things]])
        return people, things, SceneLayout(T_obj2world, *camera)

    def _obstacle(
        self,
        block: _Block,
        there: list[_Shown],
        sight: np.ndarray,
        rng: np.random.Generator,
    ) -> list[_Shown]:
        """A thing before somebody, if the picture is to have one and there is room."""
        if rng.random() >= self._settings.layout.furniture or not block.things:
            return []
        thing, upload = block.things[int(rng.integers(len(block.things)))]
        hidden = there[int(rng.integers(len(there)))]
        yaw, nearer, aside = rng.uniform(0, 2 * math.pi), rng.uniform(0.35, 0.9), rng.normal(0, 0.3)
        for _ in range(8):
            spot = hidden.T_obj2world[[0, 2], 3] - nearer * sight
            spot = spot + aside * np.array([-sight[1], sight[0]])
            shown = _Shown(thing, upload, placement(yaw, *spot))
            if all(is_clear(shown.surface, other.surface, TOUCH_M) for other in there):
                return [shown]
            nearer += 0.15
        return []

    def _open_block(self, block: int) -> _Block:
        if self._block is None or self._block[0] != block:
            self._leave_block()
            rng = model_rng(self._settings.seed, str(block), "people")
            self._block = block, self._made(block, rng)
        return self._block[1]

    def _leave_block(self) -> None:
        if self._block is not None:
            self._block[1].uploads.close()
        self._block = None

    def _made(self, number: int, rng: np.random.Generator) -> _Block:
        uploads = ExitStack()

        def uploaded(thing: Any) -> tuple[Any, UploadedModel]:
            return thing, uploads.enter_context(self._renderer.upload(thing.model))

        kinds = draw_kinds(POOL, rng)
        people: list[tuple[Person, UploadedModel]] = []
        seats: dict[str, tuple[Thing, UploadedModel]] = {}
        for i, kind in enumerate(kinds):
            body = int(rng.integers(*self._settings.bodies))
            name = f"body-{body:03d}-{kind.replace(' ', '-')}-{number}-{i}"
            person = make_person(self._library, self._anatomy, name, kind, body, rng)
            people.append(uploaded(person))
            if person.seat_m:
                seats[name] = uploaded(make_seat(f"seat-{number}-{i}", person.seat_m, rng))
        things = [
            uploaded(make_thing(f"{kind}-{number}-{i}", str(kind), rng))
            for i, kind in enumerate(rng.choice(KINDS, THINGS))
        ]
        return _Block(people, seats, things, uploads)


@dataclass(frozen=True)
class _Block:
    people: list[tuple[Person, UploadedModel]]
    seats: dict[str, tuple[Thing, UploadedModel]]
    things: list[tuple[Thing, UploadedModel]]
    uploads: ExitStack


def _chosen(
    people: Sequence[Person], count: int, level: str, rng: np.random.Generator
) -> list[int]:
    """Some of a block's people, those who hug beside each other.

    Boxes overlap most where they are alike and wide: levels other than easy begin with two alike,
    hard ones with two who stretch out.
    """
    order = rng.permutation(len(people)).tolist()
    if level == "hard":
        stretch = [np.ptp(people[i].surface.points, axis=0)[[0, 2]].max() for i in order[:_WIDE]]
        order.insert(0, order.pop(int(np.argmax(stretch))))
    chosen: list[int] = []
    while order and len(chosen) < count:
        chosen.append(order.pop(0))
        first = people[chosen[-1]]
        mate = None
        if first.kind == "hugging" and (level != "hard" or len(chosen) > 1) and len(chosen) < count:
            mate = next((i for i in order if people[i].kind == "hugging"), None)
        elif len(chosen) == 1 and level != "easy":
            size = np.ptp(first.surface.points, axis=0)
            sizes = np.array([np.ptp(people[i].surface.points, axis=0) for i in order])
            unlike = np.abs(sizes - size).max(axis=1)
            if level == "hard":  # the one behind is a little taller
                unlike = np.abs(sizes[:, 1] - 1.07 * size[1])
            mate = order[int(np.argmin(unlike))]
        if mate is not None and len(chosen) < count:
            order.remove(mate)
            chosen.append(mate)
    return chosen


def _with_seat(person: Person, block: _Block) -> Surface:
    """Where nobody else can be."""
    if person.id not in block.seats:
        return person.surface
    seat = block.seats[person.id][0].surface
    return Surface(
        np.concatenate([person.surface.points, seat.points]),
        np.concatenate([person.surface.normals, seat.normals]),
    )


def _lights(T_world2cam: np.ndarray, rng: np.random.Generator) -> tuple[Lights, np.ndarray]:
    """Lights whose lamp stands above the crowd, and the way to it in the world, (3,) unit."""
    lights = random_lights(rng)
    height, azimuth = math.radians(rng.uniform(35, 80)), rng.uniform(0, 2 * math.pi)
    flat = math.cos(height)
    way = np.array([flat * math.sin(azimuth), math.sin(height), flat * math.cos(azimuth)])
    x, y, z = (T_world2cam[:3, :3] @ way).tolist()
    return Lights(lights.sky, lights.ground, lights.lamp, (x, y, z)), way


def _shadows(
    shown: Sequence[_Shown], layout: SceneLayout, towards_lamp: np.ndarray
) -> list[np.ndarray]:
    """Convex polygons, px, that everybody's limbs and all things cast on the ground."""
    polygons = []
    for one in shown:
        groups = one.what.limbs if isinstance(one.what, Person) else (one.what.surface.points,)
        for points in groups:
            if len(points) < 3:
                continue
            T = one.T_obj2world
            world = points @ T[:3, :3].T + T[:3, 3]
            world = world - world[:, 1:2] / towards_lamp[1] * towards_lamp
            px, depth = project(world, np.eye(4), layout)
            if depth.min() > 0.05:
                hull = cv2.convexHull(np.clip(px, -1e4, 1e4).astype(np.float32))
                polygons.append(hull[:, 0].astype(np.float64))
    return polygons
