"""The text files beside the published tfrecords: cameras' projection, sides, and whose pictures.

FOLDER/0000.tfrecord ...          pairs of views; of 40 models in the published folders, 100 of each
FOLDER/projection.txt             4 x 4, OpenGL's, of every view
FOLDER/{train,dev,test}.txt       names of tfrecords, one a line
FOLDER/job.txt                    ShapeNet's ids of the models in each tfrecord
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keypointnet.views.view_files import StorageError

PAIRS_PER_MODEL = 100
"""Pairs of a model in the published tfrecords."""
SIDES = ("train", "dev", "test")
_SUFFIX = ".tfrecord"
_FILE_IN_MODEL = re.compile(r"(/models)?(/[^/]+\.obj)?/*$")
_SHAPENET_ID = re.compile(r"(?:^|/)(\d{8}/[^/]+)$")


def record_files(folder: Path) -> dict[str, Path]:
    """The tfrecords of a folder, by name without suffix, in the order of their names.

    Hidden ones are none: a copy from a Mac has a ._0000.tfrecord beside each 0000.tfrecord.
    """
    files = (path for path in sorted(folder.glob("*" + _SUFFIX)) if path.is_file())
    return {path.stem: path for path in files if not path.name.startswith(".")}


def read_projection(folder: Path, size: tuple[int, int]) -> np.ndarray:
    """Intrinsics in pixels from projection.txt.

    Convention: the file's matrix maps OpenGL camera points (x right, y up, looking down −z) to clip
    coordinates; the result belongs to OpenCV's camera (y down, looking along z), pixel centres at
    +0.5. Depth range and homogeneous row say nothing about the picture and are not looked at.

    Args:    size: (h, w) px of the pictures, which normalised device coordinates span.
    Returns: (3, 3) float64.
    Raises:  StorageError: no such file, not 4 x 4 numbers, or a focal length that is none.
    """
    path = folder / "projection.txt"
    rows = [line.replace(",", " ").split() for line in _read(path).splitlines() if line.strip()]
    try:
        matrix = np.array([[float(word) for word in row] for row in rows])
    except ValueError:
        matrix = np.empty(0)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise StorageError(f"{path}: expected 4 lines of 4 numbers")
    focal, shift = np.diagonal(matrix)[:2], matrix[:2, 2]
    if (focal <= 0).any():
        raise StorageError(
            f"{path}: expected focal lengths > 0 at the start of its diagonal, got "
            f"{focal[0]:g} and {focal[1]:g}"
        )
    height, width = size
    return np.array(
        [
            [focal[0] * width / 2, 0.0, (1 - shift[0]) * width / 2],
            [0.0, focal[1] * height / 2, (1 + shift[1]) * height / 2],
            [0.0, 0.0, 1.0],
        ]
    )


def read_sides(folder: Path, files: Sequence[str]) -> dict[str, list[str]] | None:
    """Which tfrecords are for training, development and testing.

    Without train.txt, what the other two lists do not name is for training, as the released code
    has it.

    Args:    files: names of the tfrecords that are there.
    Returns: "train", "dev", "test" → names, also of tfrecords that are not there; None where the
             folder has none of the lists.
    Raises:  StorageError: a name on two lists.
    """
    lists = {side: _names(folder / f"{side}.txt") for side in SIDES}
    if all(names is None for names in lists.values()):
        return None
    sides = {side: names or [] for side, names in lists.items()}
    if lists["train"] is None:
        sides["train"] = sorted(set(files) - {*sides["dev"], *sides["test"]})
    seen: dict[str, str] = {}
    for side, names in sides.items():
        for name in names:
            if name in seen:
                raise StorageError(f"{folder}: {name} is in {seen[name]}.txt and in {side}.txt")
            seen[name] = side
    return sides


def read_jobs(folder: Path, n_pairs: Mapping[str, int]) -> dict[str, list[str]] | None:
    """The ids of the models in each tfrecord, from job.txt.

    A line is `FILE ID ID ...` or `ID FILE` (several may name one file); or it has the ids of the
    first tfrecord, the second, and so on (of 0047.tfrecord line 47 from 0, where some are not
    there); or one id, the next model of all tfrecords in their order. An id may be a path: of
    .../03001627/1a6f.../model.obj, 03001627/1a6f... is kept.

    Args:    n_pairs: of every tfrecord, in their order; 0 where it is not known.
    Returns: name of a tfrecord → ids, in the order of its pairs; None without a job.txt.
    Raises:  StorageError: its lines fit none of these, an id is there twice, or one is no id.
    """
    path = folder / "job.txt"
    if not path.exists():
        return None
    lines = [re.split(r"[\s,;]+", line.strip()) for line in _read(path).splitlines()]
    lines = [[word for word in line if word] for line in lines]
    jobs = _assign([line for line in lines if line], n_pairs)
    if jobs is None:
        raise StorageError(
            f"{path}: cannot tell the models of the {len(n_pairs)} tfrecords from its "
            f"{len(lines)} lines; expected lines 'FILE ID ID ...', a line of ids for each "
            "tfrecord, or a line for each model; or move it away"
        )
    for word in (word for words in jobs.values() for word in words):
        if {"", ".", ".."} & set(model_id(word).split("/")) or "\\" in word or "\0" in word:
            raise StorageError(
                f"{path}: expected ShapeNet's ids, such as 03001627/1a6f615e, found {word!r}; "
                "correct it or move it away"
            )
    jobs = {name: [model_id(word) for word in words] for name, words in jobs.items()}
    every = [one for ids in jobs.values() for one in ids]
    if len(set(every)) < len(every):
        twice = next(one for one in sorted(every) if every.count(one) > 1)
        raise StorageError(f"{path}: {twice} is there twice; correct it or move it away")
    return jobs


def model_id(word: str) -> str:
    """The id of a ShapeNet model from what job.txt says of it.

    >>> model_id("/data/ShapeNetCore.v2/03001627/1a6f615e/models/model_normalized.obj")
    '03001627/1a6f615e'
    """
    word = _FILE_IN_MODEL.sub("", word)
    match = _SHAPENET_ID.search(word)
    return match[1] if match else word.rsplit("/", 1)[-1]


def models_of(
    jobs: Mapping[str, Sequence[str]] | None, name: str, n_pairs: int
) -> dict[str, tuple[int, int]]:
    """Which pairs of a tfrecord show which model: id → (first pair, number of pairs).

    Without ids, models get the tfrecord's name: it is one model of up to 100 pairs, or one for
    each 100 of them. Of other numbers nothing tells the models apart; then every pair stands alone,
    and views of two models are never taken for one's.

    Raises:  StorageError: the ids do not share the pairs evenly.
    """
    if jobs is not None and jobs.get(name):
        ids = list(jobs[name])
        each, rest = divmod(n_pairs, len(ids))
        if rest or not each:
            raise StorageError(
                f"{name}{_SUFFIX}: its {n_pairs} pairs cannot be shared evenly by the {len(ids)} "
                "models that job.txt names; fetch it again, or move job.txt away"
            )
    else:
        each = n_pairs if n_pairs <= PAIRS_PER_MODEL else PAIRS_PER_MODEL
        each = 1 if n_pairs % each else each
        n_models = n_pairs // each
        digits = len(str(n_models - 1))
        ids = [f"{name}/{i:0{digits}d}" for i in range(n_models)] if n_models > 1 else [name]
    return {one: (i * each, each) for i, one in enumerate(ids)}


def uneven_files(
    jobs: Mapping[str, Sequence[str]] | None, n_pairs: Mapping[str, int]
) -> dict[str, str]:
    """The tfrecords whose ids have fewer pairs each than those of most others have.

    A file that ends after a whole record shows no other sign of it, and its pairs would be given to
    the wrong models.

    Args:    n_pairs: of the tfrecords that can be read.
    Returns: name → what is wrong; empty where no number of pairs is that of most.
    """
    each = {name: n // len(jobs[name]) for name, n in n_pairs.items() if jobs and jobs.get(name)}
    counts = Counter(each.values())
    usual, files = max(counts.items(), key=lambda item: item[1], default=(0, 0))
    if 2 * files <= len(each):
        return {}
    return {
        name: f"{name}{_SUFFIX}: its {n_pairs[name]} pairs are {n} for each model that job.txt "
        f"names, in most others it is {usual}; fetch it again, or move job.txt away"
        for name, n in each.items()
        if n < usual and n_pairs[name] % len((jobs or {})[name]) == 0
    }


def _assign(lines: list[list[str]], n_pairs: Mapping[str, int]) -> dict[str, list[str]] | None:
    """The words of job.txt for each tfrecord; None where they cannot be told apart."""
    for place in (0, -1):
        # Lines may name tfrecords that are not there, but those that are there are all named.
        if lines and n_pairs.keys() <= {_stem(line[place]) for line in lines}:
            named: dict[str, list[str]] = {}
            for line in lines:
                named.setdefault(_stem(line.pop(place)), []).extend(line)
            return named
    if len(lines) == len(n_pairs):
        return dict(zip(n_pairs, lines, strict=True))
    if all(len(line) == 1 for line in lines) and lines and all(n_pairs.values()):
        each, rest = divmod(sum(n_pairs.values()), len(lines))
        if each and not rest and not any(count % each for count in n_pairs.values()):
            ids = iter(line[0] for line in lines)
            return {
                name: [next(ids) for _ in range(count // each)] for name, count in n_pairs.items()
            }
    # A line for each tfrecord, not for each model: else 40 models would be taken for one.
    by_file = any(len(line) > 1 for line in lines) or max(n_pairs.values()) <= PAIRS_PER_MODEL
    if by_file and all(name.isdecimal() and int(name) < len(lines) for name in n_pairs):
        return {name: lines[int(name)] for name in n_pairs}
    return None


def _stem(word: str) -> str:
    return word.rstrip(":").rsplit("/", 1)[-1].removesuffix(_SUFFIX)


def _names(path: Path) -> list[str] | None:
    if not path.exists():
        return None
    return [_stem(line.strip()) for line in _read(path).splitlines() if line.strip()]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}; it comes with the tfrecords") from None
    except UnicodeDecodeError:
        raise StorageError(f"{path}: is no text") from None
