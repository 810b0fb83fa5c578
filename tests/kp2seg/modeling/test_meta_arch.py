import numpy as np
import pytest
import torch
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances, PolygonMasks

from kp2seg.alignment import warp_back
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.modeling.people import gather_people

CENTRES = [(25.0, 30.0), (55.0, 28.0)]
FIELDS = {"pred_masks", "pred_keypoints", "pred_boxes", "pred_classes", "scores", "mask_quality"}


def iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a & b).flatten(1).sum(1) / (a | b).flatten(1).sum(1)


def test_it_is_registered():
    assert META_ARCH_REGISTRY.get("Pose2Seg") is Pose2Seg


@pytest.mark.parametrize("align", ["features", "image"])
@pytest.mark.parametrize("quality", [True, False])
def test_losses_and_their_gradients(make_model, picture, align, quality):
    model = make_model(align, quality).train()
    losses = model([picture(CENTRES), picture([(40.0, 30.0)])])
    assert set(losses) == {"loss_mask"} | ({"loss_quality"} if quality else set())
    sum(losses.values()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("align", ["features", "image"])
@pytest.mark.parametrize("convention", ["centres", "published"])
def test_true_masks_in_the_regions_and_back_are_the_true_masks(
    make_model, picture, align, convention
):
    if align == "image" and convention == "published":
        with pytest.raises(ValueError, match="expected convention 'centres'"):
            make_model(align, aligner={"convention": convention})
        return
    model = make_model(align, aligner={"convention": convention}).eval()
    inputs = [picture(CENTRES), picture([(33.0, 47.0)], (64, 48))]
    people = gather_people(inputs, 4, model.device)
    regions = model.aligner.match(people, model.template_points)
    assert regions.template.tolist() == [0, 0, 0]
    masks = model.masks_of(model.aligner.look([p["image"] for p in inputs]), people, regions)
    gt = model._true_masks(inputs, people, masks)
    assert set(gt.unique().tolist()) == {0.0, 1.0}
    for number, rows in ((0, [0, 1]), (1, [2])):
        size = (inputs[number]["height"], inputs[number]["width"])
        back = warp_back(gt[rows], masks.A_img2mask[rows], size, threshold=0.5)
        assert iou(back, inputs[number]["instances"].gt_masks.tensor).min() > 0.9


@pytest.mark.parametrize("align", ["features", "image"])
def test_it_learns_the_masks_of_a_picture(make_model, picture, align):
    model = make_model(align, score_mode="quality", aligner={"region_scale": 0.8}).train()
    model.aligner.jitter = None
    inputs = [picture(CENTRES)]
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(80):
        loss = sum(model(inputs).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    result = model(inputs)[0]["instances"]
    truth = inputs[0]["instances"].gt_masks.tensor
    overlap = iou(result.pred_masks, truth)
    assert overlap.min() > 0.85
    torch.testing.assert_close(result.scores, result.mask_quality)
    torch.testing.assert_close(result.mask_quality, overlap, atol=0.15, rtol=0)
    boxes = result.pred_boxes.tensor
    torch.testing.assert_close(boxes[0], torch.tensor([13.0, 18, 37, 42]), atol=2.0, rtol=0)


def test_results_are_the_inputs_people_in_order_at_the_asked_size(make_model, picture):
    model = make_model().eval()
    first, second = picture(CENTRES), picture([(40.0, 30.0)])
    second["height"], second["width"] = 120, 160
    small, large = (output["instances"] for output in model([first, second]))
    assert set(small.get_fields()) == FIELDS
    assert small.pred_masks.shape == (2, 60, 80)
    assert small.pred_masks.dtype == torch.bool
    assert large.pred_masks.shape == (1, 120, 160)
    given = first["instances"].gt_keypoints.tensor
    torch.testing.assert_close(small.pred_keypoints, given)
    points = second["instances"].gt_keypoints.tensor
    torch.testing.assert_close(large.pred_keypoints[..., :2], 2 * points[..., :2])
    assert small.scores.tolist() == [1.0, 1.0]
    halved = model([dict(second, height=60, width=80)])[0]["instances"].pred_masks
    again = large.pred_masks[:, ::2, ::2]
    assert (halved == again).float().mean() > 0.97


def test_people_of_a_batch_do_not_change_each_other(make_model, picture):
    model = make_model().eval()
    inputs = [picture(CENTRES), picture([(40.0, 30.0)]), picture([(30.0, 20.0)])]
    people = gather_people(inputs, 4, model.device)
    together = torch.cat([chunk.logit for chunk in model.region_masks(inputs, people)])
    alone = []
    for one in inputs:
        chunks = model.region_masks([one], gather_people([one], 4, model.device))
        alone += [chunk.logit for chunk in chunks]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("align", ["features", "image"])
def test_the_chunk_size_changes_nothing(make_model, picture, align):
    inputs = [picture(CENTRES), picture(CENTRES)]
    outputs = [
        [out["instances"] for out in make_model(align, people_chunk=chunk).eval()(inputs)]
        for chunk in (1, 3, 100)
    ]
    for other in outputs[1:]:
        for a, b in zip(outputs[0], other, strict=True):
            assert (a.pred_masks == b.pred_masks).float().mean() > 0.999
            torch.testing.assert_close(a.mask_quality, b.mask_quality)


@pytest.mark.parametrize("align", ["features", "image"])
def test_pictures_without_people(make_model, picture, align):
    model = make_model(align)
    empty = picture([])
    bare = {key: value for key, value in empty.items() if key != "instances"}
    for batch in ([empty], [bare], [bare, picture([(40.0, 30.0)])]):
        output = model.eval()(batch)[0]["instances"]
        assert len(output) == 0
        assert output.pred_masks.shape == (0, 60, 80)
        assert set(output.get_fields()) == FIELDS
    assert len(model.eval()([bare, picture(CENTRES)])[1]["instances"]) == 2
    losses = model.train()([empty])
    assert [loss.item() for loss in losses.values()] == [0.0, 0.0]
    sum(losses.values()).backward()


@pytest.mark.parametrize("align", ["features", "image"])
@pytest.mark.parametrize("fallback", ["whole", "box"])
@pytest.mark.parametrize("visible", [0, 1, 2])
def test_a_person_with_few_points_still_gets_a_mask(make_model, picture, align, fallback, visible):
    model = make_model(align, aligner={"fallback": fallback}).eval()
    one = picture(CENTRES)
    points = one["instances"].gt_keypoints.tensor
    points[0, visible:, 2] = 0
    points[0, visible:, :2] = torch.nan
    masks = model([one])[0]["instances"]
    assert len(masks) == 2
    assert torch.isfinite(masks.mask_quality).all()
    assert (masks.pred_keypoints[0, visible:] == 0).all()
    model.train()
    losses = model([one])
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_people_outside_of_the_picture_have_empty_masks(make_model, picture):
    model = make_model(aligner={"matching": "box"}).eval()
    one = picture(CENTRES)
    one["instances"].gt_keypoints.tensor[0, :, :2] += 5000
    masks = model([one])[0]["instances"]
    assert masks.pred_masks[0].sum() == 0
    assert masks.pred_boxes.tensor[0].tolist() == [0, 0, 0, 0]


def test_sixty_people_in_one_picture(make_model, picture):
    rng = np.random.default_rng(0)
    one = picture([tuple(rng.uniform(20, 100, 2)) for _ in range(60)], (120, 120))
    model = make_model("image", people_chunk=8).eval()
    assert model([one])[0]["instances"].pred_masks.shape == (60, 120, 120)


def test_training_takes_a_seeded_choice_of_people(make_model, picture):
    model = make_model(max_people=2).train()
    seen = []
    model.mask_head.register_forward_hook(lambda head, inputs, output: seen.append(inputs[0]))
    inputs = [picture(CENTRES), picture(CENTRES)]
    for seed in (0, 0, 1):
        model(inputs, torch.Generator().manual_seed(seed))
    assert {len(x) for x in seen} == {2}
    torch.testing.assert_close(seen[0], seen[1])
    assert not torch.allclose(seen[0], seen[2])


def test_polygons_and_predicted_keypoints_are_taken(make_model, picture):
    one = picture([(30.0, 30.0)])
    polygons = Instances((60, 80))
    polygons.gt_keypoints = one["instances"].gt_keypoints
    polygons.gt_masks = PolygonMasks([[np.array([18.0, 18, 42, 18, 42, 42, 18, 42])]])
    assert make_model().train()([dict(one, instances=polygons)])["loss_mask"].item() > 0
    predicted = Instances((60, 80))
    points = one["instances"].gt_keypoints.tensor.clone()
    points[..., 2] = 0.3  # a detector's confidence
    predicted.pred_keypoints = points
    result = make_model().eval()([dict(one, instances=predicted)])[0]["instances"]
    assert result.pred_keypoints[..., 2].unique().tolist() == [2.0]


def test_what_cannot_be(make_model, picture, templates):
    one = picture(CENTRES)
    with pytest.raises(ValueError, match=r"discs.png: .*none of the fields gt_keypoints"):
        make_model().eval()([dict(one, instances=Instances((60, 80), scores=torch.ones(2)))])
    wrong = Instances((60, 80), gt_keypoints=torch.ones(2, 17, 3))
    with pytest.raises(ValueError, match=r"expected gt_keypoints \(p, 4, 3\).*got \(2, 17, 3\)"):
        make_model().eval()([dict(one, instances=wrong)])
    unmasked = Instances((60, 80), gt_keypoints=one["instances"].gt_keypoints)
    with pytest.raises(ValueError, match="training needs the field gt_masks"):
        make_model().train()([dict(one, instances=unmasked)])
    with pytest.raises(ValueError, match="'quality' needs a quality_head"):
        make_model(quality=False, score_mode="quality")
    with pytest.raises(ValueError, match="expected 'constant' or 'quality', got 'best'"):
        make_model(score_mode="best")
    with pytest.raises(ValueError, match="people_chunk: expected at least 1, got 0"):
        make_model(people_chunk=0)
    with pytest.raises(ValueError, match="the backbone has no feature 'p3', only p2"):
        make_model(aligner={"in_feature": "p3"})


def test_corners_of_a_box_weigh_more_in_the_fit(make_model, templates, monkeypatch):
    monkeypatch.setattr("kp2seg.modeling.meta_arch.CORNERS", ("top", "bottom"))
    assert make_model().aligner.point_weight is None
    weight = make_model(corner_weight=20.0).aligner.point_weight
    assert weight.tolist() == [20, 1, 1, 20]
