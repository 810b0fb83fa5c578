"""Detectron2's Mask R-CNN to compare light.py with: its backbone, widths, data and training time.

It takes whole pictures and no keypoints. People that COCOPersons leaves out, small or without
points, count as background in training and as false positives in scoring.
"""

import torch
from detectron2.config import LazyCall as L

from kp2seg.data.mapper import PictureAugmentation
from kp2seg.modeling.mask_rcnn import build_mask_rcnn

from .light import data, schedule, train

model = L(build_mask_rcnn)(
    name="tf_efficientnet_lite0", channels=64, fc_dim=256, rois=128, proposals=500
)

data.update(
    category=None,  # of plain instance JSON, FILE.json@FOLDER: the name of its one class
    pictures_per_step=2,
    augmentation=L(PictureAugmentation)(flip=0.5, colour=0.5),
)

optimizer = L(torch.optim.AdamW)(lr=5e-4, weight_decay=0.02)

train.update(out="runs/mask_rcnn_light", steps=4000)
