"""Pose2Seg as published: ResNet-50 FPN at 512 px, features aligned, 25 epochs of COCOPersons.

The settings are those of Zhang et al. 2019 and its released code. With all of COCO it takes days on
a GPU; tools/convert_weights.py reads the published weights instead.
"""

import torch
from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler

from kp2seg import zoo
from kp2seg.data.mapper import PictureAugmentation
from kp2seg.modeling.aligners import FeatureAligner
from kp2seg.modeling.backbones import build_published_backbone
from kp2seg.modeling.mask_head import PublishedMaskHead
from kp2seg.modeling.meta_arch import Pose2Seg

model = L(Pose2Seg)(
    aligner=L(FeatureAligner)(
        backbone=L(build_published_backbone)(),
        in_feature="p2",
        input_size=512,
        align_size=64,
        convention="published",
        jitter=dict(angle_deg=30.0, scale=(0.8, 1.2), shift=0.1),
    ),
    mask_head=L(PublishedMaskHead)(in_channels=256 + 55),
    templates=str(zoo.templates("person")),
    quality_head=None,
    skeleton=True,
    max_people=8,
)

data = dict(
    train=("cocopersons_train",),
    repeat=None,  # how often a picture of each of them is shown in an epoch: one number for each
    test=("cocopersons_val",),
    pictures_per_step=4,
    workers=4,
    augmentation=L(PictureAugmentation)(flip=0.0),
)

# 14,150 steps of 4 pictures are an epoch of COCOPersons; ×0.1 after epochs 15 and 20 of 25.
optimizer = L(torch.optim.Adam)(lr=2e-4)
schedule = L(WarmupParamScheduler)(
    scheduler=L(MultiStepParamScheduler)(
        values=[1.0, 0.1, 0.01], milestones=[15 * 14_150, 20 * 14_150], num_updates=25 * 14_150
    ),
    warmup_factor=1 / 3,
    warmup_length=1000 / (25 * 14_150),
    warmup_method="linear",
)

train = dict(
    out="runs/pose2seg_r50",
    init="",
    steps=25 * 14_150,
    seed=0,
    device="auto",
    amp=False,
    channels_last=True,
    ema_decay=0.0,
    clip_norm=0.0,
    eval_every=14_150,
    checkpoint_every=2000,
    log_every=20,
)
