"""A backbone that sees the skeleton beside the picture."""

import pytest
import torch

from kp2seg.affine import transform_points
from kp2seg.modeling.aligners import FeatureAligner, ImageAligner
from kp2seg.modeling.backbones import GUIDE_WIDTH, TimmBottomUp, build_light_backbone
from kp2seg.modeling.export import export_pose2seg
from kp2seg.modeling.mask_head import LightMaskHead
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.modeling.people import gather_people
from kp2seg.skeleton import skeleton_channels

CENTRES = [(25.0, 30.0), (55.0, 28.0)]


@pytest.fixture
def guided(templates):
    torch.manual_seed(0)
    S = skeleton_channels(templates)
    backbone = build_light_backbone(channels=8, guide_channels=S, pretrained=False)
    return Pose2Seg(
        aligner=ImageAligner(backbone, region_size=64),
        mask_head=LightMaskHead(8, channels=8),
        templates=templates,
        skeleton=False,
        skeleton_sigma=1.0,
    )


def test_pretrained_colours_and_nothing_else_at_first():
    with torch.no_grad():
        plain, guided = TimmBottomUp().eval(), TimmBottomUp(guide_channels=5).eval()
        image = torch.randn(2, 3, 64, 64)
        extra = torch.randn(2, 5, 16, 16)
        seen = guided(image, extra)
        for level, features in plain(image).items():
            torch.testing.assert_close(seen[level], features, rtol=1e-4, atol=1e-4)
    assert guided.network.conv_stem.weight.shape[1] == 3 + GUIDE_WIDTH


def test_the_guide_lies_where_the_points_are(guided, picture, templates):
    people = gather_people([picture(CENTRES)], 4, guided.device)
    regions = guided.eval().aligner.match(people, guided.template_points)
    guide = guided.skeleton_of(regions.kpts_grid, people.visibility)
    assert guide.shape == (2, skeleton_channels(templates), 16, 16)
    expected = transform_points(regions.A_img2grid, people.kpts_img.double())
    for person in range(2):
        for point in range(4):
            y, x = divmod(int(guide[person, point].argmax()), 16)
            assert abs(x + 0.5 - expected[person, point, 0]) <= 0.5
            assert abs(y + 0.5 - expected[person, point, 1]) <= 0.5


def test_masks_depend_on_it_and_it_is_trained(guided, picture):
    one = picture(CENTRES)
    losses = guided.train()([one])
    losses["loss_mask"].backward()
    bottom_up = guided.aligner.backbone.bottom_up
    assert bottom_up.network.conv_stem.weight.grad[:, 3:].abs().sum() > 0
    assert bottom_up.guide.weight.grad.abs().sum() > 0

    guided.eval()
    people = gather_people([one], 4, guided.device)
    regions = guided.aligner.match(people, guided.template_points)
    seen = guided.aligner.look([one["image"]])
    with torch.no_grad():
        shown = guided.masks_of(seen, people, regions).logit
        hidden = torch.zeros_like(people.visibility)
        maps = guided.skeleton_of(regions.kpts_grid, hidden)
        aligned = guided.aligner.features(seen, people, regions, maps)
        unseen = guided.predict(aligned, maps).logit
    assert (shown - unseen).abs().max() > 1e-3


def test_an_exported_program_is_guided_too(guided, picture):
    guided.eval()
    one = picture(CENTRES)
    people = gather_people([one], 4, guided.device)
    regions = guided.aligner.match(people, guided.template_points)
    # In float32, as the program takes them: a pixel at a limb's very edge may be on it or not.
    points = (regions.kpts_grid * 4).float()
    regions = regions._replace(kpts_grid=points.double() / 4)
    with torch.no_grad():
        expected = guided.masks_of(guided.aligner.look([one["image"]]), people, regions)
        seen = []
        guided.aligner.region_features, ours = (
            lambda pictures, guide: seen.append(pictures) or ours(pictures, guide),
            guided.aligner.region_features,
        )
        guided.masks_of(guided.aligner.look([one["image"]]), people, regions)
        del guided.aligner.region_features
        program = export_pose2seg(guided, 2).module()
        (probability,) = program(seen[0], points, people.visibility)
    torch.testing.assert_close(probability, expected.logit.sigmoid(), rtol=1e-4, atol=1e-5)


def test_what_cannot_be(templates):
    backbone = build_light_backbone(channels=8, guide_channels=5, pretrained=False)
    parts = {"mask_head": LightMaskHead(8), "templates": templates, "skeleton": False}
    with pytest.raises(ValueError, match=r"guide_channels=5; these templates have 12 skeleton"):
        Pose2Seg(aligner=ImageAligner(backbone, region_size=64), **parts)
    with pytest.raises(ValueError, match="with FeatureAligner people share what it sees"):
        Pose2Seg(aligner=FeatureAligner(backbone, input_size=64), **parts)
