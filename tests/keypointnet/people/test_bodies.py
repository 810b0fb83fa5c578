import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keypointnet.people import bodies
from keypointnet.people.anatomy import study
from keypointnet.people.atlas import rasterised
from keypointnet.people.bodies import PeopleError, library_file, open_library
from keypointnet.people.joints import limited
from keypointnet.people.skinning import bone_transforms, skinned, vertex_normals
from keypointnet.shapes.person_points import PERSON_POINTS

box_library = runpy.run_path(str(Path(__file__).parents[2] / "box_people.py"))["box_library"]


def posed_joints(library, angles, body=200):
    rest = library.at_rest(body)
    moves = bone_transforms(limited(angles), library.heads[body], library.parents, library.bones)
    joints = library.joints @ skinned(rest, library.weights, *moves)
    return dict(zip(PERSON_POINTS.names, joints, strict=True))


def test_limbs_hang_down_when_all_angles_are_0(box_library):
    joints = posed_joints(open_library(), {})
    for side, sign in (("left", -1), ("right", 1)):
        for upper, lower in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee")):
            way = joints[f"{side}_{lower}"] - joints[f"{side}_{upper}"]
            np.testing.assert_allclose(way / np.linalg.norm(way), [0, -1, 0], atol=0.15)
        assert sign * joints[f"{side}_shoulder"][0] > 0
    assert joints["nose"][2] < joints["left_ear"][2]  # the face is at the front


def test_a_raised_arm_and_a_sitting_leg(box_library):
    library = open_library()
    joints = posed_joints(library, {"left_arm_raise": 90, "left_arm_plane": 90, "right_elbow": 90,
                                    "left_leg_raise": 90, "left_knee": 90})  # fmt: skip
    size = np.linalg.norm(library.heads[200].max(axis=0) - library.heads[200].min(axis=0))
    way = joints["left_elbow"] - joints["left_shoulder"]
    np.testing.assert_allclose(way / np.linalg.norm(way), [-1, 0, 0], atol=0.1)
    way = joints["right_wrist"] - joints["right_elbow"]
    np.testing.assert_allclose(way / np.linalg.norm(way), [0, 0, -1], atol=0.2)
    way = joints["left_knee"] - joints["left_hip"]
    np.testing.assert_allclose(way / np.linalg.norm(way), [0, 0, -1], atol=0.1)
    way = joints["left_ankle"] - joints["left_knee"]
    np.testing.assert_allclose(way / np.linalg.norm(way), [0, -1, 0], atol=0.15)
    assert 0.1 * size < np.linalg.norm(way) < size


def test_skinning_is_rigid_where_one_bone_rules():
    weights = bodies.csr_array(np.array([[1.0, 0], [0, 1], [0.5, 0.5]]))
    turn = np.stack([np.eye(3), np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])])
    shift = np.array([[0.0, 0, 0], [2, 0, 0]])
    points = np.array([[1.0, 1, 1], [1, 0, 0], [1, 0, 0]])
    moved = skinned(points, weights, turn, shift)
    np.testing.assert_allclose(moved, [[1, 1, 1], [2, 1, 0], [1.5, 0.5, 0]])


def test_normals_point_outwards():
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [5, 5, 5]])
    normals = vertex_normals(square, np.array([[0, 1, 2], [0, 2, 3]]))
    np.testing.assert_allclose(normals, [*[[0, 0, 1]] * 4, [0, 0, 0]])


def test_a_texel_is_the_point_that_it_is_drawn_at():
    uv = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])
    texels, faces, shares = rasterised(uv, np.array([[0, 1, 2]]), texels=40)
    assert set(faces) == {0}
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    rows, columns = np.divmod(texels, 40)
    inside = (shares > 0.02).all(axis=1)
    assert inside.sum() > 400
    where = shares @ uv
    np.testing.assert_allclose(where[inside, 0], (columns[inside] + 0.5) / 40, atol=1e-6)
    np.testing.assert_allclose(where[inside, 1], 1 - (rows[inside] + 0.5) / 40, atol=1e-6)
    assert len(texels) < 1600


def test_places_on_a_body(box_library):
    library = open_library()
    anatomy = study(library)
    assert len(anatomy.vertices) == library.rest.shape[1]
    sites = anatomy.vertices
    at_elbow = np.argmin(np.linalg.norm(library.mean - library.mean_heads["lowerarm01.L"], axis=1))
    assert sites["arm"][at_elbow] == pytest.approx(0.5, abs=0.15)
    assert sites["arms"][at_elbow] == 1
    at_foot = np.argmin(library.mean[:, 1])
    assert sites["leg"][at_foot] > 0.95
    assert sites["feet"][at_foot] == 1
    head = sites["head"] > 0.5
    assert sites["y"][head].min() > sites["y"][sites["legs"] > 0.5].max()
    assert set(np.unique(anatomy.texels.parts)) == {0, 1, 2, 3}
    assert anatomy.points["left_pupil"][0] < 0 < anatomy.points["right_pupil"][0]


def test_a_missing_anny_and_a_damaged_library_are_said(tmp_path, monkeypatch):
    monkeypatch.setenv("ANNY_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "anny", None)
    with pytest.raises(PeopleError, match=r"anny, which is not installed .*pip install"):
        open_library()
    assert not list(tmp_path.iterdir())
    library_file(tmp_path).write_bytes(b"no library")
    with pytest.raises(PeopleError, match=r"bodies-1-256.npz: damaged .*delete it"):
        open_library()


def test_phenotypes_are_of_all_ages():
    drawn = bodies.draw_phenotypes(2000, np.random.default_rng(0))
    assert drawn.shape == (2000, 6)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    age = drawn[:, 1]
    assert np.mean(age < 0.52) == pytest.approx(0.2, abs=0.03)
    assert np.mean(age > 0.8) == pytest.approx(0.15, abs=0.03)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("anny") is None or "ANNY_CACHE_DIR" not in os.environ,
    reason="anny is not installed, or ANNY_CACHE_DIR does not name a folder it has used before",
)
def test_bodies_and_poses_are_anny_s():
    # in a process of its own: what anny imports warns of deprecations
    script = """
import anny, numpy as np, torch
from keypointnet.people.bodies import _our_frame, _PHENOTYPES, open_library
from keypointnet.people.poses import draw_pose
from keypointnet.people.skinning import bone_transforms, skinned
library = open_library()
model = anny.Anny(phenotype_blendshapes="original", skinning_method="lbs",
                  pose_parameterization="world")
values = {n: torch.tensor([v]) for n, v in zip(_PHENOTYPES, library.phenotypes[5])}
rotations, shifts = bone_transforms(draw_pose("dancing", np.random.default_rng(0)),
                                    library.heads[5], library.parents, library.bones)
ours = skinned(library.at_rest(5), library.weights, rotations, shifts)
to_ours = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
moves = np.tile(np.eye(4), (len(rotations), 1, 1))
moves[:, :3, :3] = to_ours.T @ rotations @ to_ours
moves[:, :3, 3] = shifts @ to_ours
with torch.no_grad():
    rest = model(phenotype_kwargs=values)
    pose = torch.tensor(moves) @ rest["rest_bone_poses"][0]
    out = model(phenotype_kwargs=values, pose_parameters=pose[None])
assert np.abs(library.at_rest(5) - _our_frame(rest["rest_vertices"].numpy())[0]).max() < 1e-4
assert np.abs(ours - _our_frame(out["vertices"].numpy())[0]).max() < 2e-4
points = anny.KeypointsRegressor.coco(model)(out).numpy()[0, :17]
assert np.abs(_our_frame(points) - library.joints @ ours).max() < 2e-4
print("same")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip().endswith("same"), done.stderr[-2000:]
