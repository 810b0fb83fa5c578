"""The parts of a `Pose2Seg` from Detectron2's CfgNode."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import build_backbone

from kp2seg.modeling.aligners import Aligner, FeatureAligner, ImageAligner
from kp2seg.modeling.mask_head import LightMaskHead, MaskQualityHead, PublishedMaskHead
from kp2seg.skeleton import skeleton_channels
from kp2seg.template_files import load_templates


def pose2seg_arguments(cfg: CfgNode) -> dict[str, Any]:
    """Arguments of `Pose2Seg` from a CfgNode with `kp2seg.config.add_kp2seg_config`.

    Raises: ValueError: no templates, or an unknown choice.
    """
    c = cfg.MODEL.POSE2SEG
    if not c.TEMPLATES:
        raise ValueError(
            "MODEL.POSE2SEG.TEMPLATES: names no file of pose templates; "
            "kp2seg.zoo.templates('person') is one, tools/build_templates.py makes others"
        )
    templates = load_templates(c.TEMPLATES)
    extra = skeleton_channels(templates)
    if c.GUIDE:
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.TIMM.GUIDE_CHANNELS = extra
    backbone = build_backbone(cfg)
    shared: dict[str, Any] = {
        "in_feature": c.IN_FEATURE,
        "pixel_mean": cfg.MODEL.PIXEL_MEAN,
        "pixel_std": cfg.MODEL.PIXEL_STD,
        "convention": c.CONVENTION,
        "matching": c.MATCHING,
        "transform": c.TRANSFORM,
        "region_scale": c.REGION_SCALE,
        "fallback": c.FALLBACK,
        "box_expand": c.BOX_EXPAND,
        "jitter": {
            "angle_deg": c.JITTER.ANGLE_DEG,
            "scale": c.JITTER.SCALE,
            "shift": c.JITTER.SHIFT,
        },
    }
    aligner: Aligner
    if c.ALIGN == "features":
        aligner = FeatureAligner(
            backbone, input_size=c.INPUT_SIZE, align_size=c.ALIGN_SIZE, **shared
        )
    elif c.ALIGN == "image":
        aligner = ImageAligner(backbone, region_size=c.REGION_SIZE, **shared)
    else:
        raise ValueError(f"MODEL.POSE2SEG.ALIGN: expected 'features' or 'image', got {c.ALIGN!r}")
    heads = {"published": PublishedMaskHead, "light": LightMaskHead}
    if c.HEAD not in heads:
        raise ValueError(f"MODEL.POSE2SEG.HEAD: expected {' or '.join(heads)}, got {c.HEAD!r}")
    head = heads[c.HEAD](aligner.channels + c.SKELETON * extra)
    return {
        "aligner": aligner,
        "mask_head": head,
        "templates": templates,
        "template_copies": c.TEMPLATE_COPIES,
        "quality_head": MaskQualityHead(head.feature_channels) if c.QUALITY else None,
        "skeleton": c.SKELETON,
        "skeleton_sigma": c.SKELETON_SIGMA,
        "max_people": c.MAX_PEOPLE,
        "people_chunk": c.PEOPLE_CHUNK,
        "dice": c.DICE,
        "mirrored": c.MIRRORED,
        "score_mode": c.SCORE_MODE,
        "input_format": cfg.INPUT.FORMAT,
    }
