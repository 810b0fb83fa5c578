import pytest
import torch

from kp2seg.affine import transform_points
from kp2seg.modeling.export import export_pose2seg
from kp2seg.modeling.people import gather_people

CENTRES = [(25.0, 30.0), (55.0, 28.0)]


def close(outputs, expected):
    assert len(outputs) == len(expected)
    for output, value in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("quality", "convention"), [(True, "centres"), (False, "published")])
def test_the_program_from_a_picture_gives_the_models_numbers(
    make_model, picture, quality, convention
):
    model = make_model(quality=quality, aligner={"convention": convention}).eval()
    program = export_pose2seg(model, 2).module()
    for size, centres in (((60, 80), CENTRES), ((96, 50), [(20.0, 20), (30, 71)])):  # no square
        inputs = [picture(centres, size)]
        people = gather_people(inputs, 4, model.device)
        people.kpts_img.add_(torch.randn(2, 4, 2))  # no limb's edge right on a pixel
        people.visibility[1, 2:] = 0  # too few points: the whole picture
        people.kpts_img[1, 2:] = torch.nan
        with torch.no_grad():
            masks = next(model.region_masks(inputs, people))
            outputs = program(
                model.aligner.letterboxed([inputs[0]["image"]]),
                people.kpts_img,
                people.visibility,
                torch.tensor(size, dtype=torch.float32),
            )
        expected = [masks.logit.sigmoid(), masks.A_img2mask, masks.quality]
        close(outputs, expected if quality else expected[:2])
        assert masks.A_img2mask[0, 0, 0] != masks.A_img2mask[1, 0, 0]


def test_the_program_from_regions_gives_the_models_numbers(make_model, picture):
    model = make_model("image").eval()
    program = export_pose2seg(model, 2).module()
    inputs = [picture(CENTRES)]
    people = gather_people(inputs, 4, model.device)
    people.visibility[1, 0] = 1
    people.kpts_img.add_(torch.randn(2, 4, 2))  # no limb's edge right on a pixel
    regions = model.aligner.match(people, model.template_points)
    seen, cut = model.aligner.look([inputs[0]["image"]]), []
    hook = model.aligner.backbone.register_forward_pre_hook(lambda _, given: cut.append(given[0]))
    with torch.no_grad():
        masks = model.masks_of(seen, people, regions)
        hook.remove()
        bytes_of = cut[0] * model.aligner.pixel_std + model.aligner.pixel_mean
        kpts_region = transform_points(regions.A_img2grid, people.kpts_img) * model.aligner.stride
        outputs = program(bytes_of.contiguous(), kpts_region, people.visibility)
    close(outputs, [masks.logit.sigmoid(), masks.quality])


def test_what_cannot_be_exported(make_model):
    with pytest.raises(ValueError, match="expected a model in evaluation mode"):
        export_pose2seg(make_model().train(), 1)
    with pytest.raises(ValueError, match="n_people of at least 1, got 0"):
        export_pose2seg(make_model().eval(), 0)
