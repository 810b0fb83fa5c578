"""Ablation of light.py: no branch that predicts the masks' IoU."""

from .light import data, model, optimizer, schedule, train

model.quality_head = None
model.score_mode = "constant"
train.out = "runs/light_no_quality"
