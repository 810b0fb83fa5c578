"""Ablation of light.py: the head sees features only."""

from .light import data, model, optimizer, schedule, train

model.skeleton = False
model.mask_head.in_channels = 64
train.out = "runs/light_no_skeleton"
