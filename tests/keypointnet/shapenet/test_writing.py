from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from keypointnet.shapenet.models import Model, ModelRef, find_models, load_model, normalise_model
from keypointnet.shapenet.writing import collection_layout, write_model


def painted(colour: tuple[int, int, int, int]) -> Model:
    """A box of one colour and a textured triangle."""
    material = trimesh.visual.material.SimpleMaterial(image=Image.new("RGB", (2, 2), (5, 6, 7)))
    triangle = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 3]], [[0, 1, 2]], process=False)
    uv = np.array([[0.0, 0], [1, 0], [0, 1]])
    triangle.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    box = trimesh.creation.box()
    box.visual.vertex_colors = np.tile(colour, (8, 1)).astype(np.uint8)
    return normalise_model(Model("m", [box, triangle]))


def test_models_inside_one_another_are_all_found_again(tmp_path: Path) -> None:
    ids = ["a", "a/b", "a/b/c d", "a.b", "s/models", "s/models/x", "e", "model", "model/y"]
    layout = collection_layout(ids)
    assert [name for name in ids if layout[name].suffix == ".glb"] == [
        "a", "a/b", "s/models", "model",
    ]  # fmt: skip
    assert layout["e"] == Path("e/models/model_normalized.obj")
    for number, name in enumerate(ids):
        write_model(painted((20 * number, 100, 50, 255)), tmp_path / layout[name])
    found = find_models(tmp_path)
    assert [ref.id for ref in found] == sorted(ids)
    assert {ref.id: ref.path for ref in found} == {n: tmp_path / layout[n] for n in ids}
    for ref in found:  # each is its own: its colour says so
        box = load_model(ref).meshes[0]
        assert {tuple(map(int, c)) for c in box.visual.vertex_colors} == {
            (20 * ids.index(ref.id), 100, 50, 255)
        }


def test_a_file_holds_what_a_folder_does(tmp_path: Path) -> None:
    model = painted((200, 10, 10, 128))
    paths = [tmp_path / "a.glb", tmp_path / "b/models/model_normalized.obj"]
    for path in paths:
        write_model(model, path)
    one, other = (load_model(ModelRef("m", path)) for path in paths)
    assert not one.notes
    for mesh, same, given in zip(one.meshes, other.meshes, model.meshes, strict=True):
        assert mesh.visual.kind == same.visual.kind == given.visual.kind
        np.testing.assert_allclose(mesh.bounds, given.bounds, atol=1e-6)
        np.testing.assert_allclose(same.bounds, given.bounds, atol=1e-6)
        assert mesh.area == pytest.approx(given.area, rel=1e-5)
    np.testing.assert_array_equal(np.unique(one.meshes[0].visual.vertex_colors[:, 3]), [128])
    textured = one.meshes[1]
    order = np.argsort(textured.visual.uv @ [1, 2])
    np.testing.assert_allclose(textured.vertices[order], model.meshes[1].vertices, atol=1e-6)
    assert textured.visual.material.image.getpixel((1, 1))[:3] == (5, 6, 7)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "a/b", "a.glb"], r"a lies beside its own folder \(a/b\).* another model \(a\.glb\)"),
        (["a", "a/b", "a.glb/c"], r"written as a\.glb, .* \(a\.glb/c\); rename one of them"),
        (["a", ".b/c"], r"\.b/c: a model below \.b would not be found"),
    ],
)
def test_what_cannot_be_found_again_is_refused(ids: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        collection_layout(ids)
    assert collection_layout(ids[:1]) == {"a": Path("a/models/model_normalized.obj")}
