"""Which models look like what a picture shows: rendered views against the picture.

Every model is seen from a ring of cameras. A view, and the picture, become one vector each: the
last feature map of EfficientNet-Lite0 with its ImageNet weights, averaged over where the object is.
The nearest view counts for its model.

What stands behind an object would fill the vector with itself. So pictures and views alike are cut
to the object's square, laid over one grey, and averaged over the object alone, wherever it is known
which pixels are its own: by the picture's alpha, a mask, a ground of one colour (white, black, …),
or GrabCut within a box. Where nothing says so, the whole picture is compared.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np


@dataclass(frozen=True)
class PictureSettings:
    """How models are seen and compared with pictures. Others give other vectors.

    Attributes:
        side: px of the square that the network looks at.
        azimuth_deg, elevation_deg: of the cameras, one each.
        distance, fov_deg: of all cameras; no model reaches out of their pictures.
        grey: what stands behind objects, 0 to 255.
        margin: free on each side of the object, in parts of its longer side.
    """

    side: int = 224
    azimuth_deg: tuple[float, ...] = (*range(0, 360, 45), *range(0, 360, 90))
    elevation_deg: tuple[float, ...] = (12.0,) * 8 + (40.0,) * 4
    distance: float = 7.0
    fov_deg: float = 28.0
    grey: int = 255
    margin: float = 0.06

    @property
    def size(self) -> tuple[int, int]:
        """Of rendered views (h, w): finer than the network's, since they are cut."""
        side = self.side * 3 // 2
        return side, side

    def info(self) -> dict[str, Any]:
        """As JSON, with the network's name."""
        return {"network": "tf_efficientnet_lite0", **asdict(self)}


@dataclass(frozen=True)
class ObjectPicture:
    """An object in a picture.

    Attributes:
        rgb: (h, w, 3) uint8, not multiplied by anything.
        coverage: (h, w) uint8: how much of a pixel the object covers.
    """

    rgb: np.ndarray
    coverage: np.ndarray


def object_square(picture: ObjectPicture, settings: PictureSettings) -> ObjectPicture:
    """The square around the object, at the network's size, over the settings' grey.

    Raises:  ValueError: the object covers no pixel.
    """
    rows, columns = (np.flatnonzero((picture.coverage > 127).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError("object_square: the object covers no pixel of the picture")
    low = np.array([columns[0], rows[0]], dtype=np.float64)
    high = np.array([columns[-1], rows[-1]]) + 1.0
    side = float((high - low).max()) * (1 + 2 * settings.margin)
    scale = settings.side / side
    corner = (low + high) / 2 - side / 2
    # shrunk first where it is large: bilinear reading would alias
    rgb, coverage = picture.rgb, picture.coverage
    if scale < 1:
        h, w = (max(1, round(length * scale)) for length in coverage.shape)
        corner = corner * np.array([w, h]) / coverage.shape[::-1]
        weighted = rgb * (coverage[..., None] / np.float32(255))
        premultiplied = cv2.resize(weighted, (w, h), interpolation=cv2.INTER_AREA)
        coverage = cv2.resize(coverage, (w, h), interpolation=cv2.INTER_AREA)
        scale = 1.0
    else:
        premultiplied = rgb * (coverage[..., None] / np.float32(255))
    # OpenCV has pixel i at i, here its middle is at i + 0.5
    shift = 0.5 * scale - 0.5 - corner * scale
    A = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    size = (settings.side, settings.side)
    inside = cv2.warpAffine(coverage, A, size, flags=cv2.INTER_LINEAR)
    colour = cv2.warpAffine(premultiplied, A, size, flags=cv2.INTER_LINEAR)
    ground = (1 - inside[..., None] / np.float32(255)) * settings.grey
    return ObjectPicture(np.clip(np.rint(colour + ground), 0, 255).astype(np.uint8), inside)


def of_view(rgba: np.ndarray) -> ObjectPicture:
    """A rendered view, premultiplied by alpha, as a picture. rgba: (h, w, 4) uint8."""
    alpha = rgba[..., 3:].astype(np.float32)
    rgb = np.clip(rgba[..., :3] * (255 / np.maximum(alpha, 1)), 0, 255).astype(np.uint8)
    return ObjectPicture(rgb, rgba[..., 3])


def view_distances(query: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far models are from a picture.

    Args:    query: (D,).  vectors: (n, v, D). All of unit length.
    Returns: (n,) 1 - cosine with the nearest view, 0 to 2, and the number of that view (n,).
    """
    distances = 1.0 - vectors @ query
    best = distances.argmin(axis=1)
    return np.maximum(distances[np.arange(len(best)), best], 0.0), best
