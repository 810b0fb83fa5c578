"""A tiny COCO of discs and a configuration that trains on it in seconds.

A test file takes the fixture `tiny` by `tiny = runpy.run_path("…/disc_people.py")["tiny"]`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from keypointnet.checkpoints import build_model as build_finder
from keypointnet.checkpoints import read_checkpoint, save_checkpoint
from keypointnet.config import load_config
from kp2seg.build import build_model
from kp2seg.bundle import bundled
from kp2seg.checkpoints import SegCheckpoint, save_seg_checkpoint
from kp2seg.data.catalog import register_datasets
from kp2seg.keypoint_sources.discovered import Finding
from kp2seg.keypoint_sources.layouts import COCO_JOINTS
from kp2seg.lazy_config import config_to_text, load_seg_config

SIZE = (60, 80)
CENTRES = (
    ((25.0, 30.0), (56.0, 28.0)),
    ((40.0, 33.0),),
    ((22.0, 26.0), (50.0, 36.0)),
    ((60.0, 30.0),),
)
RADIUS = 19.0
# COCO's joints in the square [0, 1]², as a standing person has them.
STANDING = np.array(
    [
        *((0.5, 0.1), (0.53, 0.07), (0.47, 0.07), (0.57, 0.09), (0.43, 0.09)),
        *((0.62, 0.24), (0.38, 0.24), (0.68, 0.4), (0.32, 0.4), (0.7, 0.53), (0.3, 0.53)),
        *((0.57, 0.53), (0.43, 0.53), (0.57, 0.73), (0.43, 0.73), (0.57, 0.93), (0.43, 0.93)),
    ]
)


def write_coco(root: Path, split: str, centres: Any = CENTRES) -> Path:
    """coco/{split}2017 and its person_keypoints JSON: a disc for each centre, with 17 joints.

    Returns: the annotation file. Coordinates in it are COCO's raw numbers.
    """
    h, w = SIZE
    y, x = np.mgrid[0:h, 0:w] + 0.5
    folder = root / "coco" / f"{split}2017"
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number, discs in enumerate(centres):
        rgb = np.full((h, w, 3), 90, np.uint8)
        for cx, cy in discs:
            inside = (x - cx) ** 2 + (y - cy) ** 2 < RADIUS**2
            rgb[inside] = (250, 80 + 40 * number, 60)
            angle = np.linspace(0, 2 * np.pi, 41)[:-1]
            polygon = np.column_stack([cx + RADIUS * np.cos(angle), cy + RADIUS * np.sin(angle)])
            points = np.array([cx, cy]) + 30 * (STANDING - 0.5) - 0.5
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": 1,
                    "bbox": [cx - RADIUS, cy - RADIUS, 2 * RADIUS, 2 * RADIUS],
                    "area": float(inside.sum()),
                    "iscrowd": 0,
                    "segmentation": [polygon.ravel().tolist()],
                    "num_keypoints": 17,
                    "keypoints": np.column_stack([points, np.full(17, 2)]).ravel().tolist(),
                }
            )
        name = f"{number + 1:012d}.png"
        assert cv2.imwrite(str(folder / name), rgb[..., ::-1])
        images.append({"id": number + 1, "file_name": name, "height": h, "width": w})
    category = {"id": 1, "name": "person", "keypoints": list(COCO_JOINTS), "skeleton": []}
    path = root / "coco" / "annotations" / f"person_keypoints_{split}2017.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [category]})
    )
    return path


CONFIG = """
import torch
from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import CosineParamScheduler

from kp2seg import zoo
from kp2seg.data.mapper import PictureAugmentation
from kp2seg.modeling.aligners import FeatureAligner
from kp2seg.modeling.backbones import build_light_backbone
from kp2seg.modeling.mask_head import LightMaskHead, MaskQualityHead
from kp2seg.modeling.meta_arch import Pose2Seg

model = L(Pose2Seg)(
    aligner=L(FeatureAligner)(
        backbone=L(build_light_backbone)(name="test_efficientnet", channels=8, pretrained=False),
        input_size=128,
        align_size=16,
        region_scale=0.8,
        fallback="box",
        jitter=dict(angle_deg=10.0, scale=(0.9, 1.1), shift=0.05),
    ),
    mask_head=L(LightMaskHead)(in_channels=8 + 55, channels=8, blocks=(1, 1)),
    templates=str(zoo.templates("person")),
    quality_head=L(MaskQualityHead)(in_channels=8, channels=8),
    skeleton_sigma=1.0,
    max_people=3,
    dice=1.0,
    score_mode="quality",
)
data = dict(
    train=["cocopersons_train"],
    repeat=None,
    test=["cocopersons_val"],
    pictures_per_step=2,
    workers=0,
    augmentation=L(PictureAugmentation)(flip=0.5, colour=0.5, drop_points=0.1, move_points=0.01),
)
optimizer = L(torch.optim.AdamW)(lr=1e-2)
schedule = L(WarmupParamScheduler)(
    scheduler=L(CosineParamScheduler)(start_value=1.0, end_value=0.1),
    warmup_factor=0.1,
    warmup_length=0.1,
    warmup_method="linear",
)
train = dict(
    out="runs/tiny",
    init="",
    steps=7,
    seed=3,
    device="cpu",
    amp=False,
    channels_last=True,
    ema_decay=0.5,
    clip_norm=5.0,
    eval_every=0,
    checkpoint_every=2,
    log_every=1,
)
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Registers discs as COCOPersons; gives arguments of tools/train_seg.py, with overrides."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums are then rounded in the same order in every process
    data = tmp_path / "data"
    write_coco(data, "train")
    write_coco(data, "val", CENTRES[1:3])
    monkeypatch.setenv("DETECTRON2_DATASETS", str(data))
    register_datasets()
    path = tmp_path / "tiny.py"
    path.write_text(CONFIG)

    def arguments(*more: str) -> list[str]:
        return ["--config-file", str(path), f"train.out={tmp_path}/run", *more]

    yield arguments
    monkeypatch.undo()
    register_datasets()
    torch.set_num_threads(threads)


def save_bundle(words: list[str], path: Path, category: dict[str, Any] | None = None) -> Path:
    """An untrained bundle of which every keypoint counts.

    Args:    words: of `tiny`'s function.  category: of the bundle's class.
    """
    _, file, *overrides = words
    config = load_seg_config(file, overrides)
    model = build_model(config)
    masks = SegCheckpoint(path, 5, config_to_text(config), {}, {"model": model.state_dict()})
    small = ["model.channels=8", "model.orientation_channels=4", "data.image_size=16"]
    settings = load_config(None, [*small, f"model.num_keypoints={len(model.templates.names)}"])
    finder = path.with_name("finder.safetensors")
    save_checkpoint(finder, {"model": build_finder(settings).state_dict()}, step=1, config=settings)
    finding = Finding(min_confidence=0, min_on_object=0)
    weights, text = bundled(read_checkpoint(finder), masks, finding, category)
    save_seg_checkpoint(path, {"model": weights}, step=5, config=text)
    return path
