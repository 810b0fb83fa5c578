from __future__ import annotations

import numpy as np
import pytest

from keypointnet.shapenet.picture_search import ObjectPicture, PictureSettings
from keypointnet.shapenet.picture_vectors import picture_vectors

SETTINGS = PictureSettings(side=64)


def disc(ground: int, striped: bool) -> ObjectPicture:
    y, x = np.mgrid[:50, :70]
    inside = (y - 25) ** 2 + (x - 30) ** 2 < 20**2
    colour = np.where((x // 5) % 2 == 0, 30, 220) if striped else np.full(x.shape, 120)
    pixels = np.where(inside, colour, ground).astype(np.uint8)
    return ObjectPicture(np.repeat(pixels[..., None], 3, 2), (inside * 255).astype(np.uint8))


def test_vectors_tell_objects_and_not_grounds():
    plain, again, striped = picture_vectors(
        [disc(0, False), disc(255, False), disc(0, True)], SETTINGS
    )
    assert plain.shape == (1280,)
    assert plain.dtype == np.float32
    for vector in (plain, again, striped):
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert plain @ again == pytest.approx(1, abs=1e-4)
    assert plain @ striped < 0.95


def test_a_vector_is_of_its_own_picture_alone():
    both = picture_vectors([disc(0, False), disc(0, True)], SETTINGS)
    alone = picture_vectors([disc(0, True)], SETTINGS)
    np.testing.assert_allclose(both[1], alone[0], atol=1e-5)
    assert picture_vectors([], SETTINGS).shape == (0, 1280)
    nothing = ObjectPicture(disc(0, False).rgb, np.zeros((50, 70), np.uint8))
    with pytest.raises(ValueError, match="the object covers no pixel"):
        picture_vectors([nothing], SETTINGS)
