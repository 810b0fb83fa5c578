"""The published computation, reduced, against the numbers that the released code gave.

published_parity.npz was computed once with the public reference (its matching, aligning with
align_corners, skeletons, mask head and warping back), from the random tensors that `random_case`
makes; nothing else of it is here.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone

from kp2seg import zoo
from kp2seg.alignment import warp_back
from kp2seg.modeling.aligners import FeatureAligner
from kp2seg.modeling.mask_head import PublishedMaskHead
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.modeling.people import People
from kp2seg.modeling.published_weights import our_name
from kp2seg.template_files import load_templates

INPUT, STRIDE, ALIGN, CHANNELS = 96, 4, 16, 5
PICTURES = [(72, 96), (96, 60)]
"""(h, w), neither square."""


def random_case():
    """Feature maps of two pictures, four people with integer-centre keypoints, three templates."""
    rng = np.random.default_rng(5)
    side = INPUT // STRIDE
    features = rng.standard_normal((2, CHANNELS, side, side), np.float32)
    templates = np.full((3, 17, 3), 2.0)
    templates[..., :2] = rng.uniform(0.1, 0.9, (3, 17, 2))
    templates[1, 13:, 2] = templates[2, :4, 2] = 0.2
    image_index = np.array([0, 0, 1, 1])
    kpts = np.zeros((4, 17, 3))
    for person, (h, w) in enumerate(PICTURES[i] for i in image_index):
        pose = templates[person % 3]
        angle, size = rng.uniform(-0.5, 0.5), rng.uniform(30, 50)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        middle = np.array([w, h]) * rng.uniform(0.4, 0.6, 2)
        moved = (pose[:, :2] - 0.5) @ turn * size + middle + rng.normal(0, 1.5, (17, 2))
        visible = np.where(pose[:, 2] > 1, rng.integers(1, 3, 17), 0)
        visible[rng.integers(0, 17, 3)] = 0
        kpts[person] = np.column_stack([moved.round(), visible])
    kpts[3, 2:, 2] = 0  # two points: the whole picture
    return features, templates, image_index, kpts


def random_head(shapes):
    """Published name → array, for the shapes of the published mask head's tensors."""
    rng = np.random.default_rng(3)
    state = {}
    for name in sorted(shapes):
        if name.endswith("num_batches_tracked"):
            continue
        drawn = rng.standard_normal(shapes[name], np.float32)
        if name.endswith("running_var"):
            drawn = 1 + np.abs(drawn)
        elif drawn.ndim == 4:
            drawn = drawn * np.float32(1.2 / math.sqrt(drawn[0].size))
        elif name.endswith("weight"):
            drawn = 1 + np.float32(0.2) * drawn
        else:
            drawn = np.float32(0.1) * drawn
        state[name] = drawn
    return state


class NoBackbone(Backbone):
    def forward(self, image):
        raise NotImplementedError("the feature maps are drawn")

    def output_shape(self):
        return {"p2": ShapeSpec(channels=CHANNELS, stride=STRIDE)}


@pytest.fixture(scope="module")
def computed(published_names):
    features, poses, image_index, kpts = random_case()
    model = Pose2Seg(
        aligner=FeatureAligner(
            NoBackbone(), input_size=INPUT, align_size=ALIGN, convention="published"
        ),
        mask_head=PublishedMaskHead(CHANNELS + 55),
        templates=replace(load_templates(zoo.templates("person")), templates=poses),
    ).eval()
    state = model.mask_head.state_dict()
    ours = {name: our_name(name).removeprefix("mask_head.") for name in published_names["segnet"]}
    drawn = random_head({name: state[ours[name]].shape for name in ours})
    state.update({ours[name]: torch.from_numpy(value) for name, value in drawn.items()})
    model.mask_head.load_state_dict(state)
    people = People(
        torch.from_numpy(kpts[..., :2]).float() + 0.5,
        torch.from_numpy(kpts[..., 2]).long(),
        torch.from_numpy(image_index),
        torch.tensor([0, 1, 0, 1]),
        PICTURES,
    )
    with torch.no_grad():
        regions = model.aligner.match(people, model.template_points)
        return regions, model.masks_of(torch.from_numpy(features), people, regions), model


@pytest.fixture(scope="module")
def stored():
    with np.load(Path(__file__).with_name("published_parity.npz")) as file:
        return dict(file)


def test_the_same_templates_and_regions(computed, stored):
    regions, _, _ = computed
    assert regions.template.tolist() == stored["template"].tolist() == [0, 1, 2, -1]
    A = torch.from_numpy(stored["A_img2align"])
    # Bit for bit on the kind of processor where it was computed (EPYC). OpenCV's float32 SVD has
    # another rounding on others: 5.4e-5 px of 20 on a Xeon with AMX.
    torch.testing.assert_close(regions.A_img2grid.float(), A, rtol=0, atol=1e-4)


def test_the_same_logits(computed, stored):
    _, masks, _ = computed
    logit = torch.from_numpy(stored["logit"])
    assert logit.std() > 0.2  # nothing here is small beside the tolerance
    torch.testing.assert_close(masks.logit[:, 0], logit, rtol=0, atol=1e-3)


def test_the_same_masks(computed, stored):
    _, masks, model = computed
    for number, rows in ((0, [0, 1]), (1, [2, 3])):
        reference = torch.from_numpy(stored[f"masks{number}"]).bool()
        back = warp_back(
            masks.logit[rows].sigmoid(),
            model.aligner.from_centres(masks.A_img2mask[rows]),
            PICTURES[number],
            threshold=0.5,
            convention="published",
        )
        union = (back | reference).flatten(1).sum(1)
        assert union.min() > 100
        assert ((back & reference).flatten(1).sum(1) / union).min() >= 0.999
