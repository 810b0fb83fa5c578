import cv2
import numpy as np
import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from torch.nn import functional as F

from kp2seg.affine import invert, transform_points
from kp2seg.modeling.aligners import FeatureAligner, ImageAligner
from kp2seg.modeling.people import gather_people
from kp2seg.template_files import matching_templates

CPU = torch.device("cpu")


class Means(Backbone):
    """Means of 4x4 pixels."""

    def forward(self, image):
        return {"p2": F.avg_pool2d(image, 4)}

    def output_shape(self):
        return {"p2": ShapeSpec(channels=3, stride=4)}


def feature_aligner(**settings):
    return FeatureAligner(Means(), **{"input_size": 128, "align_size": 16, **settings}).eval()


def image_aligner(**settings):
    return ImageAligner(Means(), **{"region_size": 64, **settings}).eval()


def coordinates(h, w):
    """A picture whose red and green are x and y, pixel centres at + 0.5."""
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)])


@pytest.fixture
def inputs(picture):
    """Two pictures, neither square, whose colours are coordinates; three people."""
    both = [picture([(50.0, 40.0), (120.0, 60.0)], (101, 180)), picture([(30.0, 110.0)], (160, 70))]
    for one in both:
        one["image"] = coordinates(one["height"], one["width"])
    return both


@pytest.fixture
def points(templates):
    return matching_templates(templates)


def grid_centres(n, side):
    y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    return torch.stack([x, y], -1).view(1, -1, 2).double().expand(n, -1, 2)


def test_the_published_letterbox_is_opencvs_on_integer_centres():
    image = torch.randint(0, 256, (3, 30, 50), dtype=torch.uint8)
    boxed = feature_aligner(convention="published").letterboxed([image, image.float() + 0.3])
    s = np.float32(128 / 50)
    A = np.array([[s, 0, 0], [0, s, 64 - 15 * s]])
    expected = cv2.warpAffine(image.permute(1, 2, 0).numpy(), A, (128, 128))
    for result in boxed:
        np.testing.assert_array_equal(result.permute(1, 2, 0).numpy(), expected)


def test_the_letterbox_of_half_pixel_centres_is_torchs():
    image = torch.randint(0, 256, (3, 32, 64), dtype=torch.uint8)
    boxed = feature_aligner().letterboxed([image])[0]
    assert boxed[:, :31].abs().max() == boxed[:, 97:].abs().max() == 0
    larger = F.interpolate(image[None].float(), scale_factor=2, mode="bilinear")[0]
    inner = (slice(None), slice(2, -2), slice(2, -2))
    assert (boxed[:, 32:96][inner] - larger[inner]).abs().max() <= 1.0


@pytest.mark.parametrize("make", [feature_aligner, image_aligner])
@pytest.mark.parametrize("region_scale", [1.0, 0.7])
def test_regions_show_the_places_that_their_matrices_name(make, region_scale, inputs, points):
    aligner = make(region_scale=region_scale)
    people = gather_people(inputs, 4, CPU)
    regions = aligner.match(people, points)
    assert regions.template.tolist() == [0, 0, 0]
    seen = aligner.look([one["image"] for one in inputs])
    features = aligner.features(seen, people, regions)
    side = aligner.grid_size
    assert features.shape == (3, 3, side, side)
    colours = features * aligner.pixel_std + aligner.pixel_mean
    there = transform_points(invert(regions.A_img2grid), grid_centres(3, side))
    sizes = torch.tensor([one["image"].shape[1:] for one in inputs])[people.image_index].flip(-1)
    inside = ((there > 8) & (there < sizes[:, None] - 8)).all(-1)
    assert inside.float().mean() > 0.5
    error = colours[:, :2].flatten(2).transpose(1, 2) - there
    assert error[inside].abs().max() < 1.5


@pytest.mark.parametrize("make", [feature_aligner, image_aligner])
def test_keypoints_lie_where_their_template_has_them(make, inputs, points):
    aligner = make(region_scale=0.5)
    regions = aligner.match(gather_people(inputs, 4, CPU), points)
    expected = (0.25 + 0.5 * points[0, :, :2]) * aligner.grid_size
    torch.testing.assert_close(regions.kpts_grid, expected.expand(3, 4, 2), rtol=0, atol=1e-4)


def test_both_ways_to_align_agree_on_the_region(inputs, points):
    people = gather_people(inputs, 4, CPU)
    by_features = feature_aligner().match(people, points)
    by_image = image_aligner().match(people, points)
    assert feature_aligner().grid_size == image_aligner().grid_size == 16
    torch.testing.assert_close(by_features.A_img2grid, by_image.A_img2grid, rtol=0, atol=1e-4)


def test_the_published_convention_is_the_same_geometry(inputs, points):
    people = gather_people(inputs, 4, CPU)
    aligner = feature_aligner(convention="published")
    regions = aligner.match(people, points)
    # Its integer centres are 0.5 less on both sides.
    shifted = transform_points(regions.A_img2grid, people.kpts_img.double() - 0.5)
    # As the reference's, the points are rounded to float32 before they are matched.
    torch.testing.assert_close(shifted, regions.kpts_grid, rtol=0, atol=1e-4)
    in_centres = transform_points(aligner.in_centres(regions.A_img2grid), people.kpts_img.double())
    torch.testing.assert_close(in_centres, regions.kpts_grid + 0.5, rtol=0, atol=1e-4)


def test_matrices_between_the_conventions_by_hand():
    aligner = feature_aligner(convention="published")
    twice = torch.tensor([[[2.0, 0, 3], [0, 2, 1], [0, 0, 1]]])
    # x' = 2 x + 3 becomes x' − 0.5 = 2 (x − 0.5) + 3.
    expected = torch.tensor([[[2.0, 0, 2.5], [0, 2, 0.5], [0, 0, 1]]])
    torch.testing.assert_close(aligner.in_centres(twice), expected)
    torch.testing.assert_close(aligner.from_centres(expected), twice)
    torch.testing.assert_close(feature_aligner().in_centres(twice), twice)


@pytest.mark.parametrize("make", [feature_aligner, image_aligner])
@pytest.mark.parametrize("jitter", [{"scale": [1.2]}, {"scales": (0.9, 1.1)}, {"scale": 0.5}])
def test_jitter_that_is_none(make, jitter):
    with pytest.raises(ValueError, match=r"jitter: expected angle_deg, scale=\(from, to\)"):
        make(jitter=jitter)


@pytest.mark.parametrize("make", [feature_aligner, image_aligner])
def test_jitter_in_training_only_and_seeded(make, inputs, points):
    jitter = {"angle_deg": 10.0, "scale": (0.9, 1.1), "shift": 0.05}
    aligner, people = make(jitter=jitter), gather_people(inputs, 4, CPU)
    still = aligner.match(people, points).A_img2grid
    torch.testing.assert_close(still, make().match(people, points).A_img2grid)
    aligner.train()
    first, again, other = (
        aligner.match(people, points, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    torch.testing.assert_close(first.A_img2grid, again.A_img2grid)
    assert (first.A_img2grid - other.A_img2grid).abs().max() > 0.01
    moved = (first.kpts_grid - transform_points(still, people.kpts_img.double())).abs()
    assert 0.05 < moved.max() < 0.35 * aligner.grid_size


def test_regions_of_some_people(inputs, points):
    regions = feature_aligner().match(gather_people(inputs, 4, CPU), points)
    some = regions.take(torch.tensor([2, 0]))
    torch.testing.assert_close(some.A_img2grid, regions.A_img2grid[[2, 0]])
    torch.testing.assert_close(some.kpts_grid, regions.kpts_grid[[2, 0]])
    assert some.template.shape == (2,)


@pytest.mark.parametrize("make", [feature_aligner, image_aligner])
def test_colours_are_normalised_by_channel(make):
    aligner = make(pixel_mean=(10, 20, 30), pixel_std=(1, 2, 5))
    pixel = torch.tensor([13, 26, 0], dtype=torch.uint8).view(3, 1, 1)
    assert aligner.normalise(pixel).flatten().tolist() == [3, 3, -6]
    assert "pixel_mean" not in aligner.state_dict()


def test_what_cannot_be():
    with pytest.raises(ValueError, match="input_size must be a multiple of the stride 4, got 130"):
        feature_aligner(input_size=130)
    with pytest.raises(ValueError, match="region_size must be a multiple of the stride 4, got 66"):
        image_aligner(region_size=66)
    with pytest.raises(ValueError, match=r"expected 'published' .*got 'corners'"):
        feature_aligner(convention="corners")
    with pytest.raises(ValueError, match="expected fallback 'whole' or 'box', got 'none'"):
        image_aligner(fallback="none")
