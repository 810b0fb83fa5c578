"""Pictures on disk: inside their folder, there, and whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from kp2seg.data.image_files import picture_path, picture_problem, picture_problems
from kp2seg.data.mapper import read_picture
from kp2seg.data.problems import DataError

SIZE = (40, 60)


def write_picture(path: Path, size: tuple[int, int] = SIZE) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp"])
def test_whole_and_cut(tmp_path: Path, ending: str) -> None:
    path = write_picture(tmp_path / f"a.{ending}")
    assert picture_problem(path, SIZE) is None
    whole = path.read_bytes()
    for share in (0.0, 0.01, 0.5, 0.98):
        path.write_bytes(whole[: int(len(whole) * share)])
        problem = picture_problem(path, SIZE)
        assert problem is not None, share
        assert problem[0] == "picture cut short or damaged"
        assert str(path) in problem[1]


def test_bytes_after_the_end_are_no_damage(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + b"\0" * 500)
    assert picture_problem(path, SIZE) is None


def test_size(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png")
    assert (picture_problem(path, (60, 40)) or ("",))[0].startswith("picture of another size")
    kind, detail = picture_problem(path, (41, 60)) or ("", "")
    assert kind == "picture of another size than its annotations"
    assert detail == f"{path} is 40 x 60, annotated as 41 x 60 (h x w)"


@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (3, False), (6, True), (8, True)])
def test_size_of_a_picture_that_its_exif_tag_turns(
    tmp_path: Path, orientation: int, turned: bool
) -> None:
    path = write_picture(tmp_path / "a.jpg")
    with Image.open(path) as image:
        exif = image.getexif()
        exif[ExifTags.Base.Orientation] = orientation
        image.save(path, exif=exif)
    right, wrong = (SIZE[::-1], SIZE) if turned else (SIZE, SIZE[::-1])
    assert picture_problem(path, right) is None
    assert (picture_problem(path, wrong) or ("",))[0].startswith("picture of another size")
    assert read_picture({"file_name": str(path)}).shape[:2] == right


def test_many_keep_their_order(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(20)]
    for path in paths[::3]:
        write_picture(path)
    found = picture_problems(paths, [SIZE] * 20)
    for i, problem in enumerate(found):
        assert problem == (None if i % 3 == 0 else ("picture missing", str(paths[i])))
    assert picture_problems([], []) == []


@pytest.mark.parametrize("name", ["a.jpg", "train/a.jpg", "a..b.jpg", "...jpg"])
def test_names_inside(name: str) -> None:
    assert picture_path(Path("/data"), name, "x.json") == Path("/data", name)


@pytest.mark.parametrize(
    "name", ["/a.jpg", "../a.jpg", "a/../../b.jpg", "\\\\host\\a.jpg", "\\a.jpg", "d:a.jpg"]
)
def test_names_outside(name: str) -> None:
    with pytest.raises(DataError, match=r"x\.json: file_name .* leaves the folder of pictures"):
        picture_path(Path("/data"), name, "x.json")


@pytest.mark.parametrize("name", ["", None, 5, "a\0.jpg"])
def test_no_names(name: object) -> None:
    with pytest.raises(DataError, match=r"expected a name such as"):
        picture_path(Path("/data"), name, "x.json")
