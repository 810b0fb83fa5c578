"""Pictures of several overlapping objects of one class, with the truth about each.

Everything random about a picture derives from (seed, its number): workers, shards and restarts
give equal bytes. Models are drawn in two steps, so that few have to be in memory: a block of
BLOCK consecutive pictures has a pool of POOL models, and each of its pictures takes some of those.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keypointnet.people.crowd_layout import joint_codes
from keypointnet.shapes import FAMILY_POINTS
from keypointnet.views.backdrops import Backdrops
from keypointnet.views.backgrounds import darkened
from keypointnet.views.generate import model_rng
from keypointnet.views.lights import random_lights
from keypointnet.views.rendering import PlacedModel, UploadedModel
from keypointnet.views.scene_layout import SceneLayout, SceneRange, box_corners, draw_layout
from keypointnet.views.scene_rendering import RenderedScene, SceneRenderer
from keypointnet.views.sources import ModelSource

BLOCK = 24
POOL = 48
_KEPT_MODELS = 64  # uploaded at one time
_DEPTH_TOLERANCE = 0.04  # of a point before what is seen there, for a model of scale 1; world units


@dataclass(frozen=True)
class SceneSettings:
    """What all pictures of a folder have in common; written to its scenes.json.

    Attributes:
        size: (h, w) px.
        seed: of everything random.
        layout: what scenes are drawn.
        shadow: how dark the ground is under the objects, 0..1.
        quality: of the JPEG files, 1..100.
        supersample: samples along each axis of a pixel.

    Raises:  ValueError: a value outside its range; the message names it.
    """

    size: tuple[int, int] = (256, 256)
    seed: int = 0
    layout: SceneRange = field(default_factory=SceneRange)
    shadow: float = 0.5
    quality: int = 92
    supersample: int = 2

    def __post_init__(self) -> None:
        if min(self.size) < 8:
            raise ValueError(f"SceneSettings: size must be at least 8 x 8 px, got {self.size}")
        if not 0 <= self.shadow <= 1:
            raise ValueError(f"SceneSettings: shadow must be 0 to 1, got {self.shadow}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"SceneSettings: quality must be 1 to 100, got {self.quality}")

    def info(self) -> dict[str, Any]:
        """As JSON holds it."""
        values = asdict(self)
        values["size"] = list(self.size)
        values["layout"] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values["layout"].items()
        }
        return values


@dataclass(frozen=True)
class Scene:
    """A picture of M objects and the truth about them; K named points each, 0 without any.

    Attributes:
        picture: (h, w, 3) uint8 RGB.
        nearest: (h, w) int16: the object seen at the pixel's centre, -1 for the background.
        covered: (h, w) uint32: bit m is set where object m would be seen if it stood alone.
        layout: T_obj2world (M, 4, 4), T_world2cam, K_px.
        models: M ids.
        boxes_px: (M, 4) x1, y1, x2, y2 of each object's projection, the part beyond the picture
            included.
        points_obj: (M, K, 3) object frame; NaN where the model lacks the point.
        points_px: (M, K, 2), pixel centres at +0.5; NaN likewise.
        visibility: (M, K) uint8: 2 seen, 1 hidden by this object or another, 0 lacking or outside
            the picture.
        occluders: how many of the last objects are of no class: they hide others, and that is all.
    """

    picture: np.ndarray
    nearest: np.ndarray
    covered: np.ndarray
    layout: SceneLayout
    models: tuple[str, ...]
    boxes_px: np.ndarray
    points_obj: np.ndarray
    points_px: np.ndarray
    visibility: np.ndarray
    occluders: int = 0


@dataclass(frozen=True)
class _Loaded:
    id: str
    upload: UploadedModel
    vertices: np.ndarray  # (V, 3)
    points: np.ndarray  # (K, 3)

    @property
    def bounds(self) -> np.ndarray:
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])


class SceneMaker:
    """Makes the pictures of one folder, by number. Use as a context manager.

    Attributes:
        unreadable: id -> why, of the models that were drawn and could not be used, and file name
            -> why, of such backgrounds; others took their places.
    """

    def __init__(
        self,
        sources: Sequence[ModelSource],
        settings: SceneSettings,
        backgrounds: Sequence[Path] = (),
    ) -> None:
        """Open the graphics system.

        Args:    sources: all models of the class.  backgrounds: pictures; made up without any.
        Raises:  ValueError: no models, or a size that cannot be drawn.  RenderingError: no
                 graphics system.
        """
        if not sources:
            raise ValueError("SceneMaker: expected at least one model")
        self._sources, self._settings = list(sources), settings
        self._renderer = SceneRenderer(*settings.size, supersample=settings.supersample)
        self._models: OrderedDict[str, tuple[_Loaded, ExitStack]] = OrderedDict()
        self.unreadable: dict[str, str] = {}
        self._backdrops = Backdrops(backgrounds, self.unreadable)

    def __enter__(self) -> SceneMaker:
        return self

    def __exit__(self, *_: object) -> None:
        while self._models:
            self._drop_oldest()
        self._renderer.close()

    def make(self, number: int) -> Scene:
        """Picture `number`, the same whatever was made before.

        Raises:  ValueError: no model can be read, or no background.
        """
        settings = self._settings
        pool = self._pool(number // BLOCK)
        rng = model_rng(settings.seed, str(number), "scene")
        low, high = settings.layout.objects
        count = int(rng.integers(low, high + 1))
        chosen = [pool[i] for i in rng.choice(len(pool), count, replace=count > len(pool))]
        if settings.layout.alike > 0 and rng.random() < settings.layout.alike:
            chosen = chosen[:1] * count
        layout = draw_layout(
            [model.bounds for model in chosen], rng, settings.layout, settings.size
        )
        lights = random_lights(rng)
        placed = [
            PlacedModel(model.upload, T)
            for model, T in zip(chosen, layout.T_obj2world, strict=True)
        ]
        rendered = self._renderer.render(placed, layout.T_world2cam, layout.K_px, lights)
        background = self._background(chosen, layout, rng)
        points_obj = np.stack([model.points for model in chosen])
        points_px, visibility = self._seen(points_obj, layout, rendered)
        return Scene(
            picture=over(rendered.rgba, background),
            nearest=rendered.nearest,
            covered=rendered.covered,
            layout=layout,
            models=tuple(model.id for model in chosen),
            boxes_px=np.stack(
                [
                    pixel_box(project(model.vertices, T, layout)[0])
                    for model, T in zip(chosen, layout.T_obj2world, strict=True)
                ]
            ),
            points_obj=points_obj,
            points_px=points_px,
            visibility=visibility,
        )

    def _seen(
        self, points_obj: np.ndarray, layout: SceneLayout, rendered: RenderedScene
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `seen_points`, or of points inside their objects, as crowds have them."""
        families = {source.family for source in self._sources} & FAMILY_POINTS.keys()
        if any(FAMILY_POINTS[family][0].inside for family in families):
            return joint_codes(points_obj, layout, rendered.nearest, rendered.depth)
        return seen_points(points_obj, layout, rendered)

    def _background(
        self, chosen: Sequence[_Loaded], layout: SceneLayout, rng: np.random.Generator
    ) -> np.ndarray:
        background = self._backdrops.draw(self._settings.size, layout, rng)
        floors = []
        for model, T in zip(chosen, layout.T_obj2world, strict=True):
            corners = box_corners(model.bounds)
            floor = corners[corners[:, 1] == corners[:, 1].min()][[0, 1, 3, 2]]
            floors.append(project(floor, T, layout)[0])
        return darkened(background, floors, self._settings.shadow * rng.uniform(0.4, 1.0))

    def _pool(self, block: int) -> list[_Loaded]:
        """The models of a block of pictures: the first POOL of a shuffle that can be read."""
        rng = model_rng(self._settings.seed, str(block), "pool")
        pool: list[_Loaded] = []
        for index in rng.permutation(len(self._sources)):
            model = self._load(self._sources[index])
            if model is not None:
                pool.append(model)
            if len(pool) == POOL:
                break
        if not pool:
            name, reason = next(iter(self.unreadable.items()))
            raise ValueError(f"no model can be read; {name}: {reason}")
        return pool

    def _load(self, source: ModelSource) -> _Loaded | None:
        if source.id in self.unreadable:
            return None
        if source.id in self._models:
            self._models.move_to_end(source.id)
            return self._models[source.id][0]
        stack = ExitStack()
        try:
            model = source.make()
            upload = stack.enter_context(self._renderer.upload(model))
            points = np.empty((0, 3))
            if source.family in FAMILY_POINTS:
                points = FAMILY_POINTS[source.family][1](model)
        except Exception as error:  # whatever a reader makes of a broken file, the run goes on
            stack.close()
            self.unreadable[source.id] = str(error) or type(error).__name__
            return None
        vertices = np.concatenate([mesh.vertices[np.unique(mesh.faces)] for mesh in model.meshes])
        loaded = _Loaded(source.id, upload, np.asarray(vertices, np.float64), points)
        self._models[source.id] = loaded, stack
        if len(self._models) > _KEPT_MODELS:
            self._drop_oldest()
        return loaded

    def _drop_oldest(self) -> None:
        _, (_, stack) = self._models.popitem(last=False)
        stack.close()


def over(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    """A premultiplied picture, (h, w, 4) uint8, over an opaque one, (h, w, 3) uint8."""
    behind = (background * (255 - rgba[..., 3:].astype(np.uint16)) + 127) // 255
    return np.asarray(np.minimum(rgba[..., :3] + behind, 255).astype(np.uint8))


def project(
    points_obj: np.ndarray, T_obj2world: np.ndarray, layout: SceneLayout
) -> tuple[np.ndarray, np.ndarray]:
    """Points of an object in the picture.

    Args:    points_obj: (n, 3); NaN stays NaN.
    Returns: (n, 2) px, pixel centres at +0.5, and (n,) depth along the optical axis, world units.
    """
    T_obj2cam = layout.T_world2cam @ T_obj2world
    xyz = points_obj @ T_obj2cam[:3, :3].T + T_obj2cam[:3, 3]
    K_px = layout.K_px
    return xyz[:, :2] / xyz[:, 2:] * K_px[[0, 1], [0, 1]] + K_px[:2, 2], xyz[:, 2]


def seen_points(
    points_obj: np.ndarray, layout: SceneLayout, rendered: RenderedScene
) -> tuple[np.ndarray, np.ndarray]:
    """Where the objects' points are in a picture, and which of them are seen.

    A point is seen if, among the four pixels whose centres surround it, one shows its object and
    one shows its object or the background no nearer than the point (corners lie on the outline,
    where the pixel that holds them may belong to what is behind).
    Args:    points_obj: (M, K, 3), NaN where a model lacks the point.
    Returns: (M, K, 2) px, NaN likewise, and (M, K) uint8, as Scene has them.
    """
    h, w = rendered.nearest.shape
    points_px = np.full((*points_obj.shape[:2], 2), np.nan)
    visibility = np.zeros(points_obj.shape[:2], np.uint8)
    for m, T in enumerate(layout.T_obj2world):
        points_px[m], z = project(points_obj[m], T, layout)
        tolerance = _DEPTH_TOLERANCE * float(np.linalg.norm(T[:3, 0]))
        for k, (x, y) in enumerate(points_px[m]):
            if not (0 <= x < w and 0 <= y < h):  # a NaN is not either
                continue
            left, top = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
            window = np.s_[max(top, 0) : top + 2, max(left, 0) : left + 2]
            whose, depth = rendered.nearest[window], rendered.depth[window]
            own = whose == m
            free = (own | (whose < 0)) & (depth >= z[k] - tolerance)
            visibility[m, k] = 2 if own.any() and free.any() else 1
    return points_px, visibility


def pixel_box(points_px: np.ndarray) -> np.ndarray:
    """(n, 2) -> (4,) x1, y1, x2, y2."""
    return np.concatenate([points_px.min(axis=0), points_px.max(axis=0)])
