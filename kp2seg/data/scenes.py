"""Rendered scenes as COCO JSON: what each picture shows, and what it hides.

Beside COCO's fields an annotation has
    amodal_segmentation, amodal_bbox   the object as if nothing stood before it, in the picture
    occlusion     share of the amodal mask's pixels that other objects hide, 0..1
    truncation    share of the box of its projection that lies beyond the picture's edge, 0..1
    max_iou       OCHuman's: the largest IoU of its `bbox` with another annotation's
    keypoints_3d  K times [x, y, z], object frame (null: the model has no such point)
    model, T_obj2world   which model, and where it stands: 4 x 4, scale included
and an image has camera = {K: 3 x 3 px, pixel centres at +0.5; T_world2cam: 4 x 4, OpenCV}, and
`unlabelled`, how many objects of the class are in the scene and not in the annotations.

`segmentation`, `bbox` and `area` are of what is seen. Visibility is 2 for a point that is seen, 1
for one that its own or another object hides, 0 for one that is lacking or outside the picture.
Of people, whose joints are inside them, it is OCHuman's: 1 only where others or things hide the
joint. Objects of which too little is seen to draw an outline are left out, as an annotator would
leave them out: they stay in the picture and hide others, are counted in `unlabelled`, and no
max_iou is taken with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from keypointnet.views.occlusion import is_annotated, max_ious
from keypointnet.views.scene_files import image_file, read_truth
from keypointnet.views.scenes import Scene
from kp2seg.data.masks import encode

CATEGORY_ID = 1


def scene_category(info: Mapping[str, Any]) -> dict[str, Any]:
    """The one category of a folder of scenes.

    Args:    info: its scenes.json.
    Returns: COCO's row; `keypoints` and `skeleton` (from 1) only where the class has points.
    """
    row = {"id": CATEGORY_ID, "name": info["class"], "supercategory": info["class"]}
    if info["points"]:
        row |= {"keypoints": list(info["points"]), "skeleton": info["skeleton"]}
    return row


def scene_annotations(scene: Scene, image_id: int, first_id: int) -> list[dict[str, Any]]:
    """A row for each object of which enough is seen.

    Args:    first_id: of the first row; the others count on.
    Returns: rows as the module describes them; keypoints in COCO's numbers, pixel centres at +0.
    """
    rows: list[dict[str, Any]] = []
    for m in range(len(scene.models) - scene.occluders):
        seen = scene.nearest == m
        amodal = (scene.covered >> np.uint32(m)) & 1
        area, whole = int(seen.sum()), int(amodal.sum())
        if not is_annotated(area, whole):
            continue
        segmentation, amodal_segmentation = encode(seen), encode(amodal)
        row = {
            "id": first_id + len(rows),
            "image_id": image_id,
            "category_id": CATEGORY_ID,
            "bbox": _box_of(segmentation),
            "area": area,
            "segmentation": segmentation,
            "iscrowd": 0,
            "amodal_segmentation": amodal_segmentation,
            "amodal_bbox": _box_of(amodal_segmentation),
            "occlusion": round(1 - area / whole, 4),
            "truncation": round(_cut_off(scene.boxes_px[m], seen.shape), 4),
            "model": scene.models[m],
            "T_obj2world": _rows(scene.layout.T_obj2world[m]),
        }
        if scene.visibility.shape[1]:
            row |= _points(scene, m)
        rows.append(row)
    for row, value in zip(rows, max_ious([row["bbox"] for row in rows]), strict=True):
        row["max_iou"] = round(value, 4)
    return rows


def scenes_to_coco(
    root: Path, info: Mapping[str, Any], numbers: Sequence[int], tool: str = "make_scenes"
) -> dict[str, Any]:
    """COCO JSON of a folder's pictures.

    Args:    info: its scenes.json.  numbers: the pictures; image ids are 1 + their numbers.
             tool: that rendered them.
    Raises:  StorageError: a picture, or the truth about it, is missing or damaged.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in numbers:
        scene = read_truth(root, number)
        rows = scene_annotations(scene, number + 1, len(annotations) + 1)
        height, width = scene.nearest.shape
        images.append(
            {
                "id": number + 1,
                "file_name": image_file(root, number).name,
                "width": width,
                "height": height,
                "camera": {
                    "K": _rows(scene.layout.K_px),
                    "T_world2cam": _rows(scene.layout.T_world2cam),
                },
                "unlabelled": len(scene.models) - scene.occluders - len(rows),
            }
        )
        annotations += rows
    made_by = {"description": f"rendered by kp2seg's tools/{tool}.py", "settings": dict(info)}
    return {
        "info": made_by,
        "images": images,
        "annotations": annotations,
        "categories": [scene_category(info)],
    }


def _points(scene: Scene, m: int) -> dict[str, Any]:
    visibility = scene.visibility[m]
    # COCO counts pixel centres from 0; points that are not in the picture are (0, 0) there
    kpts_img = np.where(visibility[:, None] > 0, scene.points_px[m] - 0.5, 0.0)
    keypoints: list[float] = []
    for (x, y), code in zip(kpts_img.tolist(), visibility.tolist(), strict=True):
        keypoints += [round(x, 2), round(y, 2), code]
    return {
        "keypoints": keypoints,
        "num_keypoints": int((visibility > 0).sum()),
        "keypoints_3d": [
            None if np.isnan(point).any() else [round(value, 5) for value in point.tolist()]
            for point in scene.points_obj[m]
        ],
    }


def _rows(matrix: np.ndarray) -> list[list[float]]:
    """Rounded to far below a pixel; sixteen digits would be a quarter of the file."""
    return [[round(value, 6) for value in row] for row in matrix.tolist()]


def _box_of(rle: dict[str, Any]) -> list[float]:
    return [float(value) for value in mask_api.toBbox(rle)]


def _cut_off(box_px: np.ndarray, size: tuple[int, ...]) -> float:
    """Share of a box x1, y1, x2, y2 that is outside the picture."""
    limit = np.array([size[1], size[0]])
    inside = np.minimum(box_px[2:], limit) - np.maximum(box_px[:2], 0.0)
    whole = np.prod(box_px[2:] - box_px[:2])
    return float(1.0 - np.prod(np.maximum(inside, 0.0)) / max(whole, 1e-12))
