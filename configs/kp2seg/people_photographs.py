"""The control of people_longer.py: the same network and settings, the 80 photographs alone."""

from .people_large import data, model, optimizer, schedule, train

data.update(train=("cocopersons_train",), repeat=None)
optimizer.lr = 1e-3

train.update(out="runs/people_photographs", init="", steps=1800, eval_every=1800, seed=0)
