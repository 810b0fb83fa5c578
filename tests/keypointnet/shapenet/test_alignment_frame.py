import numpy as np
import pytest

from keypointnet.shapenet.alignment_frame import turn_to_mirror
from keypointnet.shapenet.alignment_rotations import azimuth_matrices
from keypointnet.shapenet.alignment_shapes import sample_surface
from keypointnet.shapenet.models import Model
from keypointnet.shapes import make_model
from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.primitives import box


def chairs(n: int) -> list:
    return [sample_surface(make_model("chair", seed), 0) for seed in range(n)]


@pytest.mark.parametrize("angle_deg", [0.0, 20.0, 77.0, -80.0, 140.0])
def test_the_plane_of_most_chairs_becomes_x(angle_deg: float) -> None:
    turned = azimuth_matrices(np.deg2rad([angle_deg]))[0]
    samples = chairs(5)
    turn = turn_to_mirror(samples, np.tile(turned, (5, 1, 1)))
    left = turn @ turned @ np.array([1.0, 0.0, 0.0])
    assert abs(left[0]) > np.cos(np.deg2rad(3))
    assert abs(left[1]) < 1e-9
    assert turn[0, 0] >= -1e-9  # at most a quarter turn
    assert np.linalg.det(turn) == pytest.approx(1)


def test_without_a_plane_that_is_clearly_the_best_nothing_is_turned() -> None:
    def lopsided(seed: int) -> Model:
        rng = np.random.default_rng(seed)
        assembly = Assembly()
        for number in range(6):
            size, centre = rng.uniform(0.2, 0.8, 3), rng.uniform(-1, 1, 3)
            assembly.add(f"part{number}", np.full(3, 0.5), box(tuple(size), tuple(centre)))
        return assembly.build(f"lopsided{seed}")

    samples = [sample_surface(lopsided(seed), 0) for seed in range(5)]
    np.testing.assert_array_equal(turn_to_mirror(samples, np.tile(np.eye(3), (5, 1, 1))), np.eye(3))
