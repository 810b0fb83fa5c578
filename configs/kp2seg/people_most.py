"""people_more.py again, longer, with other random numbers."""

from .people_more import data, model, optimizer, schedule, train

train.update(
    out="runs/people_most",
    init="runs/people_more/checkpoints/last.safetensors",
    steps=1500,
    eval_every=1500,
    seed=1,
)
