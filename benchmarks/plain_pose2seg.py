"""Pose2Seg's inference as one would write it first, to compare ours with.

One picture at a time in float32; one person, one template, one joint and one limb at a time in
Python loops over NumPy arrays; the aligned grid made as large as the features and cropped. The
mathematics is the published one, and so are the masks.

P people, K keypoints. Coordinates are the published convention's: pixel i is at i.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kp2seg.affine import letterbox
from kp2seg.modeling.aligners import FeatureAligner
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.skeleton import CUT_OFF


class PlainPose2Seg:
    """The same weights, slowly.

    Args:    model: with the published aligner and head, in evaluation mode, NCHW.
    """

    def __init__(self, model: Pose2Seg) -> None:
        assert isinstance(model.aligner, FeatureAligner)
        self.model, self.aligner = model, model.aligner
        self.templates = model.template_points.numpy()

    def masks(self, image: Tensor, kpts: np.ndarray, visibility: np.ndarray) -> np.ndarray:
        """One picture (3, h, w) and its people (P, K, 2), (P, K) → (P, h, w) bool."""
        feature = self.feature_map(image)
        A_img2grid, aligned, maps = self.regions(feature, image, kpts, visibility)
        prediction = self.model.mask_head(torch.cat([aligned, maps], dim=1))
        probabilities = prediction.logit.sigmoid().squeeze(1).numpy()
        h, w = image.shape[-2:]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.stack(
            [
                cv2.warpAffine(probability, A[:2], (w, h), flags=flags) > 0.5
                for probability, A in zip(probabilities, A_img2grid, strict=True)
            ]
        )

    def feature_map(self, image: Tensor) -> Tensor:
        """The backbone's map of one picture, (1, C, side, side), NCHW in memory."""
        normalised = self.aligner.normalise(self.aligner.letterboxed([image]))
        maps: Tensor = self.model.aligner.backbone(normalised.contiguous())["p2"]
        return maps

    def regions(
        self, feature: Tensor, image: Tensor, kpts: np.ndarray, visibility: np.ndarray
    ) -> tuple[np.ndarray, Tensor, Tensor]:
        """Matching, skeletons and aligning of one picture's people.

        Returns: A_img2grid (P, 3, 3), aligned features and skeleton maps (P, C, grid, grid).
        """
        side, grid = feature.shape[-1], self.aligner.align_size
        size = (self.aligner.input_size, self.aligner.input_size)
        A_img2feat = letterbox((image.shape[-2], image.shape[-1]), size, torch.device("cpu"))
        A_img2feat = A_img2feat.numpy() * [[side / size[1]], [side / size[0]], [1.0]]
        A_img2grid, aligned, maps = [], [], []
        for points, seen in zip(kpts, visibility, strict=True):
            A_feat2grid = match(apply(A_img2feat, points), seen, self.templates, side, grid)
            A_img2grid.append(A_feat2grid @ A_img2feat)
            aligned.append(align(feature, A_feat2grid, grid))
            drawn = skeleton(apply(A_img2grid[-1], points), seen, self.model.connections, grid)
            maps.append(torch.from_numpy(drawn).float())
        return np.stack(A_img2grid), torch.cat(aligned), torch.stack(maps)


def apply(A: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(3, 3) and (K, 2) → (K, 2)."""
    return np.stack([A[:2, :2] @ point + A[:2, 2] for point in points])


def match(
    kpts: np.ndarray, visibility: np.ndarray, templates: np.ndarray, side: int, grid: int
) -> np.ndarray:
    """The best template's similarity, (3, 3) of the feature map to the grid."""
    whole = grid / side
    best, best_score = np.diag([whole, whole, 1.0]), 0.0
    for template in templates:
        shared, union, hidden = [], 0, False
        for k in range(len(kpts)):
            ours, theirs = visibility[k] > 0, template[k, 2] > 0
            if ours and theirs:
                shared.append(k)
            union += int(ours or theirs)
            hidden = hidden or bool(ours and not theirs)
        if len(shared) < 3 or hidden:
            continue
        rows, right = [], []
        for k in shared:
            x, y = kpts[k]
            rows += [[x, y, 1, 0], [y, -x, 0, 1]]
            right += [template[k, 0], template[k, 1]]
        a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
        A = np.array([[a, b, tx], [-b, a, ty], [0.0, 0.0, 1.0]])
        score = 0.0
        for k in shared:
            x, y = A[:2, :2] @ kpts[k] + A[:2, 2]
            score += math.exp(-((x - template[k, 0]) ** 2 + (y - template[k, 1]) ** 2) / 2)
        score /= union
        if score > best_score and math.hypot(a, b) * grid > whole:
            best, best_score = np.diag([grid, grid, 1.0]) @ A, score
    return best


def align(feature: Tensor, A_feat2grid: np.ndarray, grid: int) -> Tensor:
    """One person: (1, C, side, side) → (1, C, grid, grid)."""
    side = feature.shape[-1]
    unit = np.array([[2 / side, 0, -1], [0, 2 / side, -1], [0, 0, 1]])
    theta = np.linalg.inv(unit @ A_feat2grid @ np.linalg.inv(unit))[:2]
    # A grid as large as the features has the published places of its pixels; a corner is kept.
    flow = F.affine_grid(torch.from_numpy(theta[None]).float(), list(feature.shape), True)
    return F.grid_sample(feature, flow[:, :grid, :grid], align_corners=True)


def skeleton(
    kpts: np.ndarray,
    visibility: np.ndarray,
    connections: tuple[tuple[int, int], ...],
    side: int,
    sigma: float = 3.0,
    half_width: float = 1.0,
) -> np.ndarray:
    """One person: (K + 2 L, side, side)."""
    maps = np.zeros((len(kpts) + 2 * len(connections), side, side))
    ys, xs = np.mgrid[:side, :side]
    for k, (x, y) in enumerate(kpts):
        if visibility[k] == 0:
            continue
        d2 = ((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2)
        bump = np.where(d2 < CUT_OFF, np.exp(-d2), 0.0)
        maps[k] = -bump if visibility[k] == 1 else bump
    for number, (i, j) in enumerate(connections):
        line = kpts[j] - kpts[i]
        length = math.hypot(*line)
        if visibility[i] == 0 or visibility[j] == 0 or length == 0:
            continue
        low = np.round(np.minimum(kpts[i], kpts[j]) - half_width).clip(0)
        high = np.round(np.maximum(kpts[i], kpts[j]) + half_width).clip(max=side)
        across = (xs - kpts[i, 0]) * line[1] - (ys - kpts[i, 1]) * line[0]
        inside = np.abs(across / length) < half_width
        inside &= (xs >= low[0]) & (xs < high[0]) & (ys >= low[1]) & (ys < high[1])
        for axis in range(2):
            maps[len(kpts) + 2 * number + axis][inside] = line[axis] / length
    return maps
