import json

import numpy as np
import pytest
import torch

from kp2seg.templates import (
    PoseTemplates,
    TemplateError,
    labels_swapped,
    load_templates,
    matching_templates,
    mirrored,
    save_templates,
)

NAMES = ("nose", "left_hand", "right_hand")
FLIP = {"left_hand": "right_hand"}
POSE = np.array([[0.4, 0.1, 1.9], [0.8, 0.5, 1.2], [0.3, 0.6, 0.3]])


def published_layout():
    """The layout of the published file, for three keypoints and two templates."""
    return {
        "connections": [[1, 2], [3, 1]],
        "names": list(NAMES),
        "vis_threshold": 0.4,
        "flip_map": FLIP,
        "minpoints": 2,
        "templates": [[0.5, 0.14743740856647491, 1.9604073762893677, *[0.25] * 6], [0.125] * 9],
    }


def some_templates(**changes):
    fields = {
        "names": NAMES,
        "connections": ((0, 1), (2, 0)),
        "flip_map": FLIP,
        "vis_threshold": 0.4,
        "min_points": 2,
        "templates": POSE[None],
    }
    return PoseTemplates(**(fields | changes))


def test_published_layout_is_read_and_written_unchanged(tmp_path):
    path = tmp_path / "templates.json"
    path.write_text(json.dumps(published_layout()))
    templates = load_templates(path)
    assert templates.connections == ((0, 1), (2, 0))
    assert templates.names == NAMES
    assert templates.min_points == 2
    assert templates.templates.shape == (2, 3, 3)
    assert templates.templates[0, 0].tolist() == [0.5, 0.14743740856647491, 1.9604073762893677]
    save_templates(tmp_path / "again.json", templates)
    assert json.loads((tmp_path / "again.json").read_text()) == published_layout()


def test_nested_templates_are_read_too(tmp_path):
    data = published_layout()
    data["templates"] = [POSE.tolist()]
    path = tmp_path / "templates.json"
    path.write_text(json.dumps(data))
    np.testing.assert_array_equal(load_templates(path).templates, POSE[None])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"minpoints": None, "flip_map": None}, "fields missing: flip_map, minpoints; a templates"),
        ({"connections": [[0, 1]]}, r"connections: .* counted from 1 to 3, got \[\[0, 1\]\]"),
        ({"connections": [[1, 4]]}, r"connections: .* counted from 1 to 3, got \[\[1, 4\]\]"),
        ({"flip_map": {"left_hand": "right_foot"}}, "flip_map: right_foot: not among the names"),
        ({"names": ["nose", "nose", "ear"]}, "names: expected different names"),
        ({"names": [1, 2, 3]}, r"names: expected a list of strings, got \[1, 2, 3\]"),
        ({"templates": [[0.5] * 9, [0.5] * 8]}, "template 1: expected 9 numbers .* got 8"),
        ({"templates": [[0.5] * 8 + ["a"]]}, "template 0 is no list of numbers"),
        ({"templates": [[0.5] * 8 + [float("nan")]]}, "template 0 has NaN"),
        ({"templates": []}, "at least one template"),
        ({"vis_threshold": "high"}, "vis_threshold: expected a number, got 'high'"),
        ({"minpoints": 2.5}, "minpoints: expected a whole number, got 2.5"),
    ],
)
def test_broken_files_are_refused(tmp_path, change, message):
    path = tmp_path / "broken.json"
    data = {k: v for k, v in (published_layout() | change).items() if v is not None}
    path.write_text(json.dumps(data))
    with pytest.raises(TemplateError, match=f"broken.json: .*{message}"):
        load_templates(path)


def test_no_json_is_refused(tmp_path):
    path = tmp_path / "cut.json"
    path.write_text(json.dumps(published_layout())[:40])
    with pytest.raises(TemplateError, match=r"cut.json: not a JSON file"):
        load_templates(path)
    path.write_text("[]")
    with pytest.raises(TemplateError, match="expected a JSON object, got a list"):
        load_templates(path)


def test_mirrored_literal():
    expected = np.array([[0.6, 0.1, 1.9], [0.7, 0.6, 0.3], [0.2, 0.5, 1.2]])
    np.testing.assert_allclose(mirrored(POSE, NAMES, FLIP), expected)
    np.testing.assert_allclose(mirrored(expected, NAMES, FLIP), POSE)
    # Without pairs: geometry alone. A missing point stays where missing points are.
    without = np.array([[0.4, 0.1, 1.0], [0.5, 0.5, 0.0], [0.3, 0.6, 2.0]])
    expected = np.array([[0.6, 0.1, 1.0], [0.5, 0.5, 0.0], [0.7, 0.6, 2.0]])
    np.testing.assert_allclose(mirrored(without, NAMES, {}), expected)


def test_matching_templates_doubles_by_labels_as_published():
    found = matching_templates(some_templates())
    kept = np.array([[0.4, 0.1, 1.9], [0.8, 0.5, 1.2], [0, 0, 0]])
    expected = np.stack([kept, kept[[0, 2, 1]]])  # the right hand is below the threshold
    np.testing.assert_allclose(found.numpy(), expected)
    assert found.dtype == torch.float64
    np.testing.assert_array_equal(labels_swapped(kept, NAMES, FLIP), expected[1])


def test_matching_templates_mirror_none_and_factor():
    templates = some_templates(vis_threshold=0.0)
    mirror = matching_templates(templates, double="mirror")
    np.testing.assert_allclose(mirror[1].numpy(), mirrored(POSE, NAMES, FLIP))
    assert len(matching_templates(templates, double="none")) == 1
    small = matching_templates(templates, double="none", factor=0.5)
    np.testing.assert_allclose(small[0, :, 0].numpy(), [0.45, 0.65, 0.4])
    np.testing.assert_allclose(small[0, :, 2].numpy(), POSE[:, 2])
    with pytest.raises(TemplateError, match="'labels', 'mirror' or 'none', got 'both'"):
        matching_templates(templates, double="both")


def test_fields_that_do_not_belong_together():
    with pytest.raises(TemplateError, match=r"keypoints 0 to 2 \(3 names\), got \[\(0, 3\)\]"):
        some_templates(connections=((0, 1), (0, 3)))
    with pytest.raises(TemplateError, match=r"expected \(T, 3, 3\) for 3 names, got \(3, 3\)"):
        some_templates(templates=POSE)
