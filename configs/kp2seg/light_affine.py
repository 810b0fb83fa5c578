"""Ablation of light.py: templates are fitted by a full affine map."""

from .light import data, model, optimizer, schedule, train

model.aligner.transform = "affine"
train.out = "runs/light_affine"
