"""What ships as people-light: people_large.py again, longer, with other random numbers."""

from .people_large import data, model, optimizer, schedule, train

train.update(
    out="runs/people_longer",
    init="runs/people_large/checkpoints/last.safetensors",
    steps=1300,
    eval_every=1300,
    seed=3,
)
