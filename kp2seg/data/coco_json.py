"""The reader and checker of COCO keypoint JSON that every data set goes through.

Coordinates stay COCO's raw numbers (integer pixel centres); the mapper adds Detectron2's 0.5.
Every row that cannot be used is left out and counted in a report, or raised when strict. A file
that cannot be trusted as a whole (no JSON, joints without the wanted names, a file name that
leaves the folder of pictures) always raises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kp2seg.data.annotations import check_annotation, is_integer
from kp2seg.data.image_files import picture_path, picture_problems
from kp2seg.data.problems import DataError, Report, read_bytes

Keep = Callable[[Mapping[str, Any]], bool]
"""Which annotations belong to a data set; the others are passed over without a check."""

_LISTS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class KeypointData:
    """A data set that has been read and checked.

    Attributes:
        coco: COCO JSON of exactly this set; what an evaluator scores against.
        image_root: folder of the pictures.  keypoint_names: K names, in the order of the numbers.
        files: the annotation files it came from.  report: what was left out, and why.
    """

    coco: dict[str, Any]
    image_root: Path
    keypoint_names: tuple[str, ...]
    files: tuple[Path, ...]
    report: Report


def read_json(path: Path, remedy: str = "check the path") -> Any:
    """The contents of a JSON file.

    Raises:  DataError: there is none, or it is no JSON (where and how is said).
    """
    data = read_bytes(path, "expected an annotation JSON", remedy)
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip()) - 1 or "Unterminated" in error.msg
        what = "is cut short" if cut else "is no JSON"
        raise DataError(
            f"{path}: {what}: {error.msg} at line {error.lineno}, character {error.pos} of "
            f"{len(error.doc)}; get the file again"
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no JSON: not UTF-8 text at byte {error.start}") from None


def check_coco(
    coco: Any,
    source: Path,
    image_root: Path,
    *,
    keypoint_names: Sequence[str] | None = None,
    plain: bool = False,
    category: str | None = None,
    keep: Keep | None = None,
    keep_empty_images: bool = False,
    check_images: bool = True,
    strict: bool = False,
) -> KeypointData:
    """Check a COCO JSON row by row.

    Args:    coco: the parsed file.  source: its path, for messages.
             image_root: where file_name starts.
             keypoint_names: the joints wanted, found by name whatever the file's order and extra
             joints; the file's own without.
             plain: no category needs keypoints; they are not looked at, the result has none.
             category: of a plain file, the name of the class; not needed where it has one.
             keep: annotations for which it is false are passed over.
             keep_empty_images: also pictures without a kept annotation.
             check_images: look at the picture files (their headers and ends); one that is missing
             or broken is left out with its annotations.
             strict: raise at the first problem.
    Returns: annotations with keypoints (3K numbers), num_keypoints, bbox, segmentation (polygons
             or compressed RLE), area, iscrowd, id, image_id, category_id; other fields are kept.
    Raises:  DataError: see the module; and whatever the report would count, when strict.
    """
    where = str(source)
    check_lists(coco, where)
    report = Report(where, strict)
    if plain:
        joints = _without_joints(coco["categories"], category, where)
    else:
        joints = _joints(coco["categories"], keypoint_names, where)
    rows = [row for row in coco["annotations"] if _is_wanted(row, joints, keep)]
    report.read = len(rows)
    images = checked_pictures(coco["images"], Path(image_root), report)
    if check_images:
        used = {id_in(row, "image_id") for row in rows}
        looked_at = [row for key, row in images.items() if keep_empty_images or key in used]
        left_out = pictures_without_files(looked_at, Path(image_root), report)
    else:
        left_out = set()
    annotations: list[dict[str, Any]] = []
    seen: set[int] = set()
    for row in rows:
        if not isinstance(row, dict):
            report.add("annotation that is no object", f"a {type(row).__name__}: {row!r:.40}")
            continue
        name = f"image {row.get('image_id')}, annotation {row.get('id')}"
        image_id = id_in(row, "image_id")
        if image_id in left_out:
            report.note("annotation of a picture that was left out", name)
        elif image_id is None or image_id not in images:
            report.add("annotation of an unknown image", name)
        elif id_in(row, "category_id") not in joints.categories:
            legal = f"category {row.get('category_id')}; there are {sorted(joints.categories)}"
            report.add("annotation of an unknown category", f"{name}: {legal}")
        elif problem := id_problem(row, seen):
            report.add(problem, name)
        else:
            size = (images[image_id]["height"], images[image_id]["width"])
            if plain:
                row = {**row, "keypoints": []}
            checked = check_annotation(row, size, joints.in_file, joints.order, name, report)
            if checked is not None:
                annotations.append(checked)
    report.kept = len(annotations)
    used = {row["image_id"] for row in annotations}
    clean = {
        **coco,
        "images": [
            row
            for key, row in images.items()
            if key in used or (keep_empty_images and key not in left_out)
        ],
        "annotations": annotations,
        "categories": list(joints.categories.values()),
    }
    return KeypointData(clean, Path(image_root), joints.names, (Path(source),), report)


def check_lists(coco: Any, where: str) -> None:
    """Raises DataError unless a file holds images, annotations and categories."""
    if isinstance(coco, list):
        raise DataError(
            f"{where}: a list of {len(coco)} rows, not an annotation file; a file of results goes "
            "to a keypoint source"
        )
    if not isinstance(coco, dict) or not all(isinstance(coco.get(key), list) for key in _LISTS):
        got = sorted(coco) if isinstance(coco, dict) else type(coco).__name__
        raise DataError(
            f"{where}: expected COCO JSON with the lists {', '.join(_LISTS)}; got {got}"
        )


@dataclass(frozen=True)
class _Joints:
    categories: dict[int, dict[str, Any]]  # classes with keypoints, by id
    other_classes: set[int]  # ids of those without
    names: tuple[str, ...]
    order: tuple[int, ...]  # of each name among the file's joints
    in_file: int


def _joints(rows: list[Any], wanted: Sequence[str] | None, where: str) -> _Joints:
    by_id = {key: row for row in rows if (key := id_in(row, "id")) is not None}
    found = {key: row for key, row in by_id.items() if row.get("keypoints")}
    others = set(by_id) - set(found)
    if not found:
        raise DataError(
            f"{where}: no category names its keypoints; expected categories[].keypoints"
        )
    lists = {tuple(row["keypoints"]) for row in found.values()}
    names = next(iter(lists))
    if len(lists) > 1:
        raise DataError(f"{where}: its categories have different keypoints: {sorted(lists)}")
    if len(set(names)) != len(names):
        double = sorted({name for name in names if names.count(name) > 1})
        raise DataError(f"{where}: keypoints named twice: {', '.join(double)}")
    if wanted is None or tuple(wanted) == names:
        return _Joints(found, others, names, tuple(range(len(names))), len(names))
    missing = [name for name in wanted if name not in names]
    if missing:
        unknown = [str(name) for name in names if name not in wanted]
        raise DataError(
            f"{where}: unknown joint names: {', '.join(unknown) or 'none'}; it lacks "
            f"{', '.join(missing)}; expected {', '.join(wanted)}"
        )
    # The file's skeleton counts its own joints.
    found = {
        key: {**{k: v for k, v in row.items() if k != "skeleton"}, "keypoints": list(wanted)}
        for key, row in found.items()
    }
    return _Joints(found, others, tuple(wanted), tuple(map(names.index, wanted)), len(names))


def _without_joints(rows: list[Any], wanted: str | None, where: str) -> _Joints:
    """One class as one without keypoints."""
    chosen = category_row(rows, wanted, where)
    key = int(chosen["id"])
    others = {other for row in rows if (other := id_in(row, "id")) is not None and other != key}
    bare = {k: v for k, v in chosen.items() if k not in ("keypoints", "skeleton")}
    return _Joints({key: bare}, others, (), (), 0)


def category_row(rows: list[Any], wanted: str | None, where: str) -> dict[str, Any]:
    """The class of a name; without a name the only one.

    Args:    rows: of a file's categories.  where: the file, for messages.
    Raises:  DataError: no such class, or several and no name; the names are listed.
    """
    named = {row["name"]: row for row in rows if isinstance(row, dict) and "name" in row}
    if wanted is None and len(named) == 1:
        (wanted,) = named
    known = ", ".join(sorted(map(str, named))) or "none"
    if wanted is None:
        raise DataError(f"{where}: has several classes, name one: {known}")
    row = named.get(wanted)
    if row is None or id_in(row, "id") is None:
        raise DataError(f"{where}: has no class {wanted!r}; there are {known}")
    return row


def _is_wanted(row: Any, joints: _Joints, keep: Keep | None) -> bool:
    if not isinstance(row, dict):
        return True  # reported later
    return id_in(row, "category_id") not in joints.other_classes and (keep is None or keep(row))


def id_in(row: Any, key: str) -> int | None:
    """The integer at a key, None where there is none."""
    value = row.get(key) if isinstance(row, dict) else None
    return int(value) if is_integer(value) else None


def checked_pictures(
    rows: list[Any], image_root: Path, report: Report
) -> dict[int, dict[str, Any]]:
    """Pictures with an id, a size and a name that stays in the folder, by id."""
    images: dict[int, dict[str, Any]] = {}
    for row in rows:
        image_id = id_in(row, "id")
        if image_id is None:
            report.add("image id that is no integer", f"{row!r:.80}")
            continue
        picture_path(image_root, row.get("file_name"), report.source)
        name = f"image {image_id} ({row['file_name']})"
        width, height = id_in(row, "width"), id_in(row, "height")
        if image_id in images:
            report.add("duplicate image id", name)
        elif width is None or height is None or width <= 0 or height <= 0:
            size = f"{row.get('width')} x {row.get('height')}"
            report.add("picture without a size", f"{name}: {size}")
        else:
            images[image_id] = row
    return images


def id_problem(row: Mapping[str, Any], seen: set[int]) -> str:
    """What is wrong with an annotation's id, "" for nothing: it is among the seen ones then."""
    annotation_id = id_in(row, "id")
    if annotation_id is None:
        return "annotation id that is no integer"
    if annotation_id in seen:
        return "duplicate annotation id"
    seen.add(annotation_id)
    return ""


def pictures_without_files(
    rows: list[dict[str, Any]],
    image_root: Path,
    report: Report,
    remedy: str = "set DETECTRON2_DATASETS to the folder that holds them",
) -> set[int]:
    """Ids of the pictures that cannot be read.

    Args:    remedy: what to do where none of them is there.
    Raises:  DataError: none is.
    """
    paths = [Path(image_root, row["file_name"]) for row in rows]
    found = picture_problems(paths, [(row["height"], row["width"]) for row in rows])
    if rows and all(problem and problem[0] == "picture missing" for problem in found):
        raise DataError(
            f"{report.source}: none of its {len(rows)} pictures is in {image_root} (the first: "
            f"{rows[0]['file_name']}); {remedy}"
        )
    for problem in found:
        if problem is not None:
            report.add(*problem)
    return {row["id"] for row, problem in zip(rows, found, strict=True) if problem is not None}
