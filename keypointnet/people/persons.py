"""One person of a crowd: a body, a pose and a look, ready to be drawn and to be put somewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual.color import ColorVisuals
from trimesh.visual.material import SimpleMaterial
from trimesh.visual.texture import TextureVisuals

from keypointnet.people.anatomy import Anatomy, Sites
from keypointnet.people.bodies import BodyLibrary
from keypointnet.people.clothes import paint, stand_off, worn
from keypointnet.people.contact import Surface
from keypointnet.people.looks import Look, draw_look
from keypointnet.people.poses import draw_pose
from keypointnet.people.skinning import bone_transforms, skinned, vertex_normals
from keypointnet.shapenet.models import Model

_EVERY = 17  # so many vertices for one that stands for them in tests of contact
_UPRIGHT = ("standing", "walking", "hugging")
_SPOKES, _RINGS = 40, 12
_DRAPING = 10  # times that cloth is smoothed ...
_SHOE_MAKING = 25  # ... and that shoes are, further


@dataclass(frozen=True)
class Person:
    """Somebody, in the object frame: metres, what is lowest at y = 0, hips over the origin.

    Attributes:
        kind: of the pose, one of poses.POSES.
        model: what is drawn.
        joints: (17, 3) COCO's, inside the body.
        surface: for tests of contact.
        limbs: groups of points on the surface whose hulls make up a shadow.
        seat_m: the height of what one sits on, 0 for other poses.
    """

    id: str
    kind: str
    model: Model
    joints: np.ndarray
    surface: Surface
    limbs: tuple[np.ndarray, ...]
    seat_m: float


def make_person(
    library: BodyLibrary,
    anatomy: Anatomy,
    name: str,
    kind: str,
    body: int,
    rng: np.random.Generator,
) -> Person:
    """A person.

    Args:    anatomy: the library's.  kind: of the pose.  body: which of the library's.
             rng: decides the pose and the look.
    """
    rest = library.at_rest(body)
    gender, age = library.phenotypes[body, :2]
    angles = draw_pose(kind, rng)
    look = draw_look(rng, gender, age, skirts=kind in _UPRIGHT)
    sites = anatomy.vertices
    size = np.ptp(rest[:, 1]) / np.ptp(library.mean[:, 1])
    normals = vertex_normals(rest, library.faces)
    off = size * stand_off(sites, look, anatomy.points)
    dressed = draped(rest, off, normals, sites, look, anatomy, library)
    moves = bone_transforms(angles, library.heads[body], library.parents, library.bones)
    bare = skinned(rest, library.weights, *moves)
    vertices = skinned(dressed, library.weights, *moves)
    joints = library.joints @ bare
    shift = -(joints[11] + joints[12]) / 2
    shift[1] = -vertices[:, 1].min()
    vertices, joints = vertices + shift, joints + shift
    normals = vertex_normals(vertices, library.faces)
    texture = Image.fromarray(paint(anatomy, look, rng))
    white = [255, 255, 255, 255]
    corners = library.corners
    mesh = trimesh.Trimesh(
        vertices[corners],
        library.corner_faces,
        vertex_normals=normals[corners],
        visual=TextureVisuals(
            uv=library.uv, material=SimpleMaterial(image=texture, diffuse=white, ambient=white)
        ),
        metadata={"closed": True},
        process=False,
        validate=False,
    )
    meshes = [mesh]
    if look.skirt:
        meshes.append(_skirt(vertices, sites, look, rng))
    few = slice(None, None, _EVERY)
    seat = vertices[(sites["legs"] > 0.3) & (sites["leg"] < 0.3), 1].min()
    return Person(
        id=name,
        kind=kind,
        model=Model(name, meshes),
        joints=joints,
        surface=Surface(vertices[few], normals[few]),
        limbs=tuple(vertices[chosen][few] for chosen in _limb_masks(sites)),
        seat_m=float(seat) if kind == "sitting" else 0.0,
    )


def draped(
    rest: np.ndarray,
    off: np.ndarray,
    normals: np.ndarray,
    sites: Sites,
    look: Look,
    anatomy: Anatomy,
    library: BodyLibrary,
) -> np.ndarray:
    """A body at rest with what it wears: cloth spans hollows, shoes hide toes.

    Args:    rest, normals: (V, 3) of the bare body.  off: (V,) m, how far things stand off it.
    Returns: (V, 3), nowhere within the bare body by more than cloth can be.
    """
    on = worn(sites, look, anatomy.points)
    cloth = on.top | on.bottom | on.shoes
    smooth = rest + off[:, None] * normals
    result = smooth.copy()
    for step in range(_DRAPING):
        smooth = library.neighbours @ smooth
        if step == _DRAPING // 2:
            result[cloth] = smooth[cloth]
    shoes = np.flatnonzero(on.shoes)
    around = library.neighbours[shoes]
    for _ in range(_SHOE_MAKING):
        smooth[shoes] = around @ smooth
    result[shoes] = smooth[shoes] + 0.004 * normals[shoes]
    sunk = np.minimum(((result - rest) * normals).sum(axis=1) - 0.3 * off, 0.0)
    sunk[on.shoes] = 0.0  # toes are drawn in
    return np.asarray(np.where(cloth[:, None], result - sunk[:, None] * normals, result))


def _limb_masks(sites: Sites) -> list[np.ndarray]:
    left = sites["x"] < 0
    limbs = []
    for along, part in (("arm", "arms"), ("leg", "legs")):
        on = sites[part] > 0.5
        upper = sites[along] < 0.5
        limbs += [on & side & half for side in (left, ~left) for half in (upper, ~upper)]
    on_head = sites["head"] > 0.5
    trunk = (sites["arms"] < 0.6) & (sites["legs"] < 0.6) & ~on_head
    return [*limbs, on_head, trunk]


def _skirt(
    vertices: np.ndarray, sites: Sites, look: Look, rng: np.random.Generator
) -> trimesh.Trimesh:
    """A tube round hips and both legs of somebody upright, wide enough for them."""
    leg = np.where(sites["legs"] > 0.3, sites["leg"], -0.08)
    hips = (
        (sites["arms"] < 0.1) & (sites["head"] < 0.1) & (sites["y"] < np.median(sites["y"]) + 0.2)
    )
    angle = np.linspace(0, 2 * np.pi, _SPOKES, endpoint=False)
    spokes = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    flare, folds = rng.uniform(0.0, 0.09), rng.integers(5, 11)
    rings: list[tuple[np.ndarray, np.ndarray]] = []
    for t in np.linspace(0.0, look.skirt, _RINGS):
        near = vertices[hips & (np.abs(leg - t) < 0.06)]
        if len(near) < 3:
            continue
        middle = near[:, [0, 2]].mean(axis=0)
        reach = ((near[:, [0, 2]] - middle) @ spokes.T).max(axis=0)
        wave = 1 + 0.25 * np.sin(folds * angle)
        reach = reach + 0.008 + (0.25 * look.bottom.loose_m + flare * t) * wave
        if rings:  # cloth that hangs does not narrow
            reach = np.maximum(reach, 0.97 * rings[-1][1])
        rings.append((np.array([middle[0], near[:, 1].mean(), middle[1]]), reach))
    points = np.concatenate(
        [
            np.stack([c[0] + r * spokes[:, 0], np.full(_SPOKES, c[1]), c[2] + r * spokes[:, 1]], 1)
            for c, r in rings
        ]
    )
    index = np.arange(len(rings) * _SPOKES).reshape(len(rings), _SPOKES)
    a, b = index[:-1], np.roll(index[:-1], -1, axis=1)
    c, d = index[1:], np.roll(index[1:], -1, axis=1)
    faces = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)]).reshape(-1, 3)
    second = (
        np.arange(len(rings)) % 4 < 2
        if look.bottom.pattern == "stripes"
        else np.zeros(len(rings), bool)
    )
    colours = np.where(second[:, None], look.bottom.colours[1], look.bottom.colours[0])
    rgba = np.concatenate([np.rint(255 * colours), np.full((len(rings), 1), 255)], axis=1)
    return trimesh.Trimesh(
        points,
        faces,
        vertex_normals=vertex_normals(points, faces),
        visual=ColorVisuals(vertex_colors=np.repeat(rgba.astype(np.uint8), _SPOKES, axis=0)),
        process=False,
        validate=False,
    )
