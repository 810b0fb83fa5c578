"""A library of bodies made of boxes, so that crowds are tested without anny.

A test file takes the fixture `box_library` by
`box_library = runpy.run_path("…/box_people.py")["box_library"]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh

from keypointnet.people.atlas import rasterised
from keypointnet.people.bodies import BODIES, draw_phenotypes, library_file
from keypointnet.shapes.person_points import PERSON_POINTS

# Bone: its parent, where it begins and ends, metres, of the left side (-x), and how thick it is.
TRUNK = {
    "root": ("", (0, 0.95, 0), (0, 1.0, 0), 0.28),
    "spine05": ("root", (0, 1.0, 0), (0, 1.2, 0), 0.28),
    "spine01": ("spine05", (0, 1.2, 0), (0, 1.45, 0), 0.3),
    "neck01": ("spine01", (0, 1.45, 0), (0, 1.52, 0), 0.1),
    "head": ("neck01", (0, 1.52, 0), (0, 1.75, 0), 0.18),
}
LIMBS = {
    "clavicle": ("spine01", (-0.05, 1.42, 0), (-0.18, 1.42, 0), 0.08),
    "upperarm01": ("clavicle", (-0.18, 1.42, 0), (-0.38, 1.2, 0), 0.09),
    "lowerarm01": ("upperarm01", (-0.38, 1.2, 0), (-0.55, 1.0, -0.05), 0.08),
    "wrist": ("lowerarm01", (-0.55, 1.0, -0.05), (-0.62, 0.92, -0.07), 0.07),
    "upperleg01": ("root", (-0.1, 0.93, 0), (-0.13, 0.5, 0), 0.14),
    "lowerleg01": ("upperleg01", (-0.13, 0.5, 0), (-0.15, 0.1, 0.02), 0.11),
    "foot": ("lowerleg01", (-0.15, 0.1, 0.02), (-0.15, 0.04, -0.16), 0.08),
}
PLACES = {
    "nose": ("head", 0.4),
    "eye": ("head", 0.6),
    "ear": ("head", 0.6),
    "shoulder": ("upperarm01.L", 0.0),
    "elbow": ("lowerarm01.L", 0.0),
    "wrist": ("wrist.L", 0.0),
    "hip": ("upperleg01.L", 0.0),
    "knee": ("lowerleg01.L", 0.0),
    "ankle": ("foot.L", 0.0),
}


def bones() -> dict[str, tuple[str, np.ndarray, np.ndarray, float]]:
    """Name -> parent, beginning, end, thickness, parents first."""
    result = {
        n: (p, np.array(a, float), np.array(b, float), t) for n, (p, a, b, t) in TRUNK.items()
    }
    for letter, sign in (("L", 1.0), ("R", -1.0)):
        mirror = np.array([sign, 1.0, 1.0])
        for name, (parent, a, b, thick) in LIMBS.items():
            above = parent if parent in TRUNK else f"{parent}.{letter}"
            result[f"{name}.{letter}"] = (above, mirror * a, mirror * b, thick)
    return result


def write_box_library(folder: Path) -> None:
    """The file that open_library() finds in the folder."""
    skeleton = bones()
    names = list(skeleton)
    vertices, faces, owners, parts = [], [], [], []

    def add(mesh: trimesh.Trimesh, bone: int, part: int = 0) -> None:
        faces.append(np.asarray(mesh.faces) + sum(map(len, vertices)))
        vertices.append(np.asarray(mesh.vertices))
        owners.append(np.full(len(mesh.vertices), bone))
        parts.append(np.full(len(mesh.faces), part, np.uint8))

    for b, (_, start, end, thick) in enumerate(skeleton.values()):
        length = float(np.linalg.norm(end - start))
        mesh = trimesh.creation.box((thick, thick, length)).subdivide().subdivide()
        mesh.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], end - start))
        mesh.apply_translation((start + end) / 2)
        add(mesh, b)
    for part, x in ((1, -0.03), (2, 0.03)):
        eye = trimesh.creation.icosphere(1, 0.012)
        eye.apply_translation((x, 1.66, -0.085))
        add(eye, names.index("head"), part)
    points, triangles = np.concatenate(vertices), np.concatenate(faces)
    part = np.concatenate(parts)
    middle = points[triangles].mean(axis=1)
    mouth = (np.abs(middle[:, 1] - 1.57) < 0.03) & (middle[:, 2] < -0.08) & (part == 0)
    assert mouth.any()
    part[mouth] = 3
    owner = np.concatenate(owners)
    joints = np.zeros((17, len(points)))
    for k, name in enumerate(PERSON_POINTS.names):
        side, _, joint = name.rpartition("_")
        bone, share = PLACES[joint]
        sign = -1.0 if side == "right" else 1.0
        _, start, end, _ = skeleton[bone]
        at = (start + share * (end - start)) * [sign if bone.endswith(".L") else 1.0, 1.0, 1.0]
        at = at + {"nose": (0, 0, -0.1), "eye": (-0.03 * sign, 0, -0.09),
                   "ear": (-0.09 * sign, 0, 0)}.get(joint, (0, 0, 0))  # fmt: skip
        joints[k, np.argsort(np.linalg.norm(points - at, axis=1))[:4]] = 0.25
    cells = int(np.ceil(np.sqrt(len(triangles))))
    corner = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])
    row, column = np.divmod(np.arange(len(triangles)), cells)
    uv = ((np.stack([column, row], 1)[:, None] + corner) / cells).reshape(-1, 2)
    corner_faces = np.arange(3 * len(triangles)).reshape(-1, 3)
    texels, texel_faces, texel_shares = rasterised(uv, corner_faces)
    sizes = np.linspace(0.7, 1.1, BODIES)
    heads = np.stack([start for _, start, _, _ in skeleton.values()])
    middle_body = np.array([0, 0.9, 0])
    arrays = {
        "rest": np.rint(sizes[:, None, None] * (points - middle_body) / 6e-5).astype(np.int16),
        "heads": sizes[:, None, None] * (heads - middle_body),
        "phenotypes": draw_phenotypes(BODIES, np.random.default_rng(0)),
        "faces": triangles,
        "face_parts": part,
        "bones": np.array(names),
        "parents": np.array([names.index(p) if p else -1 for p, *_ in skeleton.values()]),
        "corners": triangles.ravel(),
        "corner_faces": corner_faces,
        "uv": uv.astype(np.float32),
        "texels": texels,
        "texel_faces": texel_faces,
        "texel_shares": texel_shares,
        "weights_data": np.ones(len(points)),
        "weights_indices": owner,
        "weights_indptr": np.arange(len(points) + 1),
        "weights_shape": np.array([len(points), len(names)]),
        "joints_data": joints.ravel(),
        "joints_indices": np.tile(np.arange(len(points)), 17),
        "joints_indptr": len(points) * np.arange(18),
        "joints_shape": np.array(joints.shape),
    }
    np.savez(library_file(folder), **arrays)


@pytest.fixture(scope="module")
def box_library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """ANNY_CACHE_DIR is a folder with the library as long as the module's tests run."""
    folder = tmp_path_factory.mktemp("bodies")
    write_box_library(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANNY_CACHE_DIR", str(folder))
        yield folder
