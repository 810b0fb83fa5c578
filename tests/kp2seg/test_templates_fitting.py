import json
import math

import cv2
import numpy as np
import pytest

from kp2seg.template_drawing import draw_templates
from kp2seg.templates import (
    TemplateError,
    best_k,
    fit_templates,
    load_templates,
    mirrored,
    silhouette_by_k,
)

NAMES = ("top", "left", "right", "bottom")
FLIP = {"left": "right"}
# Three poses that are their own mirror images: upright, flat, and small without its lowest point.
UPRIGHT = np.array([[0.5, 0.05, 2], [0.7, 0.5, 2], [0.3, 0.5, 2], [0.5, 0.95, 2]])
FLAT = np.array([[0.5, 0.4, 1], [0.95, 0.5, 2], [0.05, 0.5, 2], [0.5, 0.6, 1]])
SMALL = np.array([[0.5, 0.3, 2], [0.6, 0.4, 1], [0.4, 0.4, 1], [0.5, 0.5, 0]])


def noisy(pose, n, rng, spread=0.02):
    poses = np.repeat(pose[None], n, axis=0)
    poses[..., :2] += rng.normal(0, spread, (n, len(pose), 2))
    poses[poses[..., 2] == 0, :2] = math.nan  # not to be looked at
    return poses


@pytest.fixture
def poses():
    rng = np.random.default_rng(0)
    return np.concatenate([noisy(SMALL, 15, rng), noisy(UPRIGHT, 40, rng), noisy(FLAT, 25, rng)])


def test_known_clusters_are_found_heaviest_first(poses):
    found = fit_templates(poses, NAMES, ((0, 1),), FLIP, k=3, min_points=3)
    expected = np.stack([UPRIGHT, FLAT, SMALL])
    np.testing.assert_allclose(found.templates, expected, atol=0.02)
    assert found.templates[2, 3].tolist() == [pytest.approx(0.5), pytest.approx(0.5), 0]
    assert found.connections == ((0, 1),)
    assert (found.min_points, found.vis_threshold) == (3, 0.4)
    # The clusters hold their mirror images, so the templates are their own.
    np.testing.assert_allclose(mirrored(found.templates, NAMES, FLIP), found.templates, atol=1e-9)


def test_same_seed_same_templates(poses):
    first, again = (fit_templates(poses, NAMES, k=5, min_points=3, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.templates, again.templates)


def test_mirror_settings(poses):
    leaning = poses.copy()
    leaning[..., 0] += 0.1
    options = {"flip_map": FLIP, "k": 3, "min_points": 3}
    plain = fit_templates(leaning, NAMES, mirror="none", **options)
    np.testing.assert_allclose(plain.templates[0, :, 0], UPRIGHT[:, 0] + 0.1, atol=0.02)
    true = fit_templates(leaning, NAMES, mirror="true", **options)
    assert true.templates.shape == (3, 4, 3)
    labels = fit_templates(leaning, NAMES, mirror="labels", **options)
    np.testing.assert_array_equal(labels.templates[:3], true.templates)
    np.testing.assert_array_equal(labels.templates[3:], true.templates[:, [0, 2, 1, 3]])


def test_without_pairs_mirroring_is_geometric():
    # One asymmetric pose and its mirror image become two clusters.
    pose = np.array([[0.2, 0.1, 2], [0.9, 0.4, 2], [0.3, 0.6, 2], [0.4, 0.9, 2]])
    poses = noisy(pose, 10, np.random.default_rng(1), spread=0.005)
    found = fit_templates(poses, NAMES, k=2, min_points=3).templates
    found = found[np.argsort(found[:, 0, 0])]
    image = pose * [-1, 1, 1] + [1, 0, 0]
    np.testing.assert_allclose(found, np.stack([pose, image]), atol=0.01)


def test_weights(poses):
    weights = np.ones(len(poses))
    weights[:15] = 10  # the small ones
    found = fit_templates(poses, NAMES, flip_map=FLIP, min_points=3, weights=weights)
    np.testing.assert_allclose(found.templates[0], SMALL, atol=0.02)
    weights[:15] = 0
    without = fit_templates(poses, NAMES, flip_map=FLIP, k=2, min_points=3, weights=weights)
    alone = fit_templates(poses[15:], NAMES, flip_map=FLIP, k=2, min_points=3)
    np.testing.assert_allclose(without.templates, alone.templates)


def test_poses_with_few_points_are_left_out(poses):
    found = fit_templates(poses, NAMES, flip_map=FLIP, k=2, min_points=4)
    np.testing.assert_allclose(found.templates, np.stack([UPRIGHT, FLAT]), atol=0.02)


def test_k_by_silhouette(poses):
    scores = silhouette_by_k(poses, NAMES, FLIP, k_max=5, min_points=3)
    assert list(scores) == [2, 3, 4, 5]
    assert best_k(scores) == 3
    assert scores[3] > 0.8
    auto = fit_templates(poses, NAMES, flip_map=FLIP, k="auto", k_max=5, min_points=3)
    by_hand = fit_templates(poses, NAMES, flip_map=FLIP, k=3, min_points=3)
    np.testing.assert_array_equal(auto.templates, by_hand.templates)
    assert best_k({2: 0.5, 3: 0.7, 4: 0.7}) == 3


def test_silhouette_of_many_poses_takes_a_sample(poses, monkeypatch):
    monkeypatch.setattr("kp2seg.templates._MAX_SILHOUETTE_POSES", 60)
    scores = silhouette_by_k(poses, NAMES, FLIP, k_max=4, min_points=3)
    assert best_k(scores) == 3


def test_errors(poses):
    with pytest.raises(TemplateError, match=r"k from 1 to 160, the number of different .* got 161"):
        fit_templates(poses, NAMES, k=161, min_points=3)
    same = np.repeat(UPRIGHT[None], 5, axis=0)
    with pytest.raises(TemplateError, match=r"k from 1 to 1, .* got 2"):
        fit_templates(same, NAMES, flip_map=FLIP, k=2, min_points=3)
    with pytest.raises(TemplateError, match="none of 80 poses has 5 visible keypoints"):
        fit_templates(poses, NAMES, min_points=5)
    with pytest.raises(TemplateError, match=r"expected poses \(P, 3, 3\) .* got \(80, 4, 3\)"):
        fit_templates(poses, NAMES[:3])
    with pytest.raises(TemplateError, match=r"expected weights \(80,\), .* got \(3,\)"):
        fit_templates(poses, NAMES, weights=np.ones(3))
    with pytest.raises(TemplateError, match="mirror 'true', 'labels' or 'none', got 'yes'"):
        fit_templates(poses, NAMES, mirror="yes")
    with pytest.raises(TemplateError, match="3 different poses, got k_max 8 and 1"):
        fit_templates(same, NAMES, flip_map=FLIP, k="auto", min_points=3)
    poses[30, 1, 0] = math.nan
    with pytest.raises(TemplateError, match="pose 30: keypoint left: NaN"):
        fit_templates(poses, NAMES, min_points=3)


def test_drawing_leaves_out_what_a_template_lacks(poses):
    found = fit_templates(poses, NAMES, ((0, 3),), FLIP, k=3, min_points=3)
    picture = draw_templates(found, tile_px=100, columns=2)
    assert picture.shape == (2 * 104 + 4, 2 * 104 + 4, 3)

    def at(number, x, y):
        corner = np.array([4 + number // 2 * 104, 4 + number % 2 * 104])
        return picture[
            tuple(corner + np.round([100 * (0.06 + 0.88 * v) for v in (y, x)]).astype(int))
        ]

    background = picture[0, 0]
    assert (at(0, 0.5, 0.95) != background).any()  # the lowest point of the upright one
    assert (at(0, 0.5, 0.3) != background).any()  # on its limb
    assert (at(2, 0.5, 0.5) == background).all()
    assert (at(2, 0.5, 0.3) != background).any()


def test_tool(load_tool, tmp_path, poses, capsys):
    annotations = []
    for number, pose in enumerate(np.nan_to_num(poses, nan=0.5)):
        pose = pose * [200, 200, 1] * (pose[:, 2:] > 0)
        annotations.append(
            {
                "id": number,
                "category_id": 1,
                "bbox": [0, 0, 200, 200],
                "keypoints": pose.ravel().tolist(),
            }
        )
    category = {"id": 1, "name": "kite", "keypoints": NAMES, "skeleton": [[1, 2]]}
    dataset = tmp_path / "kites.json"
    dataset.write_text(json.dumps({"annotations": annotations, "categories": [category]}))
    out = tmp_path / "new" / "kites_templates.json"
    tool = load_tool("build_templates")
    tool.main([str(dataset), str(out), "--k", "auto", "--k-max", "4", "--mirror", "labels"])
    printed = capsys.readouterr().out
    assert "80 poses of 4 keypoints" in printed
    assert "left - right" in printed
    assert "k 3: silhouette 0.9" in printed
    assert "6 templates" in printed
    found = load_templates(out)
    np.testing.assert_allclose(found.templates[0], UPRIGHT, atol=0.02)
    assert found.templates.shape == (6, 4, 3)
    assert cv2.imread(str(out.with_suffix(".png"))).shape[2] == 3
    with pytest.raises(SystemExit, match=r"build_templates: .* min_points: expected 1 to 4"):
        tool.main([str(dataset), str(out), "--min-points", "9"])
    with pytest.raises(SystemExit, match=r"build_templates: .*missing.json"):
        tool.main([str(tmp_path / "missing.json"), str(out)])
