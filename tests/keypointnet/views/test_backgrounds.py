import numpy as np
import pytest
from PIL import Image

from keypointnet.views.backgrounds import (
    cropped_background,
    darkened,
    find_pictures,
    made_up_background,
)

SIZE = (30, 40)


def test_pictures_are_found_sorted_and_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="gone: no such folder of background pictures"):
        find_pictures(tmp_path / "gone")
    (tmp_path / "readme.txt").write_text("none here")
    with pytest.raises(ValueError, match=r"no picture in it; expected files in \.jpg"):
        find_pictures(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("sub/b.PNG", "a.jpg", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert find_pictures(tmp_path) == [tmp_path / "a.jpg", tmp_path / "sub/b.PNG"]


@pytest.mark.parametrize("source", [(20, 200), (200, 20), (30, 40), (3, 2)])
def test_crops_fill_the_picture_whatever_the_source(tmp_path, source):
    ramp = np.zeros((*source, 3), np.uint8)
    ramp[..., 0] = 200
    Image.fromarray(ramp).save(tmp_path / "red.png")
    crop = cropped_background(tmp_path / "red.png", SIZE, np.random.default_rng(1))
    assert crop.shape == (*SIZE, 3)
    assert (crop == [200, 0, 0]).all()


def test_a_background_that_is_none_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"broken.jpg: cannot be read as a picture"):
        cropped_background(tmp_path / "broken.jpg", SIZE, np.random.default_rng(0))


@pytest.mark.parametrize("horizon_px", [-500.0, 12.0, 500.0])
def test_made_up_backgrounds_vary_and_repeat(horizon_px):
    first, again, other = (
        made_up_background(SIZE, horizon_px, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first.shape == (*SIZE, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 5


def test_the_ground_is_dark_under_an_object_only():
    grey = np.full((*SIZE, 3), 200, np.uint8)
    square = np.array([[12.0, 10], [28, 10], [28, 22], [12, 22]])
    shaded = darkened(grey, [square], 0.5)
    assert (shaded[16, 20] < 115).all()
    assert (shaded[0, 0] > 195).all()
    assert np.array_equal(darkened(grey, [], 0.5), grey)
