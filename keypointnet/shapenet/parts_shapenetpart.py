"""ShapeNetPart: clouds of points with a label each, in both layouts that are handed round.

shapenetcore_partanno_segmentation_benchmark_v0:  SYNSET/points/ID.pts, lines "x y z", and
    SYNSET/points_label/ID.seg, a label a line, counted from 1 within the class. The full
    annotation keeps the labels in SYNSET/expert_verified/points_label.
..._v0_normal:  SYNSET/ID.txt, lines "x y z nx ny nz label", labels 0 to 49 over all classes.

The HDF5 files of the same points are not read.

Source: Yi et al. 2016, "A scalable active framework for region annotation in 3D shape
collections". The folders, and which of the 50 labels belong to which class, were read off several
published readers; what the labels are called is from memory (the files do not say), and so is that
0 in a .seg file stands for a point without a label.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keypointnet.shapenet.materials import EmptyModelError, ModelError
from keypointnet.shapenet.parts import Part
from keypointnet.shapenet.surfaces import normalise_points

CLASSES: dict[str, tuple[str, tuple[str, ...]]] = {
    "02691156": ("airplane", ("body", "wing", "tail", "engine")),
    "02773838": ("bag", ("handle", "body")),
    "02954340": ("cap", ("panel", "peak")),
    "02958343": ("car", ("roof", "hood", "wheel", "body")),
    "03001627": ("chair", ("back", "seat", "leg", "arm")),
    "03261776": ("earphone", ("earcup", "headband", "data wire")),
    "03467517": ("guitar", ("head", "neck", "body")),
    "03624134": ("knife", ("blade", "handle")),
    "03636649": ("lamp", ("base", "lampshade", "canopy", "pole")),
    "03642806": ("laptop", ("keyboard", "screen")),
    "03790512": ("motorbike", ("gas tank", "seat", "wheel", "handle", "light", "frame")),
    "03797390": ("mug", ("handle", "cup")),
    "03948459": ("pistol", ("barrel", "handle", "trigger")),
    "04099429": ("rocket", ("body", "fin", "nose")),
    "04225987": ("skateboard", ("wheel", "deck", "belt")),
    "04379243": ("table", ("desktop", "leg", "drawer")),
}
"""Synset -> the class, and its parts in the order of their labels; all together are labels 0-49."""

LABEL_FOLDERS = ("points_label", "expert_verified/points_label")


def read_shapenet_part(path: Path, labels: Path | None = None) -> Part:
    """The parts of a labelled cloud, a part for each label that occurs.

    Args:    path: a .pts or .txt file, as above.
             labels: the .seg file of a .pts; if None, that of the same name in points_label or
             expert_verified/points_label beside its folder, or beside itself.
    Returns: the whole, named by the model, over its parts, scaled and centred into the object
             frame, turned nowhere. In a class that is not known, parts are named "part 1", ...
    Raises:  ModelError, naming the file and the line: unreadable; a line that is not as expected;
             as many labels as points are not there; a label that the class does not have.
    """
    path = Path(path)
    synset = next((name for name in reversed(path.absolute().parts) if name in CLASSES), "")
    if path.suffix.lower() == ".pts":
        points = _read_table(path, 3)
        label_file = labels if labels is not None else _find_labels(path)
        label = _whole(_read_table(label_file, 1)[:, 0], label_file)
        if len(label) != len(points):
            raise ModelError(
                f"{label_file}: {len(label)} labels for the {len(points)} points of {path}; "
                "expected one a line for each"
            )
        first = 1
    elif path.suffix.lower() == ".txt":
        table = _read_table(path, 7)
        points, label = table[:, :3], _whole(table[:, 6], path)
        label_file = path
        synset, first = _class_of(label, synset, path)
    else:
        raise ModelError(f"{path}: expected a ShapeNetPart cloud, .pts or .txt")
    try:
        points = normalise_points(points)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error
    names = CLASSES[synset][1] if synset else ()
    parts = []
    for value in np.unique(label).tolist():
        place = value - first
        if place < 0 and not (value == 0 and first == 1):
            raise ModelError(f"{label_file}: label {value} is below {first}, the first")
        if names and place >= len(names):
            listed = ", ".join(f"{first + k} {name}" for k, name in enumerate(names))
            line = int(np.argmax(label == value)) + 1
            raise ModelError(
                f"{label_file}, line {line}: label {value}, but {CLASSES[synset][0]} has {listed}"
            )
        name = "unlabelled" if place < 0 else names[place] if names else f"part {place + 1}"
        parts.append(Part(name, points[label == value]))
    note = "parts are ShapeNetPart's labels"
    return Part(path.stem, children=parts, notes=[note if names else f"{note}, of no known class"])


def _find_labels(path: Path) -> Path:
    tried = [path.parent.parent / folder / f"{path.stem}.seg" for folder in LABEL_FOLDERS]
    tried.append(path.with_suffix(".seg"))
    for candidate in tried:
        if candidate.is_file():
            return candidate
    raise ModelError(f"{path}: no labels; looked for {', '.join(map(str, tried))}")


def _class_of(label: np.ndarray, synset: str, path: Path) -> tuple[str, int]:
    """The class whose range of the 50 labels all of these lie in, and its first label."""
    first = 0
    for name, (title, parts) in CLASSES.items():
        if first <= label[0] < first + len(parts):
            outside = (label < first) | (label >= first + len(parts))
            if outside.any() or synset not in ("", name):
                line = int(np.argmax(outside)) + 1 if outside.any() else 1
                expected = CLASSES[synset][0] if synset else title
                raise ModelError(
                    f"{path}, line {line}: label {label[line - 1]} is of another class than "
                    f"{expected}"
                )
            return name, first
        first += len(parts)
    raise ModelError(f"{path}, line 1: label {label[0]}, expected 0 to {first - 1}")


def _read_table(path: Path, columns: int) -> np.ndarray:
    """Lines of so many numbers, (n, columns)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ModelError(f"{path}: cannot be read ({reason})") from error
    rows = []
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            row = [float(word) for word in line.split()]
        except ValueError:
            row = []
        if len(row) != columns or not np.isfinite(row).all():
            numbers = f"{columns} numbers" if columns > 1 else "one number"
            raise ModelError(f"{path}, line {number}: expected {numbers}, found {line.strip()!r}")
        rows.append(row)
    if not rows:
        raise EmptyModelError(f"{path}: the file is empty")
    return np.array(rows)


def _whole(values: np.ndarray, path: Path) -> np.ndarray:
    wrong = np.flatnonzero(values != np.round(values))
    if len(wrong):
        line, value = wrong[0] + 1, values[wrong[0]]
        raise ModelError(f"{path}, line {line}: expected a whole label, found {value:g}")
    return values.astype(np.int64)
