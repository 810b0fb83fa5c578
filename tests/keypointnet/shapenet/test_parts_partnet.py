from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from keypointnet.shapenet.models import ModelError
from keypointnet.shapenet.parts_partnet import read_partnet_parts, shapenet_id

LEG = {"id": 3, "name": "leg", "text": "Leg", "objs": ["original-2", "new-0"]}
TREE: list[dict[str, Any]] = [
    {
        "id": 0,
        "name": "chair",
        "text": "Chair",
        "children": [
            {"id": 1, "name": "chair_seat", "text": "Seat", "objs": ["original-1"]},
            {"id": 2, "name": "chair_base", "text": "Base", "children": [LEG]},
        ],
    }
]
BOXES = {
    "original-1": ((2, 0.2, 2), (0, 2, 0)),
    "original-2": ((0.2, 2, 0.2), (0.9, 1, 0)),
    "new-0": ((0.2, 2, 0.2), (-0.9, 1, 0)),
}


def model(folder: Path, tree: Any = TREE, file: str = "result.json") -> Path:
    (folder / "objs").mkdir(parents=True, exist_ok=True)
    text = tree if isinstance(tree, str) else json.dumps(tree)
    (folder / file).write_text(text)
    for name, (size, centre) in BOXES.items():
        box = trimesh.creation.box(size).apply_translation(centre)
        box.export(folder / "objs" / f"{name}.obj")
    return folder


def test_the_tree_is_read_with_the_meshes_of_its_leaves(tmp_path: Path) -> None:
    root = read_partnet_parts(model(tmp_path / "42"))
    names = [(depth, part.name, len(part.surface[1])) for depth, part in root.walk()]
    assert names == [
        (0, "chair", 36),
        (1, "chair_seat", 12),
        (1, "chair_base", 24),
        (2, "leg", 24),
    ]
    # 2 wide, 2.1 high from the floor to the seat: the longest side becomes 2
    np.testing.assert_allclose(root.bounds, [[-2 / 2.1, -1, -2 / 2.1], [2 / 2.1, 1, 2 / 2.1]])
    np.testing.assert_allclose(root.children[0].extents, np.array([2, 0.2, 2]) * 2 / 2.1)


def test_a_mesh_that_a_parent_names_too_is_the_childs_alone(tmp_path: Path) -> None:
    leg = {"id": 2, "name": "leg", "objs": ["original-2"]}
    tree = [{"id": 0, "name": "chair", "objs": ["original-2", "original-1"], "children": [leg]}]
    root = read_partnet_parts(model(tmp_path, tree, "result_after_merging.json"))
    assert (len(root.faces), len(root.children[0].faces), len(root.surface[1])) == (12, 12, 24)
    assert root.notes == ["parts are those of result_after_merging.json"]


def test_the_shapenet_model_is_in_meta_json(tmp_path: Path) -> None:
    assert shapenet_id(tmp_path) == ""
    (tmp_path / "meta.json").write_text('{"model_id": "1a6f615e", "model_cat": "Chair"}')
    assert shapenet_id(tmp_path) == "1a6f615e"
    (tmp_path / "meta.json").write_text("[")
    assert shapenet_id(tmp_path) == ""


def test_missing_leaves_are_counted_and_named(tmp_path: Path) -> None:
    folder = model(tmp_path / "42")
    (folder / "objs" / "new-0.obj").unlink()
    (folder / "objs" / "original-2.obj").unlink()
    with pytest.raises(
        ModelError,
        match=r"json: 2 of 3 meshes .* missing from .*objs: original-2\.obj, new-0\.obj; copy",
    ):
        read_partnet_parts(folder)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "/etc/passwd", "a/b", "..\\b", "C:b", "", ".hidden"]
)
def test_a_name_that_climbs_out_is_refused_though_the_file_exist(tmp_path: Path, name: str) -> None:
    folder = model(tmp_path / "42", [{"id": 0, "name": "chair", "objs": [name]}])
    with pytest.raises(ModelError, match=r"result\.json: chair: the mesh .* would lie outside"):
        read_partnet_parts(folder)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ("{", "expected PartNet's part tree as JSON"),
        ({"id": 0}, "expected a list with one root node, found dict"),
        ([], "expected a list with one root node, found a list of 0"),
        ([1], "expected a node {name, objs or children}, found 1"),
        ([{"id": 7, "objs": ["original-1"]}], r"a node \(id 7\) has no name"),
        ([{"name": "chair"}], "chair: a part with neither children nor objs"),
        ([{"name": "chair", "children": [{"name": "leg"}]}], "chair/leg: a part with neither"),
        ([{"name": "chair", "objs": "original-1"}], "chair: expected objs to be a list of names"),
        ([{"name": "chair", "children": {"a": 1}}], "chair: expected children to be a list"),
    ],
)
def test_a_broken_tree_is_named_with_its_node(tmp_path: Path, tree: Any, message: str) -> None:
    with pytest.raises(ModelError, match=rf"result\.json: {message}"):
        read_partnet_parts(model(tmp_path, tree))


def test_a_tree_without_end_is_refused(tmp_path: Path) -> None:
    node: dict[str, Any] = {"name": "x", "objs": ["original-1"]}
    for _ in range(70):
        node = {"name": "x", "children": [node]}
    with pytest.raises(ModelError, match="more than 64 levels of parts"):
        read_partnet_parts(model(tmp_path, [node]))


def test_a_folder_without_a_tree_tells_what_one_holds(tmp_path: Path) -> None:
    (tmp_path / "objs").mkdir()
    with pytest.raises(
        ModelError, match=r"holds result\.json or result_after_merging\.json and objs/"
    ):
        read_partnet_parts(tmp_path)


def test_a_broken_mesh_is_named(tmp_path: Path) -> None:
    folder = model(tmp_path)
    (folder / "objs" / "new-0.obj").write_text("v 1 2 x\n")
    with pytest.raises(ModelError, match=r"new-0\.obj, line 1: expected v and 3 numbers"):
        read_partnet_parts(folder)
