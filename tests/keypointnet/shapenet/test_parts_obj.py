from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from keypointnet.shapenet.models import ModelError, ModelRef, load_model
from keypointnet.shapenet.obj_faces import read_obj_faces
from keypointnet.shapenet.parts_obj import component_parts, read_mesh_parts

# Two boxes that do not touch, the left one larger; as an exporter writes them, quads and all.
LEFT = [(x, y, z) for x in (-3, -1) for y in (0, 4) for z in (0, 1)]
RIGHT = [(x, y, z) for x in (1, 2) for y in (0, 1) for z in (0, 1)]
QUADS = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]


def boxes(left: str = "", right: str = "", head: str = "", negative: bool = False) -> str:
    lines = [head]
    for before, points, first in ((left, LEFT, 0), (right, RIGHT, 8)):
        lines += [f"v {x} {y} {z}" for x, y, z in points]
        lines.append(before)
        for quad in QUADS:
            numbers = [k - 9 if negative else k + first for k in quad]
            lines.append("f " + " ".join(f"{k}//" for k in numbers))
    return "\n".join(lines) + "\n"


def written(path: Path, text: str) -> ModelRef:
    path.write_text(text)
    return ModelRef(path.stem, path)


def test_groups_are_the_parts(tmp_path: Path) -> None:
    ref = written(tmp_path / "a.obj", boxes("g back\nusemtl oak", "g seat cushion\nusemtl cloth"))
    root = read_mesh_parts(ref)
    assert [part.name for part in root.children] == ["back", "seat cushion"]
    assert [part.material for part in root.children] == ["oak", "cloth"]
    assert [len(part.faces) for part in root.children] == [12, 12]
    # 5 wide, 4 high, 1 deep -> the longest side is 2
    np.testing.assert_allclose(root.children[0].extents, np.array([2, 4, 1]) * 0.4)
    assert root.notes == ["parts are its groups"]


def test_objects_hold_their_groups(tmp_path: Path) -> None:
    half = "\nf 9 10 12 11\ng foot\nf 13 15 16 14\n"
    ref = written(tmp_path / "a.obj", boxes("o frame\ng rail", "o leg\ng shaft" + half + "g shaft"))
    frame, leg = read_mesh_parts(ref).children
    assert (frame.name, frame.children) == ("frame", [])
    assert leg.name == "leg"
    assert {part.name for part in leg.children} == {"shaft", "foot"}


def test_one_object_around_everything_tells_nothing(tmp_path: Path) -> None:
    ref = written(tmp_path / "a.obj", boxes("o scene\ng back", "g seat"))
    assert [part.name for part in read_mesh_parts(ref).children] == ["back", "seat"]


@pytest.mark.parametrize("negative", [False, True])
def test_without_groups_components_are_the_parts(tmp_path: Path, negative: bool) -> None:
    root = read_mesh_parts(written(tmp_path / "a.obj", boxes(negative=negative)))
    assert [part.name for part in root.children] == ["component 1", "component 2"]
    areas = [part.area for part in root.children]
    np.testing.assert_allclose(areas, np.array([28, 6]) * 0.16)
    assert not any(part.named for part in root.children)
    assert "connected components" in root.notes[0]


def test_materials_are_parts_where_asked_for(tmp_path: Path) -> None:
    ref = written(tmp_path / "a.obj", boxes("usemtl oak", "usemtl steel"))
    assert [part.name for part in read_mesh_parts(ref, "materials").children] == ["oak", "steel"]
    assert len(read_mesh_parts(ref).children) == 2
    with pytest.raises(ModelError, match=r"a\.obj: it has no groups; ask for components"):
        read_mesh_parts(ref, "groups")
    with pytest.raises(ValueError, match="by is 'colour', expected one of auto, groups"):
        read_mesh_parts(ref, "colour")


def test_points_that_coincide_join_faces_and_doubled_faces_are_dropped() -> None:
    # Two triangles with vertices of their own that share an edge; one apart.
    corners = np.array(
        [
            [[0, 0, 0], [1, 0, 0], [0, 1, 0]],
            [[1, 0, 0], [1, 1, 0], [0, 1, 0]],
            [[0, 0, 0.5], [0.1, 0, 0.5], [0, 0.1, 0.5]],
        ]
    )
    parts = component_parts(corners.astype(float))
    assert [(len(part.vertices), len(part.faces)) for part in parts] == [(4, 2), (3, 1)]


def test_parts_lie_where_the_model_lies(tmp_path: Path) -> None:
    doubled = boxes("g a", "g b") + "f 1 2 4 3\nv 50 0 0\n"
    ref = written(tmp_path / "a.obj", doubled)
    root, model = read_mesh_parts(ref), load_model(ref)
    np.testing.assert_allclose(root.bounds, model.meshes[0].bounds, atol=1e-12)
    assert len(root.surface[1]) == len(model.meshes[0].faces)


def test_other_formats_have_components(tmp_path: Path) -> None:
    two = trimesh.util.concatenate(
        [
            trimesh.creation.box((1, 1, 1)),
            trimesh.creation.box((2, 1, 1)).apply_translation([3, 0, 0]),
        ]
    )
    two.export(tmp_path / "two.ply")
    ref = ModelRef("two", tmp_path / "two.ply")
    assert [len(part.faces) for part in read_mesh_parts(ref).children] == [12, 12]
    with pytest.raises(ModelError, match="only an OBJ file has groups"):
        read_mesh_parts(ref, "groups")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", r"line 4: a face names a vertex .* are 3 before"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "line 4: a face names a vertex"),
        ("v 0 0 0\nf 1 -2 1\n", "line 2: a face names a vertex"),
        ("v 0 0 0\nf a b c\n", "line 2: expected f and vertex numbers, found 'f a b c'"),
        ("v 0 0\n", "line 1: expected v and 3 numbers, found 'v 0 0'"),
        ("v 0 0 nan\n", "line 1: expected v and 3 numbers"),
        ("v 0 0 0\n", "no faces"),
        ("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "every face is degenerate"),
        ("\0", "binary data"),
    ],
)
def test_a_broken_obj_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=rf"broken.*{message}"):
        read_mesh_parts(written(tmp_path / "broken.obj", text))


@pytest.mark.parametrize("name", ["../../secret.mtl", "/etc/secret.mtl", "C:\\secret.mtl"])
def test_a_material_file_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    ref = written(tmp_path / "a.obj", boxes(head=f"mtllib {name}"))
    with pytest.raises(ModelError, match="lies outside the model's folder"):
        read_mesh_parts(ref)


def test_a_texture_outside_the_folder_is_refused_and_a_missing_one_noted(tmp_path: Path) -> None:
    ref = written(tmp_path / "a.obj", boxes(head="mtllib a.mtl"))
    (tmp_path / "a.mtl").write_text("newmtl oak\nmap_Kd oak.png\n")
    assert "texture or material file oak.png is missing" in read_mesh_parts(ref).notes
    (tmp_path / "a.mtl").write_text("newmtl oak\nmap_Kd ../oak.png\n")
    with pytest.raises(ModelError, match=r"\.\./oak\.png lies outside"):
        read_mesh_parts(ref)


def test_polygons_and_continued_lines_are_read(tmp_path: Path) -> None:
    text = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv -1 0.5 0\nf 1 2 \\\n 3 4 5\nf 1 2\n"
    ref = written(tmp_path / "a.obj", text)
    faces = read_obj_faces(ref.path)
    assert faces.corners.shape == (3, 3, 3)
    edges = faces.corners[:, 1:] - faces.corners[:, :1]
    assert np.cross(edges[:, 0], edges[:, 1])[:, 2].sum() / 2 == pytest.approx(1.5)


@pytest.mark.parametrize("line", ["mtllib", "mtllib .", "mtllib sub", "mtllib a.mtl"])
def test_a_folder_is_no_material_or_texture_file(tmp_path: Path, line: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.mtl").write_text("newmtl oak\nmap_Kd sub\n")
    ref = written(tmp_path / "a.obj", f"{line}\nusemtl oak\n{boxes()}")
    assert "is missing" in read_mesh_parts(ref).notes[0]
    assert "is missing" in load_model(ref).notes[0]
