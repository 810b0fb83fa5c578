"""Names of data sets → their data, and their place in Detectron2's catalogues.

Registering reads nothing, not even whether a file exists; a data set is read when it is asked for.
Beside Detectron2's usual metadata, `MetadataCatalog.get(name)` holds `annotation_file`, the
original file, which may hold more than the data set. It has no `json_file` for that reason:
Detectron2's COCOEvaluator would score against the people that COCOPersons leaves out. Without one
it writes its own from the data set. `read_dataset(name).coco` is what our evaluators use.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.builtin_meta import KEYPOINT_CONNECTION_RULES
from detectron2.structures import BoxMode

from kp2seg.data import cocopersons, ochuman, syncrowd
from kp2seg.data.coco_json import KeypointData, check_coco, check_lists, read_json
from kp2seg.keypoint_sources.layouts import COCO_JOINTS, flip_pairs

ROOT_VARIABLE = "DETECTRON2_DATASETS"
EVALUATOR_TYPE = "kp2seg"


@dataclass(frozen=True)
class Source:
    """How a data set is read: `read(strict=..., check_images=...)`, and where it comes from."""

    read: Callable[..., KeypointData]
    annotation_file: Path
    image_root: Path


_PERSON = {"thing_classes": ["person"], "thing_dataset_id_to_contiguous_id": {1: 0}}
_SOURCES: dict[str, Source] = {}


def datasets_root() -> Path:
    """$DETECTRON2_DATASETS, or datasets/ here."""
    return Path(os.path.expanduser(os.getenv(ROOT_VARIABLE, "datasets")))


def register_datasets(root: Path | None = None) -> None:
    """Put the data sets into Detectron2's catalogues.

    cocopersons_{train,val}, ochuman_{val,test}, ochuman_{val,test}_{moderate,hard},
    syncrowd_{train,val} and syncrowd_val_{moderate,hard}. Calling it again registers them under
    the new root.

    Args:    root: the folder of data; `datasets_root()` without.
    """
    root = datasets_root() if root is None else Path(root)
    for split in ("train", "val"):
        _register(
            f"cocopersons_{split}",
            Source(
                functools.partial(cocopersons.read_cocopersons, root, split),
                cocopersons.annotation_file(root, split),
                cocopersons.image_root(root, split),
            ),
            COCO_JOINTS,
            **_PERSON,
        )
    for split in ("val", "test"):
        for suffix, iou_range in ochuman.IOU_RANGES.items():
            low, high = iou_range
            name = f"ochuman_coco_format_{split}_range_{low:.2f}_{high:.2f}.json"
            _register(
                f"ochuman_{split}{suffix}",
                Source(
                    functools.partial(ochuman.read_ochuman, root, split, iou_range),
                    Path(root, "OCHuman", name),
                    ochuman.image_root(root),
                ),
                COCO_JOINTS,
                **_PERSON,
            )

    for split, suffixes in (("train", ("",)), ("val", tuple(syncrowd.IOU_RANGES))):
        for suffix in suffixes:
            _register(
                f"syncrowd_{split}{suffix}",
                Source(
                    functools.partial(
                        syncrowd.read_syncrowd, root, split, syncrowd.IOU_RANGES[suffix]
                    ),
                    syncrowd.annotation_file(root, split),
                    syncrowd.image_root(root, split),
                ),
                COCO_JOINTS,
                **_PERSON,
            )


def register_keypoint_json(
    name: str,
    annotation_file: Path,
    image_root: Path,
    keypoint_names: Sequence[str],
    class_name: str = "object",
) -> None:
    """Register any COCO keypoint JSON with masks, of any class and any number of joints.

    Args:    keypoint_names: found in the file by name.  class_name: of its one class.
    """
    source = _file_source(annotation_file, image_root, keypoint_names)
    _register(name, source, tuple(keypoint_names), thing_classes=[class_name])


def _file_source(
    annotation_file: Path, image_root: Path, keypoint_names: Sequence[str] | None
) -> Source:
    def read(*, strict: bool, check_images: bool) -> KeypointData:
        return check_coco(
            read_json(annotation_file),
            annotation_file,
            image_root,
            keypoint_names=keypoint_names,
            check_images=check_images,
            strict=strict,
        )

    return Source(read, Path(annotation_file), Path(image_root))


def read_dataset(
    name: str,
    *,
    strict: bool = False,
    check_images: bool = True,
    keypoints: bool = True,
    category: str | None = None,
    keep_empty_images: bool = False,
) -> KeypointData:
    """Read a data set; what was left out is logged as a warning.

    Args:    name: of a registered one; or a COCO keypoint JSON, FILE.json@FOLDER with the folder of
             its pictures, FILE.json where that is images/ beside it.
             strict: raise at the first problem.  check_images: look at every picture's file.
             keypoints: false for a model that takes none. A FILE of a given category, or whose
             categories have no keypoints, is then read without: see `check_coco`'s plain.
             category: its class.  keep_empty_images: of such a FILE, pictures without an object
             too.
    Raises:  ValueError: no such data set (the names are listed), or a category of a registered one.
             DataError: the data cannot be used, and why.
    """
    source = _SOURCES.get(name)
    if source is None:
        path, folder = file_and_folder(name)
        source = _file_source(path, folder, None)
        if not keypoints:
            source = _plain_source(path, folder, category, keep_empty_images) or source
    elif category is not None:
        raise ValueError(
            f"read_dataset: category {category!r}: {name} has one class; expected FILE.json@FOLDER"
        )
    data = source.read(strict=strict, check_images=check_images)
    data.report.log()
    return data


def file_and_folder(name: str) -> tuple[Path, Path]:
    """FILE.json@FOLDER as paths; images/ beside FILE.json without a folder. Raises: ValueError."""
    file, separator, folder = name.partition(".json@")
    if not separator and not name.endswith(".json"):
        raise ValueError(
            f"read_dataset: no data set {name!r}; there are {', '.join(_SOURCES)}, and "
            "FILE.json@FOLDER OF PICTURES"
        )
    path = Path(f"{file}.json" if separator else name)
    return path, Path(folder) if separator else path.parent / "images"


def _plain_source(
    path: Path, image_root: Path, category: str | None, keep_empty_images: bool
) -> Source | None:
    """A file read without keypoints, None where it has some and no category is named."""
    coco = read_json(path)
    check_lists(coco, str(path))
    if category is None and any(
        isinstance(row, dict) and row.get("keypoints") for row in coco["categories"]
    ):
        return None

    def read(*, strict: bool, check_images: bool) -> KeypointData:
        return check_coco(
            coco,
            path,
            image_root,
            plain=True,
            category=category,
            keep_empty_images=keep_empty_images,
            check_images=check_images,
            strict=strict,
        )

    return Source(read, path, image_root)


def short_name(name: str) -> str:
    """A data set's name for files and figures: its own, or that of its JSON without the folder."""
    return Path(name.partition(".json@")[0]).name.removesuffix(".json")


def dataset_dicts(data: KeypointData) -> list[dict[str, Any]]:
    """Detectron2's standard dicts, one for each picture.

    Convention: boxes XYWH and polygons in px, as in the file; `keypoints` (3K) are COCO's numbers
    plus 0.5, which puts pixel centres at + 0.5, as `load_coco_json` of Detectron2 has them.
    category_id counts the classes from 0.  id, area and iscrowd are kept. Crowds of a data set
    without keypoints are left out: they are no objects to find, and ignored in scoring.
    """
    classes = {row["id"]: i for i, row in enumerate(_classes(data))}
    records = {
        image["id"]: {
            "file_name": os.path.join(data.image_root, image["file_name"]),
            "height": int(image["height"]),
            "width": int(image["width"]),
            "image_id": image["id"],
            "annotations": [],
        }
        for image in data.coco["images"]
    }
    copied = ("bbox", "segmentation", "area", "iscrowd", "id")
    for row in data.coco["annotations"]:
        if row["iscrowd"] and not data.keypoint_names:
            continue
        records[row["image_id"]]["annotations"].append(
            {
                **{key: row[key] for key in copied},
                "keypoints": [
                    value if place % 3 == 2 else value + 0.5
                    for place, value in enumerate(row["keypoints"])
                ],
                "bbox_mode": BoxMode.XYWH_ABS,
                "category_id": classes[row["category_id"]],
            }
        )
    return list(records.values())


def _classes(data: KeypointData) -> list[dict[str, Any]]:
    return sorted(data.coco["categories"], key=lambda row: row["id"])


def _register(name: str, source: Source, names: tuple[str, ...], **metadata: Any) -> None:
    if name in DatasetCatalog.list():
        if name not in _SOURCES:
            raise ValueError(f"register: {name!r} is registered by someone else")
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    _SOURCES[name] = source
    DatasetCatalog.register(name, lambda: dataset_dicts(read_dataset(name)))
    rules = KEYPOINT_CONNECTION_RULES if names == COCO_JOINTS else []
    MetadataCatalog.get(name).set(
        annotation_file=str(source.annotation_file),
        image_root=str(source.image_root),
        evaluator_type=EVALUATOR_TYPE,
        keypoint_names=list(names),
        keypoint_flip_map=list(flip_pairs(names)),
        keypoint_connection_rules=list(rules),
        **metadata,
    )
