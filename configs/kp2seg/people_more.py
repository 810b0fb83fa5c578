"""people.py once more, with two photographs for each made-up crowd.

Keypoints move twice as far: nobody annotates, and no detector finds, joints as exactly as a made-up
crowd has them.
"""

from .people import data, model, optimizer, schedule, train

model.mirrored = True
data.update(repeat=(1, 38))
data.augmentation.update(move_points=0.02)

train.update(out="runs/people_more", init="runs/people/checkpoints/last.safetensors")
