"""Which picture a row of a detector's file is of: by its id, or by its file name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol, TypeVar

from kp2seg.data.problems import DataError, Report

_PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


class OfAPicture(Protocol):
    """Something that a detector found."""

    @property
    def picture(self) -> int | str:
        """The image id, or the picture's file name."""

    @property
    def name(self) -> str:
        """Of its row, for messages."""


Found = TypeVar("Found", bound=OfAPicture)


def match_pictures(
    found: Iterable[Found],
    images: Sequence[Mapping[str, Any]],
    report: Report,
    what: str = "poses",
) -> dict[int, list[Found]]:
    """Image id → what was found in it, in the file's order.

    Args:    images: the data set's, with id and file_name; several rows of one id are names of one
             picture.  report: of the file; gets what is of no picture.  what: was found.
    Raises:  DataError: nothing is of any picture, or a name could be of several.
    """
    where = report.source
    ids = {image["id"] for image in images}
    by_name: dict[str, set[int]] = {}
    for image in images:
        name = PurePosixPath(image["file_name"])
        for key in {str(name), str(name.with_suffix("")), name.name, name.stem}:
            by_name.setdefault(key, set()).add(image["id"])
    by_picture: dict[int, list[Found]] = {}
    unmatched: dict[int | str, int] = {}
    for one in found:
        image_id = _image_id(one.picture, ids, by_name, where)
        if image_id is None:
            unmatched[one.picture] = unmatched.get(one.picture, 0) + 1
            report.note(f"{what} of a picture that is not in the data set", one.name)
        else:
            by_picture.setdefault(image_id, []).append(one)
    if unmatched and not by_picture:
        raise DataError(
            f"{where}: none of its {len(unmatched)} pictures is in the data set; the file's first "
            f"is {next(iter(unmatched))!r}, the data set's "
            + (f"{images[0]['id']} ({images[0]['file_name']})" if images else "is empty")
        )
    return by_picture


def _image_id(
    picture: int | str, ids: set[int], by_name: Mapping[str, set[int]], where: str
) -> int | None:
    if isinstance(picture, int):
        return picture if picture in ids else None
    name = PurePosixPath(picture)
    keys = [str(name), name.name]
    if name.suffix.lower() in _PICTURE_SUFFIXES:
        keys.append(name.stem)
    for key in keys:
        matches = by_name.get(key, set())
        if len(matches) > 1:
            raise DataError(
                f"{where}: picture {picture!r} could be any of the images {sorted(matches)[:5]}; "
                "give paths as in the data set's file_name, or image ids"
            )
        if matches:
            return next(iter(matches))
    return int(picture) if picture.isdecimal() and int(picture) in ids else None
