"""Bodies of all ages and builds, made once with anny and kept in the user's cache.

anny (code Apache-2.0, body data CC0) takes a minute to set itself up and seconds to import, so it
makes a library of bodies at rest, once, and nothing else here needs it: posing is a sparse matrix
product on what the library holds. Its topology "smplx" would fetch non-commercial data and is not
used. The library is the same on every machine up to rounding.

Convention: metres, in the object frame of `keypointnet.shapenet.models` (+Y up, front -Z).
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from keypointnet.people.atlas import rasterised
from keypointnet.shapes.person_points import PERSON_POINTS

BODIES = 256
"""In the library."""

LIBRARY_VERSION = 1

PARTS = ("body", "eye_front.L", "eye_front.R", "mouth_cavity", "tongue")
"""What the faces of the surface belong to, where paint must know it."""

_UNIT_M = 6e-5  # vertices are kept as multiples of it, in 16 bits
_BATCH = 8
_PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")


class PeopleError(ValueError):
    """The bodies cannot be made; the message says what to do."""


@dataclass(frozen=True)
class BodyLibrary:
    """N bodies of one topology: V vertices, F triangles, B bones, W corners of the texture.

    Attributes:
        rest: (N, V, 3) int16, multiples of 0.06 mm.  heads: (N, B, 3) where bones begin.
        phenotypes: (N, 6): gender (0 male, 1 female), age (1/3 child, 2/3 young, 1 old), muscle,
            weight, height and proportions, 0..1.
        faces: (F, 3).  face_parts: (F,) places among PARTS.
        bones: B names.  parents: B, -1 for the first.
        weights: (V, B).  joints: (17, V), of PERSON_POINTS.
        corners: (W,) the vertex of each corner, for a vertex on a seam has several.
        corner_faces: (F, 3) the triangles, of corners.  uv: (W, 2), v up.
        texels: (n,) those of the texture's TEXELS² that are used.  texel_faces: (n,) the triangle
            under each.  texel_shares: (n, 3) where in it.
    """

    rest: np.ndarray
    heads: np.ndarray
    phenotypes: np.ndarray
    faces: np.ndarray
    face_parts: np.ndarray
    bones: tuple[str, ...]
    parents: tuple[int, ...]
    weights: csr_array
    joints: csr_array
    corners: np.ndarray
    corner_faces: np.ndarray
    uv: np.ndarray
    texels: np.ndarray
    texel_faces: np.ndarray
    texel_shares: np.ndarray

    def __len__(self) -> int:
        return len(self.rest)

    def at_rest(self, body: int) -> np.ndarray:
        """(V, 3) float64 metres."""
        return np.asarray(self.rest[body] * _UNIT_M)

    @cached_property
    def neighbours(self) -> csr_array:
        """(V, V): times values at vertices, the mean of each vertex's neighbours' values."""
        ends = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        rows, columns = np.concatenate([ends, ends[:, ::-1]]).T
        size = self.rest.shape[1]
        links = csr_array((np.ones(len(rows)), (rows, columns)), shape=(size, size))
        links.data[:] = 1.0  # once for each neighbour, though two triangles share an edge
        return csr_array(links.multiply(1.0 / np.maximum(links.sum(axis=1), 1.0)[:, None]))

    @cached_property
    def mean(self) -> np.ndarray:
        """(V, 3) the mean of all bodies at rest: where on a body a vertex is, whoever's it is."""
        return np.asarray(self.rest.mean(axis=0) * _UNIT_M)

    @cached_property
    def mean_heads(self) -> dict[str, np.ndarray]:
        """Bone -> (3,) where it begins in the mean body."""
        return dict(zip(self.bones, self.heads.mean(axis=0), strict=True))


def cache_folder() -> Path:
    """Where the library and anny's own files are kept: $ANNY_CACHE_DIR, or in the user's cache."""
    named = os.environ.get("ANNY_CACHE_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "kp2seg", "anny")


def library_file(folder: Path) -> Path:
    """Where the library is in a folder."""
    return folder / f"bodies-{LIBRARY_VERSION}-{BODIES}.npz"


def open_library() -> BodyLibrary:
    """The library, made now if it is not there.

    Raises:  PeopleError: it is to be made and anny is missing, or its file is damaged.
    """
    folder = cache_folder()
    path = library_file(folder)
    if not path.is_file():
        print(
            f"making {BODIES} bodies with anny, once: a minute or more (kept in {folder})",
            file=sys.stderr,
        )
        os.environ.setdefault("ANNY_CACHE_DIR", str(folder))
        arrays: dict[str, Any] = _made(BODIES)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".tmp", delete=False) as file:
            np.savez(file, **arrays)
        os.replace(file.name, path)  # whole, whoever else makes one now
    return _read(path)


def _read(path: Path) -> BodyLibrary:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        sparse = {
            name: csr_array(
                tuple(arrays.pop(f"{name}_{part}") for part in ("data", "indices", "indptr")),
                shape=tuple(arrays.pop(f"{name}_shape")),
            )
            for name in ("weights", "joints")
        }
        bones, parents = arrays.pop("bones").tolist(), arrays.pop("parents").tolist()
        return BodyLibrary(bones=tuple(bones), parents=tuple(parents), **sparse, **arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise PeopleError(f"{path}: damaged ({error}); delete it, it is made again") from None


def _anny() -> Any:
    try:
        import anny
    except ImportError as error:
        raise PeopleError(
            f"people are made with anny, which is not installed ({error}): "
            "pip install 'kp2seg[people]'"
        ) from None
    return anny


def draw_phenotypes(bodies: int, rng: np.random.Generator) -> np.ndarray:
    """(bodies, 6) as BodyLibrary has them: a fifth children from about four, a seventh old."""
    group = rng.choice(3, bodies, p=[0.2, 0.65, 0.15])
    low, high = np.array([[0.12, 0.5], [0.55, 0.8], [0.8, 1.0]])[group].T
    age = rng.uniform(low, high)
    gender = rng.beta(0.35, 0.35, bodies)
    muscle, weight, height = rng.beta(2.0, (2.0, 2.4, 2.0), (bodies, 3)).T
    proportions = rng.uniform(0.3, 1.0, bodies)
    return np.stack([gender, age, muscle, weight, height, proportions], axis=1)


def _made(bodies: int) -> dict[str, np.ndarray]:
    """The library's arrays, by anny."""
    anny = _anny()
    import torch
    from anny.face_segmentation import get_face_segmentation_mask

    model = anny.Anny(
        rig="anny", topology="anny", phenotype_blendshapes="original", skinning_method="lbs"
    )
    phenotypes = draw_phenotypes(bodies, np.random.default_rng(LIBRARY_VERSION))
    rest, heads = [], []
    with torch.no_grad():
        for start in range(0, bodies, _BATCH):
            batch = phenotypes[start : start + _BATCH].T
            values = {name: torch.tensor(v) for name, v in zip(_PHENOTYPES, batch, strict=True)}
            output = model(phenotype_kwargs=values)
            rest.append(_our_frame(output["rest_vertices"].numpy()))
            heads.append(_our_frame(output["rest_bone_poses"].numpy()[:, :, :3, 3]))
    regressor = anny.KeypointsRegressor.coco(model, labels=list(PERSON_POINTS.names))
    faces = model.faces.numpy()
    parts = np.zeros(len(faces), np.uint8)
    for number, name in enumerate(PARTS[1:], start=1):
        parts[get_face_segmentation_mask(model, [name]).numpy()] = number
    uv_faces = model.face_texture_coordinate_indices.numpy()
    pairs, corner_faces = np.unique(
        np.stack([faces.ravel(), uv_faces.ravel()], axis=1), axis=0, return_inverse=True
    )
    uv = model.texture_coordinates.numpy()[pairs[:, 1]]
    corner_faces = corner_faces.reshape(-1, 3)
    texels, texel_faces, texel_shares = rasterised(uv, corner_faces)
    bones = model.vertex_bone_indices.numpy()
    vertices = np.repeat(np.arange(len(bones)), bones.shape[1])
    weights = csr_array(
        (model.vertex_bone_weights.numpy().ravel(), (vertices, bones.ravel())),
        shape=(len(bones), len(model.bone_labels)),
    )
    return {
        "rest": np.rint(np.concatenate(rest) / _UNIT_M).astype(np.int16),
        "heads": np.concatenate(heads),
        "phenotypes": phenotypes,
        "faces": faces.astype(np.int32),
        "face_parts": parts,
        "bones": np.array(model.bone_labels),
        "parents": np.array(model.bone_parents),
        "corners": pairs[:, 0],
        "corner_faces": corner_faces.astype(np.int32),
        "uv": uv.astype(np.float32),
        "texels": texels,
        "texel_faces": texel_faces,
        "texel_shares": texel_shares,
        **_sparse("weights", weights),
        **_sparse("joints", csr_array(regressor.regression_weights.numpy())),
    }


def _our_frame(points: np.ndarray) -> np.ndarray:
    """From anny's, +Z up and front -Y."""
    return np.stack([-points[..., 0], points[..., 2], points[..., 1]], axis=-1)


def _sparse(name: str, matrix: csr_array) -> dict[str, np.ndarray]:
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return {
        f"{name}_data": matrix.data,
        f"{name}_indices": matrix.indices,
        f"{name}_indptr": matrix.indptr,
        f"{name}_shape": np.array(matrix.shape),
    }
