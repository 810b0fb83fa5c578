"""Pictures on disk: inside their folder, there, whole, and of the size the annotations say."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from PIL import ExifTags, Image

from kp2seg.data.problems import DataError

_TAIL_BYTES = 64
# Format (as Pillow names it) -> what a whole file has at its end.
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
_FIRST_TURNED = 5  # EXIF orientations from here on exchange height and width
_THREADS = 8
_CHUNK = 64


def picture_path(image_root: Path, file_name: Any, source: str) -> Path:
    """Where a picture of an annotation file lies.

    Args:    source: the annotation file, for the message.
    Raises:  DataError: the name is absolute, has a drive or a `..`, or is no name at all: it would
             leave the folder of pictures.
    """
    if not isinstance(file_name, str) or not file_name or "\0" in file_name:
        raise DataError(f"{source}: file_name {file_name!r}: expected a name such as '000001.jpg'")
    windows = PureWindowsPath(file_name)
    if (
        PurePosixPath(file_name).is_absolute()
        or windows.is_absolute()
        or windows.drive
        or windows.root
        or ".." in windows.parts
        or ".." in PurePosixPath(file_name).parts
    ):
        raise DataError(
            f"{source}: file_name {file_name!r} leaves the folder of pictures; such a file is "
            "refused, make its names relative and without '..'"
        )
    return Path(image_root, file_name)


def picture_problem(path: Path, size: tuple[int, int]) -> tuple[str, str] | None:
    """What is wrong with a picture file.

    The header is read, and the end of the file; a JPEG or PNG that does not end as it should, and
    every other format, is decoded to be sure.

    Args:    size: (h, w) px that the annotations give.
    Returns: (kind, detail), or None if the picture can be used.
    """
    try:
        with open(path, "rb") as file, Image.open(file) as image:
            width, height = image.size
            # A picture that its EXIF tag turns by 90 degrees is annotated as it is shown.
            if image.getexif().get(ExifTags.Base.Orientation, 1) >= _FIRST_TURNED:
                width, height = height, width
            end = _ENDS.get(image.format or "")
            file.seek(-min(_TAIL_BYTES, os.fstat(file.fileno()).st_size), os.SEEK_END)
            if end is None or end not in file.read():
                image.load()
    except FileNotFoundError:
        return "picture missing", str(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return "picture cut short or damaged", f"{path} ({error})"
    if size != (height, width):
        kind = "picture of another size than its annotations"
        return kind, f"{path} is {height} x {width}, annotated as {size[0]} x {size[1]} (h x w)"
    return None


def picture_problems(
    paths: Sequence[Path], sizes: Sequence[tuple[int, int]]
) -> list[tuple[str, str] | None]:
    """`picture_problem` of many files, several at a time (a network drive answers slowly)."""

    def chunk(start: int) -> list[tuple[str, str] | None]:
        stop = start + _CHUNK
        return list(map(picture_problem, paths[start:stop], sizes[start:stop]))

    with ThreadPoolExecutor(_THREADS) as pool:
        chunks = pool.map(chunk, range(0, len(paths), _CHUNK))
        return [problem for found in chunks for problem in found]
