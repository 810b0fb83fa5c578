import json

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.structures import Boxes, Instances
from omegaconf import OmegaConf
from torch import nn

from keypointnet.checkpoints import build_model, read_checkpoint, save_checkpoint
from keypointnet.config import load_config
from keypointnet.model import KeypointNet
from kp2seg.build import trained_model
from kp2seg.bundle import bundled
from kp2seg.checkpoints import SegCheckpoint, read_seg_checkpoint, save_seg_checkpoint
from kp2seg.keypoint_sources.discovered import Finding, cut_objects, find_keypoints
from kp2seg.lazy_config import SegConfigError, config_to_text
from kp2seg.modeling.aligners import ImageAligner
from kp2seg.modeling.backbones import build_light_backbone
from kp2seg.modeling.discovering import DiscoveringPose2Seg
from kp2seg.modeling.mask_head import LightMaskHead
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.pictures import to_bytes
from kp2seg.template_files import templates_to_json

CENTRES = [(25.0, 30.0), (55.0, 28.0)]
EVERYTHING = {"min_confidence": 0.0, "min_on_object": 0.0}


@pytest.fixture
def finder():
    torch.manual_seed(3)
    return KeypointNet(4, channels=8, orientation_channels=4, downsample=2).eval()


@pytest.fixture
def make(make_model, finder):
    def made(**settings):
        settings = {**EVERYTHING, **settings}
        segmenter = make_model()
        return DiscoveringPose2Seg(
            keypointnet=finder, crop_size=16, segmenter=segmenter, **settings
        ).eval()

    return made


@pytest.fixture
def boxed(picture):
    """The picture of two discs, with their boxes in place of their points."""
    one = picture(CENTRES)
    boxes = torch.tensor([[cx - 12, cy - 12, cx + 12, cy + 12] for cx, cy in CENTRES])
    one["instances"] = Instances((60, 80), gt_boxes=Boxes(boxes))
    return one


def test_masks_of_found_keypoints(make, finder, boxed):
    model = make()
    result = model([boxed])[0]["instances"]
    assert result.pred_masks.shape == (2, 60, 80)
    crops = cut_objects(
        to_bytes(boxed["image"]),
        torch.tensor([[cx - 12, cy - 12, 24, 24] for cx, cy in CENTRES]).numpy(),
        16,
        1.3,
    )
    uv = find_keypoints(finder, crops).uvz[..., :2]
    # (u, v) of ±1 is 1.3 · 12 px from the box's middle.
    expected = torch.tensor(CENTRES).unsqueeze(1) + uv * 1.3 * 12
    torch.testing.assert_close(result.pred_keypoints[..., :2], expected, rtol=0, atol=1e-3)
    # The same masks as if the points had been given.
    points = torch.cat([expected, torch.full((2, 4, 1), 2.0)], dim=-1)
    given = {**boxed, "instances": Instances((60, 80), gt_keypoints=points)}
    torch.testing.assert_close(
        result.scores, model.segmenter([given])[0]["instances"].scores, rtol=0, atol=1e-3
    )


def test_points_that_do_not_count_are_missing(make, boxed):
    result = make(min_confidence=1.0)([boxed])[0]["instances"]
    assert (result.pred_keypoints == 0).all()
    assert result.pred_masks.shape == (2, 60, 80)  # of the whole picture's region


def test_boxes_with_scores_and_classes(make, boxed):
    plain = make()([boxed])[0]["instances"]
    instances = Instances((60, 80))
    instances.pred_boxes = boxed["instances"].gt_boxes
    instances.scores, instances.pred_classes = torch.tensor([0.5, 0.25]), torch.tensor([4, 2])
    result = make()([{**boxed, "instances": instances}])[0]["instances"]
    torch.testing.assert_close(result.scores, plain.scores * torch.tensor([0.5, 0.25]))
    assert result.pred_classes.tolist() == [4, 2]


class Detector(nn.Module):
    """Finds three boxes in every picture, and keeps what it was shown."""

    def forward(self, inputs):
        (self.seen,) = inputs
        found = Instances(tuple(self.seen["image"].shape[-2:]))
        found.pred_boxes = Boxes(
            torch.tensor([[13.0, 18, 37, 42], [43, 16, 67, 40], [0, 0, 20, 20], [5, 5, 5, 9]])
        )
        found.scores = torch.tensor([0.9, 0.6, 0.4, 0.9])
        found.pred_classes = torch.tensor([3, 3, 3, 3])
        return [{"instances": found}]


def test_a_detectors_boxes(make, boxed):
    detector = Detector()
    model = make(detector=detector)
    del boxed["instances"]
    result = model([boxed])[0]["instances"]
    assert len(result) == 2  # one is not sure enough, one has no area
    assert torch.equal(detector.seen["image"], boxed["image"].flip(0))
    assert result.pred_classes.tolist() == [3, 3]
    assert len(make(detector=detector, classes=[1, 2])([boxed])[0]["instances"]) == 0
    rgb = make(detector=detector, detector_format="RGB")
    rgb([boxed])
    assert torch.equal(detector.seen["image"], boxed["image"])
    with pytest.raises(ValueError, match=r'discs.png: neither boxes in its "instances" nor a det'):
        make()([boxed])
    assert len(make()([{**boxed, "instances": Instances((60, 80))}])[0]["instances"]) == 0


def test_what_cannot_be(make, make_model, boxed, picture):
    with pytest.raises(ValueError, match="finds 5 points, the templates have 4"):
        DiscoveringPose2Seg(keypointnet=KeypointNet(5), crop_size=16, segmenter=make_model())
    with pytest.raises(ValueError, match="detector_format: expected 'RGB' or 'BGR', got 'GRB'"):
        make(detector_format="GRB")
    with pytest.raises(ValueError, match="context: expected at least 1"):
        make(context=0.5)
    with pytest.raises(RuntimeError, match="predicts only; train its parts"):
        make().train()([boxed])
    with pytest.raises(ValueError, match=r"discs.png: .* none of the fields gt_boxes, pred_boxes"):
        make()([picture(CENTRES)])


def seg_checkpoint(templates, path):
    """A light model's, of the given templates."""
    torch.manual_seed(0)
    backbone = L(build_light_backbone)(channels=8, pretrained=False)
    lazy = L(Pose2Seg)(
        aligner=L(ImageAligner)(backbone=backbone, region_size=64),
        mask_head=L(LightMaskHead)(in_channels=8 + 12, channels=8),
        templates=templates_to_json(templates),
    )
    config = OmegaConf.create({"model": lazy}, flags={"allow_objects": True})
    text = config_to_text(config)
    model = Pose2Seg(
        aligner=ImageAligner(build_light_backbone(channels=8, pretrained=False), region_size=64),
        mask_head=LightMaskHead(8 + 12, channels=8),
        templates=templates,
    )
    save_seg_checkpoint(path, {"model": model.state_dict()}, step=7, config=text)
    return read_seg_checkpoint(path), model.eval()


def test_one_checkpoint_of_both(templates, boxed, tmp_path):
    torch.manual_seed(3)
    settings = ["model.num_keypoints=4", "model.channels=8", "model.orientation_channels=4"]
    config = load_config(None, [*settings, "data.image_size=16"])
    network = build_model(config)
    save_checkpoint(
        tmp_path / "k.safetensors", {"model": network.state_dict()}, step=1, config=config
    )
    segmenter, model = seg_checkpoint(templates, tmp_path / "s.safetensors")
    finder = read_checkpoint(tmp_path / "k.safetensors")
    weights, text = bundled(finder, segmenter, Finding(1.5, 0.0, 0.0))
    save_seg_checkpoint(tmp_path / "both.safetensors", {"model": weights}, step=7, config=text)
    both = trained_model(read_seg_checkpoint(tmp_path / "both.safetensors"))
    assert isinstance(both, DiscoveringPose2Seg)
    assert both.finding == Finding(1.5, 0.0, 0.0)
    expected = DiscoveringPose2Seg(
        keypointnet=network.eval(), crop_size=16, segmenter=model, context=1.5, **EVERYTHING
    ).eval()
    for name in ("scores", "pred_keypoints"):
        results = [each([boxed])[0]["instances"].get(name) for each in (both, expected)]
        torch.testing.assert_close(*results, rtol=1e-4, atol=1e-3)

    with pytest.raises(SegConfigError, match=r"s.safetensors: takes 4 keypoints, .* finds 8"):
        bundled(finder, segmenter, Finding(corners=True))
    other = load_config(None, ["model.num_keypoints=6"])
    save_checkpoint(finder.path, {"model": build_model(other).state_dict()}, step=1, config=other)
    with pytest.raises(SegConfigError, match=r"s.safetensors: takes 4 keypoints, .* finds 6"):
        bundled(read_checkpoint(finder.path), segmenter, Finding())
    detector = SegCheckpoint(tmp_path / "m", 0, json.dumps({"model": {}}), {}, {})
    with pytest.raises(SegConfigError, match="takes no keypoints; expected a Pose2Seg"):
        bundled(finder, detector, Finding())
