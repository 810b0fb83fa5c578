import numpy as np
import pytest

from keypointnet.views.cameras import CameraRange, intrinsics, look_at, sample_cameras

SIZE = (96, 160)  # h, w


def project(T_world2cam: np.ndarray, K_px: np.ndarray, point: np.ndarray) -> np.ndarray:
    x, y, z = T_world2cam[:3, :3] @ point + T_world2cam[:3, 3]
    return np.array([K_px[0, 0] * x / z + K_px[0, 2], K_px[1, 1] * y / z + K_px[1, 2]])


def eyes(T_world2cam: np.ndarray) -> np.ndarray:
    rotation = T_world2cam[:, :3, :3]
    return -(rotation.transpose(0, 2, 1) @ T_world2cam[:, :3, 3:])[:, :, 0]


def test_look_at_from_behind_has_the_world_x_to_the_right_and_y_up():
    # From +Z towards the origin: right = +X, down = -Y, forward = -Z.
    np.testing.assert_allclose(
        look_at(np.array([[0.0, 0.0, 5.0]]))[0], [[1, 0, 0], [0, -1, 0], [0, 0, -1]], atol=1e-12
    )


def test_look_at_towards_another_target():
    # Standing at the origin, looking along +X: right = +Z.
    np.testing.assert_allclose(
        look_at(np.zeros((1, 3)), np.array([3.0, 0, 0]))[0],
        [[0, 0, 1], [0, -1, 0], [1, 0, 0]],
        atol=1e-12,
    )


@pytest.mark.parametrize("height", [7.0, -7.0])
def test_look_at_straight_down_and_up_is_a_rotation(height):
    rotation = look_at(np.array([[0.0, height, 0.0]]))[0]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    np.testing.assert_allclose(rotation[2], [0, -np.sign(height), 0], atol=1e-12)
    np.testing.assert_allclose(rotation[0], [1, 0, 0], atol=1e-12)


def test_look_at_names_the_eye_on_its_target():
    with pytest.raises(ValueError, match="eye 1 lies on the target"):
        look_at(np.array([[0.0, 0, 1], [0, 0, 0]]))


def test_intrinsics_by_hand():
    # 90 degrees over 160 px: the focal length is half the width.
    np.testing.assert_allclose(
        intrinsics(90.0, SIZE), [[80, 0, 80], [0, 80, 48], [0, 0, 1]], atol=1e-12
    )


def test_without_shift_the_origin_is_in_the_middle_at_the_distance():
    cameras = CameraRange(shift=0.0, distance=12.0, roll_deg=(-180, 180))
    T_world2cam, K_px = sample_cameras(20, np.random.default_rng(0), cameras, SIZE)
    assert T_world2cam.shape == (20, 4, 4)
    assert K_px.shape == (20, 3, 3)
    for T, K in zip(T_world2cam, K_px, strict=True):
        np.testing.assert_allclose(project(T, K, np.zeros(3)), [80, 48], atol=1e-9)
    np.testing.assert_allclose(T_world2cam[:, 2, 3], 12.0)
    np.testing.assert_allclose(np.linalg.norm(eyes(T_world2cam), axis=1), 12.0)


def test_every_matrix_is_rigid():
    T_world2cam, _ = sample_cameras(
        50, np.random.default_rng(1), CameraRange(roll_deg=(-30, 30)), SIZE
    )
    rotation = T_world2cam[:, :3, :3]
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0)
    np.testing.assert_array_equal(T_world2cam[:, 3], np.tile([0, 0, 0, 1], (50, 1)))


def test_up_in_the_world_is_up_in_the_picture_without_roll():
    T_world2cam, K_px = sample_cameras(50, np.random.default_rng(2), CameraRange(), SIZE)
    for T, K in zip(T_world2cam, K_px, strict=True):
        foot, top = (project(T, K, np.array([0, y, 0])) for y in (-0.5, 0.5))
        assert top[1] < foot[1] + 1e-9
        assert top[0] == pytest.approx(foot[0], abs=0.02 * abs(top[1] - foot[1]) + 0.02)


def test_roll_turns_the_picture_clockwise():
    # The camera turned by +90 degrees about its forward axis: what was up points left.
    cameras = CameraRange(shift=0.0, elevation_deg=(0, 0), roll_deg=(90, 90))
    T_world2cam, K_px = sample_cameras(1, np.random.default_rng(0), cameras, SIZE)
    u, v = project(T_world2cam[0], K_px[0], np.array([0, 0.5, 0])) - [80, 48]
    assert abs(v) < 1e-6
    assert abs(u) > 5


def test_directions_are_uniform_on_the_upper_hemisphere():
    cameras = CameraRange(shift=0.0, distance=1.0)
    T_world2cam, _ = sample_cameras(20_000, np.random.default_rng(3), cameras, SIZE)
    direction = eyes(T_world2cam)
    assert direction[:, 1].min() >= -1e-12
    # Uniform on the half sphere: each coordinate is uniform (y in [0, 1], x and z in [-1, 1]).
    np.testing.assert_allclose(direction.mean(axis=0), [0, 0.5, 0], atol=0.02)
    np.testing.assert_allclose((direction**2).mean(axis=0), [1 / 3] * 3, atol=0.02)
    quarter = np.histogram(direction[:, 1], bins=4, range=(0, 1))[0] / 20_000
    np.testing.assert_allclose(quarter, 0.25, atol=0.02)


def test_shift_moves_the_location_but_keeps_the_rotation():
    with_shift, without = (
        sample_cameras(200, np.random.default_rng(4), CameraRange(shift=shift), SIZE)[0]
        for shift in (0.2, 0.0)
    )
    np.testing.assert_array_equal(with_shift[:, :3, :3], without[:, :3, :3])
    moved = eyes(with_shift) - eyes(without)
    assert np.abs(moved).max() <= 0.2 + 1e-9
    assert np.abs(moved).max() > 0.19
    assert eyes(with_shift)[:, 1].min() >= -1e-9


def test_shift_may_go_below_ground_where_the_range_does():
    cameras = CameraRange(elevation_deg=(-10, 0))
    T_world2cam, _ = sample_cameras(50, np.random.default_rng(5), cameras, SIZE)
    assert eyes(T_world2cam)[:, 1].min() < -1


def test_ranges_are_kept():
    cameras = CameraRange(elevation_deg=(10, 40), azimuth_deg=(0, 90), shift=0.0)
    T_world2cam, _ = sample_cameras(500, np.random.default_rng(6), cameras, SIZE)
    direction = eyes(T_world2cam) / 30
    elevation = np.degrees(np.arcsin(direction[:, 1]))
    assert 10 <= elevation.min() < 12
    assert 38 < elevation.max() <= 40
    assert direction[:, [0, 2]].min() >= 0


def test_same_seed_same_cameras_and_an_empty_draw():
    one, two = (
        sample_cameras(3, np.random.default_rng(7), CameraRange(), SIZE)[0] for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)
    T_world2cam, K_px = sample_cameras(0, np.random.default_rng(7), CameraRange(), SIZE)
    assert T_world2cam.shape == (0, 4, 4)
    assert K_px.shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distance": 0.0}, "distance must be > 0, got 0"),
        ({"fov_deg": 180.0}, "fov_deg must be in"),
        ({"shift": -1.0}, "shift must be >= 0"),
        ({"shift": float("nan")}, "shift is nan"),
        ({"elevation_deg": (50.0, 40.0)}, r"elevation_deg .* got \(50.0, 40.0\)"),
        ({"elevation_deg": (0.0, 91.0)}, "elevation_deg must be .* within ±90"),
        ({"roll_deg": (0.0, 181.0)}, "roll_deg must be .* within ±180"),
    ],
)
def test_impossible_ranges_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        CameraRange(**arguments)


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="sample_cameras: expected n >= 0"):
        sample_cameras(-1, np.random.default_rng(0), CameraRange(), SIZE)
