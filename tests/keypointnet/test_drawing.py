import cv2
import numpy as np
import pytest
import torch

from keypointnet import drawing
from keypointnet.drawing import (
    BACKGROUND,
    contact_sheet,
    draw_keypoints,
    keypoint_colours,
    keypoint_sheet,
    save_picture,
)
from keypointnet.model import KeypointNet
from keypointnet.views.pairs import open_models


def test_every_keypoint_has_its_own_colour():
    colours = keypoint_colours(17)
    assert len(set(colours)) == 17
    assert all(0 <= channel <= 255 for colour in colours for channel in colour)
    assert keypoint_colours(0) == []


def test_discs_are_where_the_points_are():
    h, w, scale = 20, 40, 4
    uv = torch.tensor([[-0.5, 0.25], [0.75, -0.25]])
    picture = draw_keypoints(np.zeros((h, w, 4), np.uint8), uv, scale=scale)
    assert picture.shape == (h * scale, w * scale, 3)
    # (u + 1) w / 2 and (v + h / w) w / 2, times the scale
    for (x, y), colour in zip([(40, 60), (140, 20)], keypoint_colours(2), strict=True):
        patch = picture[y - 2 : y + 2, x - 2 : x + 2].reshape(-1, 3)
        assert (patch == colour).all()
        disc = np.argwhere((picture == colour).all(-1))
        near = disc[np.abs(disc - [y, x]).max(1) < 12]
        np.testing.assert_allclose(near.mean(0) + 0.5, [y, x], atol=0.3)


def test_the_object_is_composited_over_the_ground():
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[2:6, 2:6] = (200, 100, 0, 255)
    picture = draw_keypoints(rgba, torch.zeros(0, 2), scale=1)
    assert tuple(picture[0, 0]) == BACKGROUND
    assert tuple(picture[4, 4]) == (200, 100, 0)


def test_contact_sheet_literal():
    tiles = [np.full((2, 3, 3), value, np.uint8) for value in (1, 2, 3)]
    sheet = contact_sheet(tiles, columns=2, gap=1)
    assert sheet.shape == (7, 9, 3)
    assert (sheet[1:3, 1:4] == 1).all()
    assert (sheet[1:3, 5:8] == 2).all()
    assert (sheet[4:6, 1:4] == 3).all()
    assert (sheet[4:6, 5:8] == BACKGROUND).all()
    with pytest.raises(ValueError, match="expected at least one tile"):
        contact_sheet([], columns=2)


def test_each_model_has_its_own_row(tmp_path, blob_root, blob_views):
    blob_views(tmp_path, ["few"], views=2)
    entries = [*open_models(tmp_path, "all", (32, 32)), *open_models(blob_root, "test", (32, 32))]
    model = KeypointNet(4, channels=8, orientation_channels=0).eval()
    sheet = keypoint_sheet(model, entries, views=3, scale=2)
    tile, gap = 64, 4
    assert sheet.shape == (2 * (tile + gap) + gap, 3 * (tile + gap) + gap, 3)
    third = slice(2 * (tile + gap) + gap, 3 * (tile + gap))
    assert (sheet[gap : gap + tile, third] == BACKGROUND).all()
    assert not (sheet[2 * gap + tile : 2 * gap + 2 * tile, third] == BACKGROUND).all()


def test_pictures_are_saved_as_rgb(tmp_path):
    rgb = np.zeros((4, 5, 3), np.uint8)
    rgb[..., 0] = 255
    path = tmp_path / "new folder" / "red.png"
    save_picture(path, rgb)
    assert tuple(cv2.imread(str(path))[0, 0]) == (0, 0, 255)  # cv2 reads BGR


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "red.png").mkdir()
    with pytest.raises(OSError, match=r"red.png: the picture could not be written"):
        save_picture(tmp_path / "red.png", np.zeros((4, 5, 3), np.uint8))
    for name in ("red", "red.xyz"):
        with pytest.raises(OSError, match=rf"{name}: expected a picture's name, ending in .png"):
            save_picture(tmp_path / name, np.zeros((4, 5, 3), np.uint8))


def test_a_long_name_keeps_its_ends_in_a_caption(monkeypatch):
    written: list[str] = []
    put_text = drawing.cv2.putText

    def record(picture: np.ndarray, text: str, *rest: object) -> np.ndarray:
        written.append(text)
        return put_text(picture, text, *rest)

    monkeypatch.setattr(drawing.cv2, "putText", record)
    bar = drawing.caption("12.3 deg  views/" + "x" * 200 + "/last 0, 1", 200)
    assert bar.shape == (20, 200, 3)
    (text,) = written
    assert text.startswith("12.3 deg")
    assert "..." in text
    assert text.endswith("0, 1")
