import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Instances, Keypoints

from kp2seg import zoo
from kp2seg.config import add_kp2seg_config
from kp2seg.modeling.aligners import FeatureAligner, ImageAligner
from kp2seg.modeling.mask_head import LightMaskHead, PublishedMaskHead
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.template_files import load_templates

PUBLISHED = [
    "MODEL.BACKBONE.NAME", "build_pose2seg_r50_backbone",
    "MODEL.POSE2SEG.INPUT_SIZE", 128,
    "MODEL.POSE2SEG.ALIGN_SIZE", 16,
]  # fmt: skip
LIGHT = [
    "MODEL.BACKBONE.NAME", "build_timm_fpn_backbone",
    "MODEL.FPN.OUT_CHANNELS", 16,
    "MODEL.POSE2SEG.ALIGN", "image",
    "MODEL.POSE2SEG.REGION_SIZE", 64,
    "MODEL.POSE2SEG.CONVENTION", "centres",
    "MODEL.POSE2SEG.FALLBACK", "box",
    "MODEL.POSE2SEG.REGION_SCALE", 0.8,
    "MODEL.POSE2SEG.HEAD", "light",
    "MODEL.POSE2SEG.QUALITY", True,
    "MODEL.POSE2SEG.SCORE_MODE", "quality",
    "MODEL.POSE2SEG.PEOPLE_CHUNK", 1,
    "MODEL.POSE2SEG.JITTER.SCALE", (0.5, 1.5),
]  # fmt: skip


def config(changes):
    cfg = get_cfg()
    add_kp2seg_config(cfg)
    cfg.MODEL.META_ARCHITECTURE = "Pose2Seg"
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.POSE2SEG.TEMPLATES = str(zoo.templates("person"))
    cfg.merge_from_list(changes)
    return cfg


@pytest.fixture
def people():
    """Two people in the pose of the first template, in a picture of 90x120."""
    pose = load_templates(zoo.templates("person")).templates[0].copy()
    pose[:, 2] = np.where(pose[:, 2] >= 0.4, 2, 0)
    kpts = torch.from_numpy(np.stack([pose, pose])).float()
    kpts[..., :2] = kpts[..., :2] * 70 + torch.tensor([[[10.0, 10.0]], [[40.0, 15.0]]])
    instances = Instances((90, 120), gt_keypoints=Keypoints(kpts))
    image = torch.randint(0, 256, (3, 90, 120), dtype=torch.uint8)
    return {"image": image, "instances": instances, "height": 90, "width": 120}


def test_the_published_model(people):
    model = build_model(config(PUBLISHED)).eval()
    assert isinstance(model, Pose2Seg)
    assert isinstance(model.aligner, FeatureAligner)
    assert isinstance(model.mask_head, PublishedMaskHead)
    weights = sum(weight.numel() for weight in model.parameters())
    assert weights == 26_852_416 + 16_030_978
    assert (model.aligner.convention, model.score_mode, model.max_people) == (
        "published",
        "constant",
        8,
    )
    assert model.aligner.pixel_mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert model.aligner.pixel_std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])
    assert model.input_format == "RGB"
    result = model([people])[0]["instances"]
    assert result.pred_masks.shape == (2, 90, 120)
    assert result.scores.tolist() == [1, 1]
    assert not result.has("mask_quality")


def test_the_light_model(people):
    model = build_model(config(LIGHT)).eval()
    assert isinstance(model.aligner, ImageAligner)
    assert isinstance(model.mask_head, LightMaskHead)
    assert model.mask_head.stem[0].in_channels == 16 + 17 + 2 * 19
    assert model.aligner.jitter == {"angle_deg": 30.0, "scale": (0.5, 1.5), "shift": 0.1}
    assert model.aligner.matching == {
        "matching": "templates",
        "transform": "similarity",
        "region_scale": 0.8,
        "fallback": "box",
        "box_expand": 1.7,
    }
    result = model([people])[0]["instances"]
    assert result.pred_masks.shape == (2, 90, 120)
    torch.testing.assert_close(result.scores, result.mask_quality)


def test_copies_of_templates_are_a_choice():
    changes = [*LIGHT, "MODEL.TIMM.PRETRAINED", False, "MODEL.POSE2SEG.TEMPLATE_COPIES"]
    points = {
        copies: build_model(config([*changes, copies])).template_points
        for copies in ("labels", "mirror", "none")
    }
    assert points["none"].shape == (3, 17, 3)
    for copies in ("labels", "mirror"):
        assert torch.equal(points[copies][:3], points["none"])
    labels, mirror = points["labels"][3:], points["mirror"][3:]
    there = labels[..., 2] > 0
    torch.testing.assert_close(mirror[there][:, 0], 1 - labels[there][:, 0])
    torch.testing.assert_close(mirror[..., 1:], labels[..., 1:])


def test_a_model_without_skeleton():
    changes = [*LIGHT, "MODEL.POSE2SEG.SKELETON", False, "MODEL.TIMM.PRETRAINED", False]
    model = build_model(config(changes))
    assert model.mask_head.stem[0].in_channels == 16


def test_a_backbone_that_sees_the_skeleton(people):
    model = build_model(config([*LIGHT, "MODEL.POSE2SEG.GUIDE", True])).eval()
    assert model.aligner.backbone.guide_channels == 17 + 2 * 19
    assert model([people])[0]["instances"].pred_masks.shape == (2, 90, 120)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("TEMPLATES", "", r"MODEL.POSE2SEG.TEMPLATES: names no file of pose templates; kp2seg.zoo"),
        ("ALIGN", "mask", r"MODEL.POSE2SEG.ALIGN: expected 'features' or 'image', got 'mask'"),
        ("HEAD", "tiny", r"MODEL.POSE2SEG.HEAD: expected published or light, got 'tiny'"),
        ("MATCHING", "boxes", r"expected matching 'templates' or 'box', got 'boxes'"),
        ("SCORE_MODE", "mean", r"score_mode: expected 'constant' or 'quality', got 'mean'"),
        ("IN_FEATURE", "p3", r"the backbone has no feature 'p3', only p2"),
    ],
)
def test_values_that_cannot_be(key, value, message):
    changes = [*LIGHT, "MODEL.TIMM.PRETRAINED", False, f"MODEL.POSE2SEG.{key}", value]
    with pytest.raises(ValueError, match=message):
        build_model(config(changes))


def test_a_mistyped_key_is_refused():
    with pytest.raises(AssertionError, match=r"Non-existent key: MODEL.POSE2SEG.HEADS"):
        config(["MODEL.POSE2SEG.HEADS", "light"])
