"""Ablation of light.py: the box of the points in place of a template."""

from .light import data, model, optimizer, schedule, train

model.aligner.matching = "box"
train.out = "runs/light_no_templates"
