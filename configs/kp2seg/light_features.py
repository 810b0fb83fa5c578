"""light.py with the published place of alignment: the feature map of the letterboxed picture."""

from detectron2.config import LazyCall as L

from kp2seg.modeling.aligners import FeatureAligner

from .light import data, model, optimizer, schedule, train

model.aligner = L(FeatureAligner)(
    backbone=model.aligner.backbone,
    in_feature="p2",
    pixel_mean=model.aligner.pixel_mean,
    pixel_std=model.aligner.pixel_std,
    input_size=512,
    align_size=64,
    matching="templates",
    transform="similarity",
    region_scale=1.2,
    fallback="box",
    jitter=model.aligner.jitter,
)
train.out = "runs/light_features"
