from __future__ import annotations

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual.color import ColorVisuals
from trimesh.visual.material import SimpleMaterial
from trimesh.visual.texture import TextureVisuals

from keypointnet.shapenet.models import Model
from keypointnet.shapes import make_model
from keypointnet.views.variation import vary_model


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def half_textured(mode: str = "RGB") -> Model:
    """A coloured box below, a textured box above, bounding box centred."""
    low = trimesh.creation.box(extents=(1, 1, 1))
    low.apply_translation([0, -0.5, 0])
    low.visual = ColorVisuals(vertex_colors=np.tile([200, 40, 40, 120], (8, 1)).astype(np.uint8))
    high = trimesh.creation.box(extents=(1, 1, 1))
    high.apply_translation([0, 0.5, 0])
    uv = np.random.default_rng(0).random((8, 2))
    picture = np.random.default_rng(1).integers(0, 256, size=(6, 5, len(mode)), dtype=np.uint8)
    image = Image.fromarray(picture, mode) if mode == "RGB" else Image.fromarray(picture)
    high.visual = TextureVisuals(uv=uv, material=SimpleMaterial(image=image))
    return Model("half", [low, high], ["a note"])


def frozen(model: Model) -> list[np.ndarray]:
    """Everything of a model that a variation could have changed."""
    found = []
    for mesh in model.meshes:
        found += [np.array(mesh.vertices), np.array(mesh.faces), np.array(mesh.vertex_normals)]
        if isinstance(mesh.visual, TextureVisuals):
            found += [np.array(mesh.visual.uv), np.asarray(mesh.visual.material.image).copy()]
        else:
            found.append(np.array(mesh.visual.vertex_colors))
    return found


def test_no_strength_gives_the_normalised_model_back() -> None:
    model = make_model("chair", 3)
    varied = vary_model(model, rng(0), 0.0)
    for got, expected in zip(frozen(varied), frozen(model), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-7)
    larger = Model(model.id, [model.meshes[0].copy()])
    larger.meshes[0].apply_scale(5.0)
    np.testing.assert_allclose(
        vary_model(larger, rng(0), 0.0).meshes[0].vertices, model.meshes[0].vertices, atol=1e-9
    )


def test_the_model_itself_is_left_alone() -> None:
    for model in (make_model("chair", 5), half_textured(), half_textured("RGBA")):
        before = frozen(model)
        for seed in range(12):
            varied = vary_model(model, rng(seed))
            for mesh in varied.meshes:
                mesh.vertices += 1.0
        for got, expected in zip(frozen(model), before, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_the_generator_decides_everything() -> None:
    model = make_model("chair", 11)
    first, again, other = (vary_model(model, rng(seed)) for seed in (1, 1, 2))
    for got, expected in zip(frozen(first), frozen(again), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert np.abs(first.meshes[0].vertices - other.meshes[0].vertices).max() > 0.02


def test_variations_are_normalised_finite_and_keep_their_faces_and_parts() -> None:
    for seed in range(40):
        model = make_model("chair", seed)
        varied = vary_model(model, rng(seed), 1.5)
        mesh = varied.meshes[0]
        assert varied.id == model.id
        np.testing.assert_allclose(mesh.bounds.sum(axis=0), 0, atol=1e-9)
        assert mesh.extents.max() == pytest.approx(2.0)
        assert np.isfinite(mesh.vertex_normals).all()
        np.testing.assert_allclose(np.linalg.norm(mesh.vertex_normals, axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(mesh.faces, model.meshes[0].faces)
        assert mesh.metadata["parts"] is model.meshes[0].metadata["parts"]


def test_no_face_turns_inside_out() -> None:
    for seed in range(30):
        mesh = vary_model(make_model("chair", seed), rng(seed)).meshes[0]
        triangles = mesh.vertices[mesh.faces]
        turned = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        agree = (turned * mesh.vertex_normals[mesh.faces].mean(axis=1)).sum(axis=1)
        area = np.linalg.norm(turned, axis=1)
        assert area[agree < 0].sum() < 0.002 * area.sum(), seed


def test_up_front_and_the_mirror_plane_are_kept() -> None:
    for seed in (2, 4, 15):
        model = make_model("chair", seed)
        varied = vary_model(model, rng(seed)).meshes[0]
        parts = varied.metadata["parts"]
        centres = {
            name: varied.triangles_center[parts["face_part"] == k].mean(axis=0)
            for k, name in enumerate(parts["names"])
        }
        assert centres["legs"][1] < centres["seat"][1] < centres["back"][1]
        assert centres["back"][2] > centres["seat"][2]
        for centre in centres.values():
            assert abs(centre[0]) < 0.01


def test_equal_colours_stay_equal_and_alpha_is_kept() -> None:
    model = half_textured()
    changed = 0
    for seed in range(20):
        varied = vary_model(model, rng(seed))
        rgba = np.asarray(varied.meshes[0].visual.vertex_colors)[:8]
        assert (rgba == rgba[0]).all()
        assert rgba[0, 3] == 120
        changed += bool((rgba[0, :3] != [200, 40, 40]).any())
    assert changed > 12


def test_parts_on_either_side_get_the_same_colour() -> None:
    boxes = []
    for x, y in ((-0.8, -0.8), (0.8, -0.8), (0.0, 0.7), (0.0, 0.0)):
        boxes.append(trimesh.creation.box(extents=(0.2, 0.2, 0.2)))
        boxes[-1].apply_translation([x, y, 0])
    mesh = trimesh.util.concatenate(boxes)
    mesh.visual = ColorVisuals(vertex_colors=np.tile([90, 90, 90, 255], (32, 1)).astype(np.uint8))
    two_tone = 0
    for seed in range(40):
        varied = vary_model(Model("boxes", [mesh]), rng(seed)).meshes[0]
        rgba = np.asarray(varied.visual.vertex_colors)
        np.testing.assert_array_equal(rgba[:8], rgba[8:16])
        two_tone += len(np.unique(rgba, axis=0)) > 1
    assert two_tone > 0


def test_a_texture_is_kept_tinted_or_dropped_for_colour() -> None:
    model = half_textured()
    original = np.asarray(model.meshes[1].visual.material.image)
    outcomes = set()
    for seed in range(40):
        varied = vary_model(model, rng(seed))
        assert sum(len(mesh.faces) for mesh in varied.meshes) == 24
        assert isinstance(varied.meshes[0].visual, ColorVisuals)
        if len(varied.meshes) == 1:
            outcomes.add("dropped")
            continue
        visual = varied.meshes[1].visual
        np.testing.assert_array_equal(visual.uv, model.meshes[1].visual.uv)
        assert visual.material.image.size == model.meshes[1].visual.material.image.size
        same = np.array_equal(np.asarray(visual.material.image), original)
        outcomes.add("kept" if same else "tinted")
    assert outcomes == {"kept", "tinted", "dropped"}


def test_a_cut_out_texture_keeps_its_alpha() -> None:
    model = half_textured("RGBA")
    alpha = np.asarray(model.meshes[1].visual.material.image)[..., 3]
    for seed in range(15):
        varied = vary_model(model, rng(seed))
        assert len(varied.meshes) == 2
        got = np.asarray(varied.meshes[1].visual.material.image)
        np.testing.assert_array_equal(got[..., 3], alpha)


@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf")])
def test_a_strength_that_makes_no_sense_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=r"vary_model: strength must be finite and >= 0, received"):
        vary_model(make_model("chair", 0), rng(0), strength)
