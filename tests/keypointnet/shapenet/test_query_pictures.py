from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from keypointnet.shapenet.picture_search import (
    ObjectPicture,
    PictureSettings,
    object_square,
    of_view,
    view_distances,
)
from keypointnet.shapenet.query_pictures import read_object_picture


def block(ground: int = 255, size: tuple[int, int] = (40, 60)) -> np.ndarray:
    """(h, w, 3): a red rectangle, rows 10 to 30, columns 20 to 50, with a hole of the ground."""
    rgb = np.full((*size, 3), ground, np.uint8)
    rgb[10:30, 20:50] = (200, 30, 40)
    rgb[18:22, 30:36] = ground
    return rgb


def save(path, pixels: np.ndarray):
    Image.fromarray(pixels).save(path)
    return path


def its_pixels(hole: bool = False) -> np.ndarray:
    inside = np.zeros((40, 60), bool)
    inside[10:30, 20:50] = True
    if hole:
        inside[18:22, 30:36] = False
    return inside


@pytest.mark.parametrize("ground", [0, 90, 255])
def test_a_ground_of_one_colour_is_left_out(tmp_path, ground):
    noise = np.random.default_rng(0).integers(-4, 5, (40, 60, 3))
    pixels = np.clip(block(ground).astype(int) + noise, 0, 255).astype(np.uint8)
    picture = read_object_picture(save(tmp_path / "p.png", pixels))
    # what is enclosed counts as the object's: it may be a cushion of the ground's colour
    assert ((picture.coverage == 255) == its_pixels()).all()
    assert (picture.rgb == pixels).all()


def test_an_object_that_reaches_the_border_in_one_place_is_still_found(tmp_path):
    rgb = block()
    rgb[30:, 20:24] = (200, 30, 40)
    picture = read_object_picture(save(tmp_path / "p.png", rgb))
    expected = its_pixels()
    expected[30:, 20:24] = True
    assert ((picture.coverage == 255) == expected).all()


def test_where_nothing_says_what_is_meant_all_of_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    assert (read_object_picture(save(tmp_path / "p.png", pixels)).coverage == 255).all()
    plain = np.full((40, 60, 3), 7, np.uint8)
    assert (read_object_picture(save(tmp_path / "q.png", plain)).coverage == 255).all()


def test_alpha_says_what_is_meant(tmp_path):
    alpha = np.where(its_pixels(hole=True), 255, 0).astype(np.uint8)
    path = save(tmp_path / "p.png", np.dstack([block(90), alpha]))
    assert (read_object_picture(path).coverage == alpha).all()
    left = read_object_picture(path, box=(0, 0, 30, 40)).coverage
    assert (left == np.where(np.arange(60) < 30, alpha, 0)).all()


def test_a_mask_says_what_is_meant(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    path = save(tmp_path / "p.png", noise)
    mask = save(tmp_path / "m.png", np.where(its_pixels(hole=True), 255, 0).astype(np.uint8))
    coverage = read_object_picture(path, mask=mask).coverage
    assert ((coverage == 255) == its_pixels(hole=True)).all()
    assert ((coverage > 0) == its_pixels(hole=True)).all()


def test_within_a_box_grabcut_finds_what_stands_out(tmp_path):
    rng = np.random.default_rng(0)
    rgb = np.clip(rng.normal((60, 120, 60), 20, (40, 60, 3)), 0, 255).astype(np.uint8)
    rgb[10:30, 20:50] = (200, 30, 40)
    coverage = read_object_picture(save(tmp_path / "p.png", rgb), box=(12, 4, 56, 36)).coverage
    assert ((coverage > 127) == its_pixels()).mean() > 0.97
    assert not coverage[:4].any()
    assert not coverage[:, :12].any()


def test_grey_pictures_of_8_and_16_bits_and_turned_ones(tmp_path):
    grey = block()[..., 0]
    expected = read_object_picture(save(tmp_path / "p.png", grey))
    assert (expected.rgb == grey[..., None]).all()
    fine = read_object_picture(save(tmp_path / "q.png", grey.astype(np.uint16) * 257))
    assert (fine.rgb == expected.rgb).all()
    image = Image.fromarray(block())
    exif = image.getexif()
    exif[0x0112] = 6  # taken with the camera on its side
    image.save(tmp_path / "r.png", exif=exif)
    assert read_object_picture(tmp_path / "r.png").rgb.shape == (60, 40, 3)


@pytest.mark.parametrize(
    ("box", "reason"),
    [((50, 0, 10, 40), "expected a box X0,Y0,X1,Y1 with X0 < X1.*within its 60x40 px"),
     ((70, 0, 90, 40), "got 70,0,90,40")],
)  # fmt: skip
def test_wrong_boxes(tmp_path, box, reason):
    with pytest.raises(ValueError, match=f"p.png: .*{reason}"):
        read_object_picture(save(tmp_path / "p.png", block()), box=box)


def test_what_is_no_picture(tmp_path):
    whole = save(tmp_path / "p.png", block())
    data = whole.read_bytes()
    cut = tmp_path / "cut.png"
    cut.write_bytes(data[: len(data) // 2])
    text = tmp_path / "text.png"
    text.write_text("hello")
    for path in (cut, text):
        with pytest.raises(ValueError, match=f"{path.name}: cannot be read as a picture"):
            read_object_picture(path)
    with pytest.raises(ValueError, match=r"gone.png: no such picture"):
        read_object_picture(tmp_path / "gone.png")
    with pytest.raises(ValueError, match=r"cut.png: cannot be read"):
        read_object_picture(whole, mask=cut)


def test_masks_that_do_not_fit(tmp_path):
    path = save(tmp_path / "p.png", block())
    small = save(tmp_path / "m.png", np.full((40, 59), 255, np.uint8))
    with pytest.raises(ValueError, match=r"m.png: expected the 60x40 px of .*p.png, found 59x40"):
        read_object_picture(path, mask=small)
    empty = save(tmp_path / "e.png", np.zeros((40, 60), np.uint8))
    with pytest.raises(ValueError, match=r"e.png leaves nothing of the object"):
        read_object_picture(path, mask=empty)


def test_the_square_round_an_object():
    settings = PictureSettings(side=36, margin=0.1, grey=255)
    coverage = np.where(its_pixels(), 255, 0).astype(np.uint8)
    square = object_square(ObjectPicture(block(0), coverage), settings)
    # 30 px and a tenth of it on either side are 36: no scaling; rows 10 to 30 land on 8 to 28
    expected = np.zeros((36, 36), np.uint8)
    expected[8:28, 3:33] = 255
    assert (square.coverage == expected).all()
    assert (square.rgb[expected == 0] == 255).all()
    assert square.rgb[8, 3].tolist() == [200, 30, 40]
    assert square.rgb[17, 15].tolist() == [0, 0, 0]  # the hole is the object's here
    # large pictures are shrunk to much the same
    large = ObjectPicture(*(np.kron(a, np.ones((4, 4) + (1,) * (a.ndim - 2), np.uint8))
                            for a in (block(0), coverage)))  # fmt: skip
    again = object_square(large, settings)
    assert np.abs(again.rgb.astype(int) - square.rgb).mean() < 1
    with pytest.raises(ValueError, match="covers no pixel"):
        object_square(ObjectPicture(block(), np.zeros((40, 60), np.uint8)), settings)


def test_grounds_make_no_difference_once_they_are_known(tmp_path):
    settings = PictureSettings(side=48)
    squares = []
    for ground in (0, 255):
        rgb = block(ground)
        rgb[18:22, 30:36] = (1, 2, 90)
        path = save(tmp_path / f"{ground}.png", rgb)
        squares.append(object_square(read_object_picture(path), settings))
    assert (squares[0].rgb == squares[1].rgb).all()
    assert (squares[0].coverage == squares[1].coverage).all()


def test_a_view_is_divided_by_its_alpha():
    rgba = np.array([[[50, 100, 20, 128], [0, 0, 0, 0], [9, 8, 7, 255]]], np.uint8)
    picture = of_view(rgba)
    assert picture.rgb.tolist() == [[[99, 199, 39], [0, 0, 0], [9, 8, 7]]]
    assert picture.coverage.tolist() == [[128, 0, 255]]


def test_the_nearest_view_counts_for_its_model():
    query = np.array([1.0, 0.0])
    vectors = np.array([[[0, 1], [0.6, 0.8]], [[1, 0], [-1, 0]]])
    distances, views = view_distances(query, vectors)
    assert distances == pytest.approx([0.4, 0.0])
    assert views.tolist() == [1, 0]


def test_whatever_a_reader_raises_is_told_in_one_error(tmp_path):
    path = tmp_path / "a.dds"
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[80:84] = bytes(4)  # the pixel format's flags: none, of which Pillow knows no reader
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a.dds: cannot be read as a picture \(Unknown|Unimpl"):
        read_object_picture(path)
