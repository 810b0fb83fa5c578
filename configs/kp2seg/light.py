"""For machines without a GPU: each person's region at 192 px through EfficientNet-Lite0.

Regions are cut from the full-resolution picture ("apply transformation H to an input image"); the
ImageNet weights are installed with kp2seg.
"""

import torch
from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import CosineParamScheduler

from kp2seg import zoo
from kp2seg.data.mapper import PictureAugmentation
from kp2seg.modeling.aligners import ImageAligner
from kp2seg.modeling.backbones import build_light_backbone
from kp2seg.modeling.mask_head import LightMaskHead, MaskQualityHead
from kp2seg.modeling.meta_arch import Pose2Seg

from .pose2seg_r50 import data, train

model = L(Pose2Seg)(
    aligner=L(ImageAligner)(
        backbone=L(build_light_backbone)(name="tf_efficientnet_lite0", channels=64),
        in_feature="p2",
        # what the installed ImageNet weights were trained with
        pixel_mean=(127.5, 127.5, 127.5),
        pixel_std=(127.5, 127.5, 127.5),
        region_size=192,
        matching="templates",
        transform="similarity",
        region_scale=1.2,
        fallback="box",
        jitter=dict(angle_deg=35.0, scale=(0.75, 1.25), shift=0.12),
    ),
    mask_head=L(LightMaskHead)(in_channels=64 + 55, channels=64),
    templates=str(zoo.templates("person")),
    quality_head=L(MaskQualityHead)(in_channels=64),
    skeleton=True,
    skeleton_sigma=2.0,
    max_people=16,
    dice=1.0,
    score_mode="quality",
)

data.update(
    pictures_per_step=6,
    workers=1,
    augmentation=L(PictureAugmentation)(
        flip=0.5, colour=0.5, drop_points=0.1, move_points=0.01, paste=0.7
    ),
)

optimizer = L(torch.optim.AdamW)(lr=1e-3, weight_decay=0.02)
schedule = L(WarmupParamScheduler)(
    scheduler=L(CosineParamScheduler)(start_value=1.0, end_value=0.01),
    warmup_factor=0.01,
    warmup_length=0.05,
    warmup_method="linear",
)

train.update(
    out="runs/light",
    steps=3000,
    amp=True,
    ema_decay=0.998,
    clip_norm=5.0,
    eval_every=750,
    checkpoint_every=250,
)
