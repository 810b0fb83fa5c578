"""light.py on made-up crowds alone: nobody has labelled anything of what it learns from.

The backbone sees the skeleton beside the picture, as in demo.py.

    tools/make_crowd.py $DETECTRON2_DATASETS/syncrowd/train --pictures 1500 --bodies 0-224
    tools/make_crowd.py $DETECTRON2_DATASETS/syncrowd/val --pictures 200 --bodies 224-256 --seed 1
"""

from .light import data, model, optimizer, schedule, train

model.aligner.backbone.guide_channels = None

data.update(train=("syncrowd_train",), test=("syncrowd_val",))

train.update(out="runs/people_synthetic", steps=1200, eval_every=1200, checkpoint_every=100)
