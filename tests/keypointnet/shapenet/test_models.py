from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from keypointnet.shapenet.models import (
    Model,
    ModelError,
    ModelRef,
    find_models,
    load_model,
    normalise_model,
)

# a box of 2 x 4 x 1: longest side along y
BOX_POINTS = [(x, y, z) for x in (0, 2) for y in (0, 4) for z in (0, 1)]
BOX_QUADS = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]


def box_obj(shift: float = 0.0, head: str = "", material: str = "") -> str:
    lines = [head] if head else []
    lines += [f"v {x + shift} {y + shift} {z + shift}" for x, y, z in BOX_POINTS]
    lines += [f"usemtl {material}"] if material else []
    lines += ["f " + " ".join(map(str, quad)) for quad in BOX_QUADS]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def load(path: Path) -> Model:
    return load_model(ModelRef(path.stem, path))


def points_of(model: Model) -> np.ndarray:
    return np.concatenate([mesh.vertices for mesh in model.meshes])


def colours_of(model: Model) -> set[tuple[int, ...]]:
    return {tuple(map(int, colour)) for colour in model.meshes[0].visual.vertex_colors}


# ------------------------------------------------------------------------------------ finding


def test_find_models_reads_both_shapenet_layouts(tmp_path: Path) -> None:
    write(tmp_path / "03001627" / "b1" / "model.obj", box_obj())
    write(tmp_path / "03001627" / "a2" / "models" / "model_normalized.obj", box_obj())
    write(tmp_path / "03001627" / "a2" / "images" / "texture0.jpg", b"no mesh")
    write(tmp_path / "03001627" / "a2" / "models" / "other.obj", box_obj())
    refs = find_models(tmp_path)
    assert [ref.id for ref in refs] == ["03001627/a2", "03001627/b1"]
    assert refs[0].path.name == "model_normalized.obj"
    assert refs[1].path.name == "model.obj"
    assert [ref.id for ref in find_models(tmp_path / "03001627")] == ["a2", "b1"]
    assert [ref.id for ref in find_models(tmp_path / "03001627" / "b1")] == ["b1"]


def test_find_models_reads_any_folder_of_meshes(tmp_path: Path) -> None:
    for name in ("one.obj", "deep/two.PLY", "deep/er/three.stl", "notes.txt", ".hidden.obj"):
        write(tmp_path / name, "x")
    write(tmp_path / "twice.obj", "x")
    write(tmp_path / "twice.off", "x")
    ids = [ref.id for ref in find_models(tmp_path)]
    assert ids == ["deep/er/three", "deep/two", "one", "twice.obj", "twice.off"]


def test_find_models_follows_links_once(tmp_path: Path) -> None:
    write(tmp_path / "real" / "a.obj", "x")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real", target_is_directory=True)
    assert [ref.id for ref in find_models(tmp_path)] == ["real/a"]


def test_find_models_names_what_it_expects(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model below .* expected synset/model/model\.obj"):
        find_models(tmp_path)
    with pytest.raises(ModelError, match="found none at"):
        find_models(tmp_path / "missing")


# ------------------------------------------------------------------------------------ reading


def test_load_model_centres_and_scales_the_longest_side(tmp_path: Path) -> None:
    points = points_of(load(write(tmp_path / "box.obj", box_obj())))
    np.testing.assert_allclose(points.min(axis=0), [-0.5, -1, -0.25], atol=1e-12)
    np.testing.assert_allclose(points.max(axis=0), [0.5, 1, 0.25], atol=1e-12)


def test_load_model_keeps_a_boxes_edges_sharp(tmp_path: Path) -> None:
    (mesh,) = load(write(tmp_path / "box.obj", box_obj())).meshes
    assert (len(mesh.vertices), len(mesh.faces)) == (24, 12)
    assert set(np.abs(mesh.vertex_normals).max(axis=1).round(9)) == {1.0}
    along = np.einsum("ij,ij->i", mesh.vertex_normals[mesh.faces[:, 0]], mesh.face_normals)
    np.testing.assert_allclose(along, 1.0, atol=1e-9)


@pytest.mark.parametrize("suffix", ["off", "ply", "stl", "glb", "gltf", "obj"])
def test_load_model_reads_what_trimesh_reads(tmp_path: Path, suffix: str) -> None:
    box = trimesh.creation.box(extents=(2, 4, 1))
    source = trimesh.Scene(box) if suffix == "gltf" else box
    exported = source.export(file_type=suffix)
    files = exported if isinstance(exported, dict) else {f"box.{suffix}": exported}
    for name, data in files.items():
        write(tmp_path / name, data)
    (ref,) = find_models(tmp_path)
    np.testing.assert_allclose(np.ptp(points_of(load_model(ref)), axis=0), [1, 2, 0.5], atol=1e-6)


def test_load_model_places_the_instances_of_a_scene(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    box = trimesh.creation.box()
    scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([0, 0, 0]))
    scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([3, 0, 0]))
    model = load(write(tmp_path / "two.glb", scene.export(file_type="glb")))
    np.testing.assert_allclose(np.ptp(points_of(model), axis=0), [2, 0.5, 0.5], atol=1e-6)
    assert sum(len(mesh.faces) for mesh in model.meshes) == 24


def test_load_model_far_from_the_origin_is_the_same_model(tmp_path: Path) -> None:
    near = load(write(tmp_path / "near.obj", box_obj()))
    far = load(write(tmp_path / "far.obj", box_obj(shift=1000.0)))
    np.testing.assert_allclose(points_of(far), points_of(near), atol=1e-9)


def test_load_model_drops_double_and_degenerate_faces(tmp_path: Path) -> None:
    extra = "v 1 1 1\nv 1 1 1\nf 1 1 2\nf 1 9 10\n"
    doubled = "".join("f " + " ".join(map(str, quad[::-1])) + "\n" for quad in BOX_QUADS)
    doubled += "f 1 2 4\n"  # one half of a quad, once more
    (mesh,) = load(write(tmp_path / "box.obj", box_obj() + extra + doubled)).meshes
    # the other diagonal of a reversed quad may differ: count the area, not the faces
    assert len(mesh.faces) <= 24
    (clean,) = load(write(tmp_path / "clean.obj", box_obj() + extra + "f 4 2 1\n")).meshes
    assert len(clean.faces) == 12


def test_load_model_merges_plain_materials_and_keeps_colours_apart(tmp_path: Path) -> None:
    write(tmp_path / "box.mtl", "newmtl red\nKd 1 0 0\nnewmtl glass\nKd 0 0 1\nd 0.5\n")
    text = box_obj(head="mtllib box.mtl", material="red").replace(
        "f 2 6 8 4", "usemtl glass\nf 2 6 8 4"
    )
    (mesh,) = load(write(tmp_path / "box.obj", text)).meshes
    colours = mesh.visual.vertex_colors
    assert {tuple(map(int, c)) for c in colours} == {(255, 0, 0, 255), (0, 0, 255, 128)}
    for face in mesh.faces:
        assert len({tuple(map(int, colours[v])) for v in face}) == 1


def test_load_model_takes_wholly_transparent_for_opaque(tmp_path: Path) -> None:
    write(tmp_path / "box.mtl", "newmtl ghost\nKd 0 1 0\nd 0\n")
    path = write(tmp_path / "box.obj", box_obj(head="mtllib box.mtl", material="ghost"))
    model = load(path)
    assert set(model.meshes[0].visual.vertex_colors[:, 3]) == {255}
    assert any("fully transparent" in note for note in model.notes)


# ----------------------------------------------------------------------------------- textures

TEXTURED = (
    "mtllib model_normalized.mtl\n"
    + "".join(f"v {x} {y} 0\n" for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)))
    + "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nv 0 0 1\nusemtl picture\nf 1/1 2/2 3/3 4/4\n"
    + "usemtl plain\nf 1 2 5\n"
)


def textured_tree(root: Path, line: str = "map_Kd ../images/t.png") -> Path:
    folder = root / "03001627" / "m"
    mtl = f"newmtl picture\nKd 0 0 0\n{line}\nnewmtl plain\nKd 0 0.6 0\n"
    write(folder / "models" / "model_normalized.mtl", mtl)
    return write(folder / "models" / "model_normalized.obj", TEXTURED)


def save_image(path: Path, size: tuple[int, int] = (4, 2)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (10, 200, 30)).save(path)


@pytest.mark.parametrize(
    "line", ["map_Kd ../images/t.png", r"map_Kd -s 1 1 1 ..\images\T.PNG", "map_Kd t.png"]
)
def test_load_model_keeps_textures_within_the_models_folder(tmp_path: Path, line: str) -> None:
    path = textured_tree(tmp_path, line)
    beside = line.endswith("Kd t.png")
    save_image(path.parent / "t.png" if beside else path.parents[1] / "images/t.png")
    model = load(path)
    assert [mesh.visual.kind for mesh in model.meshes] == ["vertex", "texture"]
    plain, textured = model.meshes
    assert {tuple(map(int, c)) for c in plain.visual.vertex_colors} == {(0, 153, 0, 255)}
    assert textured.visual.uv.shape == (4, 2)
    # a black Kd must not darken the picture
    assert tuple(textured.visual.material.diffuse) == (255, 255, 255, 255)
    assert textured.visual.material.image.getpixel((0, 0)) == (10, 200, 30)
    # the picture's corner (0, 0) lies at the first vertex
    at_origin = np.flatnonzero((textured.visual.uv == 0).all(axis=1))[0]
    np.testing.assert_allclose(textured.vertices[at_origin], [-1, -1, -1], atol=1e-9)


def test_load_model_shrinks_big_textures(tmp_path: Path) -> None:
    path = textured_tree(tmp_path)
    save_image(path.parents[1] / "images" / "t.png", (2048, 1024))
    assert load(path).meshes[1].visual.material.image.size == (512, 256)


def test_load_model_without_the_texture_uses_the_colour_and_says_so(tmp_path: Path) -> None:
    model = load(textured_tree(tmp_path))
    assert [mesh.visual.kind for mesh in model.meshes] == ["vertex"]
    assert model.notes == ["texture or material file ../images/t.png is missing"]


def test_load_model_with_a_damaged_texture_uses_the_colour(tmp_path: Path) -> None:
    path = textured_tree(tmp_path)
    save_image(path.parents[1] / "images" / "t.png", (64, 64))
    image = path.parents[1] / "images" / "t.png"
    image.write_bytes(image.read_bytes()[:60])
    model = load(path)
    assert [mesh.visual.kind for mesh in model.meshes] == ["vertex"]
    assert any("cannot be decoded" in note for note in model.notes)
    image.write_bytes(b"no picture at all")
    model = load(path)
    assert model.notes == ["texture ../images/t.png cannot be decoded: it is no picture"]


def test_load_model_drops_a_texture_without_coordinates(tmp_path: Path) -> None:
    write(tmp_path / "box.mtl", "newmtl wood\nKd 1 0 0\nmap_Kd wood.png\n")
    save_image(tmp_path / "wood.png")
    path = write(tmp_path / "box.obj", box_obj(head="mtllib box.mtl", material="wood"))
    model = load(path)
    assert [mesh.visual.kind for mesh in model.meshes] == ["vertex"]
    assert colours_of(model) == {(10, 200, 30, 255)}
    assert model.notes == ["texture wood.png has no coordinates: its mean colour is used"]


def test_load_model_without_the_material_file_is_grey(tmp_path: Path) -> None:
    path = write(tmp_path / "box.obj", box_obj(head="mtllib gone.mtl", material="red"))
    model = load(path)
    assert colours_of(model) == {(160, 160, 160, 255)}
    assert model.notes == ["texture or material file gone.mtl is missing"]


@pytest.mark.parametrize(
    "name",
    ["../../../s.png", "/etc/passwd", r"..\..\..\x.png", r"C:\pictures\x.png", "../../m2/t.png"],
)
def test_load_model_refuses_a_texture_outside_its_folder(tmp_path: Path, name: str) -> None:
    path = textured_tree(tmp_path, f"map_Kd {name}")
    with pytest.raises(ModelError, match=r"model model_normalized .*lies outside the model's"):
        load(path)


def test_load_model_refuses_a_material_outside_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "shared.mtl", "newmtl red\nKd 1 0 0\n")
    path = write(tmp_path / "in" / "box.obj", box_obj(head="mtllib ../shared.mtl"))
    with pytest.raises(ModelError, match=r"\.\./shared\.mtl lies outside"):
        load(path)


# ------------------------------------------------------------------------------------- errors

NOISE = bytes(range(1, 256)) * 8
GARBAGE = np.random.default_rng(0).integers(0, 256, 4096, dtype=np.uint8).tobytes()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.obj", b"", "the file is empty"),
        ("a.obj", b"# only a comment\n", "no faces"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "no faces"),
        ("a.obj", box_obj().replace("v 2.0 4.0 1.0", "v nan 4 1").encode(), "NaN or infinite"),
        ("a.obj", box_obj().replace("v 2.0 4.0 1.0", "v 2 inf 1").encode(), "NaN or infinite"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "cannot be read|does not exist"),
        ("a.obj", b"v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "no extent"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "every face is degenerate"),
        ("a.obj", GARBAGE, "it holds binary data"),
        # which, depends on whether trimesh finds a package that guesses encodings
        ("a.stl", NOISE, "its contents are of no kind that is known|no faces"),
        ("a.ply", GARBAGE, "cannot be read|no faces"),
        ("a.stl", GARBAGE, "cannot be read|no faces"),
        ("a.glb", GARBAGE, "cannot be read|no faces"),
        ("a.off", GARBAGE, "cannot be read|no faces"),
        ("a.ac", GARBAGE, "is no AC3D file"),
    ],
)
def test_load_model_names_the_file_and_the_reason(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(ModelError, match=rf"model a \(.*{name}\): .*({reason})"):
        load(path)


def test_load_model_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model gone .*cannot be read"):
        load(tmp_path / "gone.obj")


def test_load_model_logs_nothing_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        load(textured_tree(tmp_path))
    assert caplog.records == []


# ---------------------------------------------------------------------------------- normalising


def test_normalise_model_carries_normals_and_leaves_the_given_model(tmp_path: Path) -> None:
    model = load(write(tmp_path / "box.obj", box_obj()))
    normals = np.array(model.meshes[0].vertex_normals)
    model.meshes[0].vertices = np.array(model.meshes[0].vertices) * 3 + 7
    model.meshes[0].vertex_normals = normals
    again = normalise_model(model)
    assert model.meshes[0].vertices.max() > 7
    np.testing.assert_allclose(points_of(again).max(axis=0), [0.5, 1, 0.25], atol=1e-12)
    np.testing.assert_array_equal(again.meshes[0].vertex_normals, normals)


def test_normalise_model_names_an_empty_model() -> None:
    with pytest.raises(ModelError, match="model void: normalise_model: no vertices"):
        normalise_model(Model("void", []))


def test_load_model_is_quick(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(subdivisions=5)  # 20,480 faces
    path = write(tmp_path / "ball.obj", ball.export(file_type="obj"))
    start = time.perf_counter()
    load(path)
    # 0.1 s on an idle core; the bound only catches a loop over faces
    assert time.perf_counter() - start < 3.0
