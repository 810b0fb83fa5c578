"""Goes on from people_synthetic.py with as many photographs as made-up crowds: COCOPersons' sample.

It is given no picture of any validation set.
"""

from .people_synthetic import data, model, optimizer, schedule, train

# 1,500 made-up pictures, and 80 photographs 19 times
data.update(train=("syncrowd_train", "cocopersons_train"), repeat=(1, 19))

train.update(
    out="runs/people",
    init="runs/people_synthetic/checkpoints/last.safetensors",
    steps=1000,
    eval_every=1000,
)
