from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keypointnet.shapenet.models import ModelError
from keypointnet.shapenet.parts_shapenetpart import CLASSES, read_shapenet_part

POINTS = [(0, 2, 1), (0, 3, 1), (0, 1, 0), (1, 1, 0), (0, 0, 0)]
LABELS = [1, 1, 2, 2, 3]  # back, back, seat, seat, leg


def cloud(root: Path, labels: list[int] | str, folder: str = "points_label") -> Path:
    path = root / "03001627" / "points" / "abc.pts"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(f"{x} {y} {z}" for x, y, z in POINTS) + "\n")
    label_file = root / "03001627" / folder / "abc.seg"
    label_file.parent.mkdir(parents=True)
    text = labels if isinstance(labels, str) else "\n".join(map(str, labels)) + "\n"
    label_file.write_text(text)
    return path


def table(root: Path, labels: list[int], synset: str = "03001627") -> Path:
    path = root / synset / "abc.txt"
    path.parent.mkdir(parents=True)
    rows = [f"{x} {y} {z} 0 1 0 {k:.6f}" for (x, y, z), k in zip(POINTS, labels, strict=True)]
    path.write_text("\n".join(rows) + "\n\n")
    return path


@pytest.mark.parametrize("folder", ["points_label", "expert_verified/points_label"])
def test_points_and_their_labels_become_named_parts(tmp_path: Path, folder: str) -> None:
    root = read_shapenet_part(cloud(tmp_path, LABELS, folder))
    assert (root.name, [part.name for part in root.children]) == ("abc", ["back", "seat", "leg"])
    assert [len(part.vertices) for part in root.children] == [2, 2, 1]
    # 3 high: y from 0 to 3 becomes -1 to 1
    np.testing.assert_allclose(root.children[0].bounds[:, 1], [1 / 3, 1])


def test_the_normal_layout_counts_labels_over_all_classes(tmp_path: Path) -> None:
    root = read_shapenet_part(table(tmp_path, [12, 12, 13, 15, 14]))
    assert [part.name for part in root.children] == ["back", "seat", "leg", "arm"]
    # the labels tell the class where the folder does not
    root = read_shapenet_part(table(tmp_path, [47, 47, 48, 48, 48], "elsewhere"))
    assert [part.name for part in root.children] == ["desktop", "leg"]


def test_there_are_fifty_labels_in_sixteen_classes() -> None:
    assert len(CLASSES) == 16
    assert sum(len(parts) for _, parts in CLASSES.values()) == 50
    starts = np.cumsum([0, *(len(parts) for _, parts in CLASSES.values())])
    of_class = dict(
        zip((title for title, _ in CLASSES.values()), starts[:-1].tolist(), strict=True)
    )
    # as in the published readers
    assert (of_class["chair"], of_class["motorbike"], of_class["table"]) == (12, 30, 47)


def test_labels_may_lie_elsewhere_and_0_is_none(tmp_path: Path) -> None:
    path = cloud(tmp_path, [0, 1, 2, 2, 3])
    parts = read_shapenet_part(path).children
    assert [part.name for part in parts] == ["unlabelled", "back", "seat", "leg"]
    assert not parts[0].named
    other = tmp_path / "other.seg"
    other.write_text("4\n4\n4\n4\n4\n")
    assert [part.name for part in read_shapenet_part(path, other).children] == ["arm"]


def test_parts_of_an_unknown_class_have_numbers(tmp_path: Path) -> None:
    (tmp_path / "abc.pts").write_text("0 0 0\n1 1 1\n")
    (tmp_path / "abc.seg").write_text("1\n7\n")
    root = read_shapenet_part(tmp_path / "abc.pts")
    assert [part.name for part in root.children] == ["part 1", "part 7"]
    assert "of no known class" in root.notes[0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 1, 2, 2], r"abc\.seg: 4 labels for the 5 points"),
        ([1, 1, 2, 2, 5], r"abc\.seg, line 5: label 5, but chair has 1 back, 2 seat, 3 leg, 4 arm"),
        ([1, 1, -2, 2, 3], "label -2 is below 1"),
        ("1\nx\n", r"abc\.seg, line 2: expected one number, found 'x'"),
        ("1\n\n2\n", r"abc\.seg, line 2: expected one number"),
        ("1\n1.5\n1\n1\n1\n", r"abc\.seg, line 2: expected a whole label, found 1\.5"),
        ("", r"abc\.seg: the file is empty"),
    ],
)
def test_labels_that_do_not_fit_are_named(
    tmp_path: Path, labels: list[int] | str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        read_shapenet_part(cloud(tmp_path, labels))


def test_clouds_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"line 5: label 16 is of another class than chair"):
        read_shapenet_part(table(tmp_path / "a", [12, 12, 13, 13, 16]))
    with pytest.raises(ModelError, match="line 1: label 50, expected 0 to 49"):
        read_shapenet_part(table(tmp_path / "b", [50] * 5))
    with pytest.raises(ModelError, match=r"abc\.txt, line 1: label 47 is of another class"):
        read_shapenet_part(table(tmp_path / "c", [47] * 5))
    path = cloud(tmp_path / "d", LABELS)
    path.write_text("0 0 0\n1 1\n")
    with pytest.raises(ModelError, match=r"abc\.pts, line 2: expected 3 numbers, found '1 1'"):
        read_shapenet_part(path)
    path.write_text("0 0 nan\n")
    with pytest.raises(ModelError, match=r"abc\.pts, line 1"):
        read_shapenet_part(path)
    path.write_text("1 1 1\n" * 5)
    with pytest.raises(ModelError, match="no extent"):
        read_shapenet_part(path)
    path.with_name("other.pts").write_text("0 0 0\n1 1 1\n")
    with pytest.raises(ModelError, match=r"no labels; looked for .*points_label"):
        read_shapenet_part(path.with_name("other.pts"))
    with pytest.raises(ModelError, match=r"missing\.pts: cannot be read"):
        read_shapenet_part(path.with_name("missing.pts"))
