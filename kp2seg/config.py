"""kp2seg's keys in Detectron2's CfgNode. LazyConfig users need none of this: configs/kp2seg/."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_kp2seg_config(cfg: CfgNode) -> None:
    """Adds MODEL.POSE2SEG and MODEL.TIMM, with the published settings, to Detectron2's defaults.

    The defaults of INPUT.FORMAT, MODEL.PIXEL_MEAN and MODEL.PIXEL_STD become those of the networks
    here: RGB, and ImageNet's mean and deviation. (Detectron2's own are BGR and no deviation.)

    After it, `MODEL.META_ARCHITECTURE: Pose2Seg` and `MODEL.BACKBONE.NAME:
    build_pose2seg_r50_backbone` (or `build_timm_fpn_backbone`, or any of Detectron2's) make the
    model. MODEL.POSE2SEG.TEMPLATES has to name a templates file.
    """
    cfg.INPUT.FORMAT = "RGB"
    cfg.MODEL.PIXEL_MEAN = [123.675, 116.28, 103.53]
    cfg.MODEL.PIXEL_STD = [58.395, 57.12, 57.375]
    cfg.MODEL.TIMM = CfgNode(
        {
            "NAME": "tf_efficientnet_lite0",
            "PRETRAINED": True,
            # Of networks made for one size: REGION_SIZE or INPUT_SIZE.
            "IMG_SIZE": 0,
            # Set by MODEL.POSE2SEG.GUIDE.
            "GUIDE_CHANNELS": 0,
        }
    )
    cfg.MODEL.POSE2SEG = CfgNode(
        {
            "TEMPLATES": "",
            # Added to them: "labels" as published, left and right exchanged; "mirror"; "none".
            "TEMPLATE_COPIES": "labels",
            # "features": aligned in the picture's feature map; "image": in the picture itself.
            "ALIGN": "features",
            "IN_FEATURE": "p2",
            "INPUT_SIZE": 512,
            "ALIGN_SIZE": 64,
            "REGION_SIZE": 192,
            # "published": pixel i at i, and its resampling; "centres": pixel i at i + 0.5.
            "CONVENTION": "published",
            # "templates" or "box".
            "MATCHING": "templates",
            # "similarity" or "affine".
            "TRANSFORM": "similarity",
            "REGION_SCALE": 1.0,
            # Where no template fits: "whole" picture or the "box" of the points.
            "FALLBACK": "whole",
            # How much larger than the points' box a region of it is.
            "BOX_EXPAND": 1.7,
            "JITTER": {"ANGLE_DEG": 30.0, "SCALE": (0.8, 1.2), "SHIFT": 0.1},
            # "published" or "light".
            "HEAD": "published",
            "SKELETON": True,
            "SKELETON_SIGMA": 3.0,
            # The backbone sees the skeleton too (build_timm_fpn_backbone, ALIGN "image").
            "GUIDE": False,
            # At inference, average with the answers for the mirrored regions.
            "MIRRORED": False,
            # A branch that predicts the masks' IoU.
            "QUALITY": False,
            # "constant" or "quality".
            "SCORE_MODE": "constant",
            "MAX_PEOPLE": 8,
            "PEOPLE_CHUNK": 8,
            "DICE": 0.0,
        }
    )
