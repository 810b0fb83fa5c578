"""The same mathematics, one person, one template, one pixel at a time, in plain loops.

What the vectorised code is compared with, in the tests and, for speed, in the benchmarks.
Index coordinates: pixel i is at i.
"""

import math

import cv2
import numpy as np

CUT_OFF = 4.6025


def similarity(src, dst):
    """[a b tx; -b a ty; 0 0 1] by the normal equations of all 2 K equations at once."""
    rows, right = [], []
    for (x, y), (u, v) in zip(src, dst, strict=True):
        rows += [[x, y, 1, 0], [y, -x, 0, 1]]
        right += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows, float), np.array(right, float), rcond=None)[0]
    return np.array([[a, b, tx], [-b, a, ty], [0, 0, 1]])


def similarity_single(src, dst):
    """The same equations in float32, by OpenCV's SVD."""
    rows, right = [], []
    for (x, y), (u, v) in zip(src, dst, strict=True):
        rows += [[x, y, 1, 0], [y, -x, 0, 1]]
        right += [[u], [v]]
    rows, right = np.array(rows, np.float32), np.array(right, np.float32)
    a, b, tx, ty = cv2.solve(rows, right, flags=cv2.DECOMP_SVD)[1][:, 0]
    return np.array([[a, b, tx], [-b, a, ty], [0, 0, 1]])


def affine(src, dst):
    """All 6 numbers."""
    rows, right = [], []
    for (x, y), (u, v) in zip(src, dst, strict=True):
        rows += [[x, y, 1, 0, 0, 0], [0, 0, 0, x, y, 1]]
        right += [u, v]
    solution = np.linalg.lstsq(np.array(rows, float), np.array(right, float), rcond=None)[0]
    return np.vstack([solution.reshape(2, 3), [0, 0, 1]])


def template_score(kpts, visibility, template, fit=similarity, hard=True):
    """One person (K, 2), (K,) and one template (K, 3): the map, or None, and the score."""
    K = len(kpts)
    shared = [i for i in range(K) if visibility[i] > 0 and template[i, 2] > 0]
    union = [i for i in range(K) if visibility[i] > 0 or template[i, 2] > 0]
    if len(shared) < 3:
        return None, 0.0
    if hard and any(visibility[i] > 0 and template[i, 2] <= 0 for i in range(K)):
        return None, 0.0
    A = fit(kpts[shared], template[shared, :2])
    total = 0.0
    for i in shared:
        x, y = A[:2] @ [kpts[i, 0], kpts[i, 1], 1]
        total += math.exp(-((x - template[i, 0]) ** 2 + (y - template[i, 1]) ** 2) / 2)
    return A, total / len(shared) * len(shared) / len(union)


def best_template(kpts, visibility, templates, source_size, align_size, fit=similarity, hard=True):
    """One person: A_src2align, score, template or -1."""
    (source_h, source_w), (h, w) = source_size, align_size
    whole = min(h / source_h, w / source_w)
    best = np.array(
        [[whole, 0, (w - source_w * whole) / 2], [0, whole, (h - source_h * whole) / 2], [0, 0, 1]]
    )
    best_score, best_index = 0.0, -1
    for index, template in enumerate(templates):
        A, score = template_score(kpts, visibility, template, fit, hard)
        if A is None:
            continue
        A = np.diag([w, h, 1.0]) @ A
        scale = math.hypot(A[0, 0], A[0, 1])
        if score > best_score and scale > whole:
            best, best_score, best_index = A, score, index
    return best, best_score, best_index


def bilinear(picture, x, y):
    """Value at an index coordinate; pixels outside are 0."""
    h, w = picture.shape[-2:]
    x0, y0 = math.floor(x), math.floor(y)
    total = np.zeros(picture.shape[:-2])
    for xi, yi in ((x0, y0), (x0 + 1, y0), (x0, y0 + 1), (x0 + 1, y0 + 1)):
        if 0 <= xi < w and 0 <= yi < h:
            total = total + picture[..., yi, xi] * (1 - abs(x - xi)) * (1 - abs(y - yi))
    return total


def sample_aligned(features, A_feat2align, size, convention):
    """One person: features (C, h, w) onto a grid."""
    feature_h, feature_w = features.shape[1:]
    out = np.zeros((len(features), *size))
    back = np.linalg.inv(A_feat2align)
    for i in range(size[0]):
        for j in range(size[1]):
            if convention == "centres":
                x, y, _ = back @ [j + 0.5, i + 0.5, 1]
                x, y = x - 0.5, y - 0.5
            else:
                # A grid as large as the features from -1 to 1, both ends included; -1 to 1 is also
                # 0 to n of both frames, and -1 to 1 of the features' own indices 0 to n - 1.
                u, v = 2 * j / (feature_w - 1) - 1, 2 * i / (feature_h - 1) - 1
                x, y, _ = back @ [(u + 1) * feature_w / 2, (v + 1) * feature_h / 2, 1]
                u, v = 2 * x / feature_w - 1, 2 * y / feature_h - 1
                x, y = (u + 1) / 2 * (feature_w - 1), (v + 1) / 2 * (feature_h - 1)
            out[:, i, j] = bilinear(features, x, y)
    return out


def warp_back(probabilities, A_img2align, size, convention):
    """One person: probabilities (h, w) onto the picture."""
    offset = 0.5 if convention == "centres" else 0.0
    out = np.zeros(size)
    for i in range(size[0]):
        for j in range(size[1]):
            x, y, _ = A_img2align @ [j + offset, i + offset, 1]
            out[i, j] = bilinear(probabilities, x - offset, y - offset)
    return out


def skeleton(kpts, visibility, connections, size, sigma=3.0, half_width=1.0):
    """One person, index coordinates: (K + 2 L, h, w)."""
    h, w = size
    K = len(kpts)
    maps = np.zeros((K + 2 * len(connections), h, w))
    for k in range(K):
        if visibility[k] == 0:
            continue
        for y in range(h):
            for x in range(w):
                d2 = ((x - kpts[k, 0]) ** 2 + (y - kpts[k, 1]) ** 2) / (2 * sigma**2)
                if d2 < CUT_OFF:
                    maps[k, y, x] = -math.exp(-d2) if visibility[k] == 1 else math.exp(-d2)
    for number, (i, j) in enumerate(connections):
        length = math.dist(kpts[i], kpts[j])
        if visibility[i] == 0 or visibility[j] == 0 or length == 0:
            continue
        unit = (kpts[j] - kpts[i]) / length
        # round() of Python takes halves to the even number.
        x0, y0 = (max(round(min(kpts[i, a], kpts[j, a]) - half_width), 0) for a in (0, 1))
        x1, y1 = (round(max(kpts[i, a], kpts[j, a]) + half_width) for a in (0, 1))
        for y in range(y0, min(y1, h)):
            for x in range(x0, min(x1, w)):
                if abs((x - kpts[i, 0]) * unit[1] - (y - kpts[i, 1]) * unit[0]) < half_width:
                    maps[K + 2 * number : K + 2 * number + 2, y, x] = unit
    return maps
