"""The discretised rotations that a shape's orientation is chosen from: a group, with its tables.

Convention: +Y up; rotations act on columns, X_aligned = R X. A set is closed under products, so the
energy of two shapes depends only on R_aᵀ R_b, and a table of L numbers says all about a pair. The
group's first element is the identity. L = labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

AZIMUTH_STEPS = 24
KINDS = ("azimuth", "cube")


@dataclass(frozen=True)
class RotationSet:
    """A finite group of rotations.

    kind:     "azimuth" (turns about up) or "cube" (the 24 rotations of a cube).
    matrices: (L, 3, 3) float64, the identity first.
    product:  (L, L) int, the label of R_a R_b.
    relative: (L, L) int, the label of R_aᵀ R_b.
    """

    kind: str
    matrices: np.ndarray
    product: np.ndarray
    relative: np.ndarray

    def __len__(self) -> int:
        return len(self.matrices)

    @property
    def inverse(self) -> np.ndarray:
        """(L,) int, the label of R_aᵀ."""
        return self.relative[:, 0]


def rotation_set(kind: str, steps: int = AZIMUTH_STEPS) -> RotationSet:
    """The rotations to choose from.

    Args:    kind: "azimuth": `steps` equal turns about +Y; "cube": the 24 rotations that map the
             axes onto each other.  steps: at least 4, of "azimuth" only.
    Raises:  ValueError: another kind, or too few steps.
    """
    if kind not in KINDS:
        raise ValueError(f"rotation_set: expected one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "azimuth":
        if steps < 4:
            raise ValueError(f"rotation_set: expected at least 4 steps of azimuth, got {steps}")
        angles_rad = np.arange(steps) * (2 * np.pi / steps)
        matrices = azimuth_matrices(angles_rad)
    else:
        matrices = np.round(Rotation.create_group("O").as_matrix())
        matrices = matrices[np.argsort(-np.trace(matrices, axis1=1, axis2=2), kind="stable")]
    return RotationSet(
        kind,
        matrices,
        _labels_of(np.einsum("aij,bjk->abik", matrices, matrices), matrices),
        _labels_of(np.einsum("aji,bjk->abik", matrices, matrices), matrices),
    )


def azimuth_matrices(angles_rad: np.ndarray) -> np.ndarray:
    """Turns about +Y, from +Z to +X. (A,) → (A, 3, 3) float64."""
    return Rotation.from_rotvec(
        np.asarray(angles_rad)[:, None] * np.array([0.0, 1.0, 0.0])
    ).as_matrix()


def angle_deg(R: np.ndarray) -> np.ndarray:
    """The angle of a rotation, in degrees. (..., 3, 3) → (...)."""
    cosine = (np.trace(R, axis1=-2, axis2=-1) - 1) / 2
    return np.asarray(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _labels_of(wanted: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """The label of each rotation. (A, B, 3, 3) → (A, B)."""
    agreement = np.einsum("abij,lij->abl", wanted, matrices)
    labels = agreement.argmax(axis=2)
    assert agreement.max(axis=2).min() > 3 - 1e-6, "the rotations are no group"
    return labels
