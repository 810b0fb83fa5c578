"""Masks of tools/quickstart.py: light.py, quicker: regions of 96 px, minutes on two cores.

Templates and data sets are set there; channels that depend on them are counted. The backbone sees
the skeleton beside the picture: a head that sees it after the backbone alone takes too long to
learn what to do with it.
"""

from .light import data, model, optimizer, schedule, train

model.aligner.region_size = 96
model.aligner.region_scale = 0.9
model.corner_weight = 20.0
model.aligner.jitter.update(angle_deg=10.0, scale=(0.85, 1.15), shift=0.08)
model.mask_head.in_channels = None
model.aligner.backbone.guide_channels = None
model.skeleton_sigma = 1.5
model.max_people = 12

data.update(pictures_per_step=4, workers=0)
data.augmentation.update(paste=0.0)

optimizer.lr = 2e-3

train.update(
    out="runs/demo/masks",
    steps=188,
    ema_decay=0.98,
    eval_every=0,
    checkpoint_every=40,
    log_every=5,
)
