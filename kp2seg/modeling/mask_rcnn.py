"""Detectron2's Mask R-CNN on our backbones: what the masks from keypoints are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2 import model_zoo
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, build_model
from detectron2.modeling.backbone.fpn import FPN, LastLevelMaxPool
from torch import nn

from kp2seg.config import add_kp2seg_config
from kp2seg.modeling.backbones import LITE0, TimmBottomUp


def build_mask_rcnn(
    name: str = LITE0,
    *,
    channels: int = 256,
    fc_dim: int = 1024,
    rois: int = 512,
    proposals: int = 1000,
    pixel_mean: Sequence[float] = (127.5, 127.5, 127.5),
    pixel_std: Sequence[float] = (127.5, 127.5, 127.5),
    pretrained: bool = True,
) -> nn.Module:
    """Mask R-CNN of one class with a pyramid on a timm network; the rest is Detectron2's default.

    Args:    name: of the network in timm.  channels: of the pyramid and of all heads.
             fc_dim: of the box head's two layers.  rois: sampled from each picture in training.
             proposals: kept of each picture after suppression.
             pixel_mean, pixel_std: what the network's ImageNet weights were trained with.
             pretrained: see `TimmBottomUp`.
    Source:  He et al. 2017; mask_rcnn_R_50_FPN_3x of Detectron2's model zoo.
    """
    cfg = get_cfg()
    add_kp2seg_config(cfg)
    cfg.merge_from_file(
        model_zoo.get_config_file("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml")
    )
    c = cfg.MODEL
    c.DEVICE, c.WEIGHTS = "cpu", ""
    c.BACKBONE.NAME = build_timm_rcnn_backbone.__name__
    c.TIMM.NAME, c.TIMM.PRETRAINED = name, pretrained
    c.FPN.OUT_CHANNELS = c.ROI_MASK_HEAD.CONV_DIM = channels
    c.ROI_BOX_HEAD.FC_DIM = fc_dim
    c.ROI_HEADS.NUM_CLASSES = 1
    c.ROI_HEADS.BATCH_SIZE_PER_IMAGE = rois
    c.RPN.PRE_NMS_TOPK_TRAIN = c.RPN.PRE_NMS_TOPK_TEST = 2 * proposals
    c.RPN.POST_NMS_TOPK_TRAIN = c.RPN.POST_NMS_TOPK_TEST = proposals
    c.PIXEL_MEAN, c.PIXEL_STD = list(pixel_mean), list(pixel_std)
    cfg.INPUT.FORMAT = "RGB"
    model: nn.Module = build_model(cfg)
    return model


@BACKBONE_REGISTRY.register()
def build_timm_rcnn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Detectron2's own pyramid, p2 to p6, on a timm network: for detectors."""
    bottom_up = TimmBottomUp(cfg.MODEL.TIMM.NAME, pretrained=cfg.MODEL.TIMM.PRETRAINED)
    return FPN(
        bottom_up,
        in_features=list(bottom_up.output_shape()),
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
    )
