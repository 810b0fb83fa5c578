"""An index of a collection of models: what is near what, kept in one file.

The file is safetensors: for each table (shapes, pictures) one tensor of vectors, and as metadata
the settings that made them and, for each model, a fingerprint of its files. An index that does not
belong to the files or settings at hand is refused: its answers would be wrong without a sign of it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from keypointnet.files import file_sha256, write_whole
from keypointnet.listing import listed
from keypointnet.shapenet.models import V1_FILE, V2_FILE, ModelRef, model_folder

FORMAT = "keypointnet index of models 1"
SAVE_EVERY_S = 120.0
_LOOK_SUFFIXES = (".mtl", ".jpg", ".jpeg", ".png", ".bmp", ".tga", ".gif", ".tif", ".tiff", ".bin")


class IndexFileError(ValueError):
    """An index that is broken, or not of these models; the message says what to do."""


@dataclass(frozen=True)
class Fingerprint:
    """What the files of a model were when it was described.

    Attributes:
        bytes: their sizes together.
        stamp: hash of their names, sizes and times of change. The same stamp is the same files.
        sha256: hash of their names and contents; looked at where the stamp differs.
    """

    bytes: int
    stamp: str
    sha256: str


@dataclass(frozen=True)
class Table:
    """Vectors of models, all made in one way.

    Attributes:
        settings: what they were made with, as JSON has it.
        prints: id -> fingerprint, in the order of the rows.
        vectors: (n, ...) float32.
    """

    settings: dict[str, Any]
    prints: dict[str, Fingerprint]
    vectors: np.ndarray

    @property
    def ids(self) -> list[str]:
        """Of the rows."""
        return list(self.prints)


@dataclass(frozen=True)
class Neighbour:
    """An answer. distance: from the query; 0 is the same."""

    id: str
    distance: float


Described = Iterable[tuple[str, np.ndarray | str]]
"""For each model its id, and its vector or why there is none."""


def model_files(ref: ModelRef) -> list[Path]:
    """The files that say how a model looks, sorted: its mesh, and in a folder of its own (as in
    ShapeNet's layouts) the materials and pictures there; of a lone .obj its .mtl of the same name.
    """
    path = ref.path
    if path.name == V1_FILE or path.parts[-2:] == V2_FILE:
        beside = model_folder(path).rglob("*")
        looks = {each for each in beside if each.suffix.lower() in _LOOK_SUFFIXES}
    else:
        looks = {path.with_suffix(".mtl")}
    return sorted({path} | {each for each in looks if each.is_file()})


def fingerprint(ref: ModelRef, known: Fingerprint | None = None) -> Fingerprint:
    """The fingerprint of a model's files; contents are read only where the known stamp differs.

    Raises:  OSError: a file cannot be read.
    """
    files = model_files(ref)
    states = [(path.name, path.stat()) for path in files]
    listing = [(name, state.st_size, state.st_mtime_ns) for name, state in states]
    stamp = hashlib.sha256(json.dumps(listing).encode()).hexdigest()
    if known is not None and stamp == known.stamp:
        return known
    contents = [(path.name, file_sha256(path)) for path in files]
    sha256 = hashlib.sha256(json.dumps(contents).encode()).hexdigest()
    return Fingerprint(sum(state.st_size for _, state in states), stamp, sha256)


def read_index(path: Path) -> dict[str, Table]:
    """The tables of an index file, by name; empty where there is no such file.

    Raises:  IndexFileError: the file is cut short, no index, or of another version; or a folder.
    """
    path = Path(path)
    if not path.exists():
        return {}
    if path.is_dir():
        raise IndexFileError(f"{path}: is a folder; expected the name of an index, a file")
    # It may be a file of another kind that was named by mistake, and dear to somebody.
    remedy = "name another file; if it is an index, delete it, and it is built anew"
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                found = metadata.get("format", "something else")
                raise IndexFileError(f"{path}: expected {FORMAT!r}, found {found!r}; {remedy}")
            tables: dict[str, Table] = {}
            for name, entry in json.loads(metadata["tables"]).items():
                prints = {key: Fingerprint(*values) for key, values in entry["prints"].items()}
                vectors = file.get_tensor(name)
                if len(prints) != len(vectors) or not np.isfinite(vectors).all():
                    raise ValueError(f"{len(prints)} models, {len(vectors)} rows, or not finite")
                tables[name] = Table(entry["settings"], prints, vectors)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, IndexFileError):
            raise
        raise IndexFileError(f"{path}: is no whole index of models ({error}); {remedy}") from error
    return tables


def write_index(path: Path, tables: Mapping[str, Table]) -> None:
    """Write an index file, whole or not at all. Raises: OSError: it cannot be written."""
    entries = {
        name: {
            "settings": table.settings,
            "prints": {key: list(asdict(value).values()) for key, value in table.prints.items()},
        }
        for name, table in tables.items()
    }
    vectors = {name: np.ascontiguousarray(table.vectors) for name, table in tables.items()}
    metadata = {"format": FORMAT, "tables": json.dumps(entries)}
    write_whole(Path(path), safetensors.numpy.save(vectors, metadata))


def update_table(
    refs: Sequence[ModelRef],
    name: str,
    settings: Mapping[str, Any],
    describe: Callable[[list[ModelRef]], Described],
    path: Path | None = None,
) -> tuple[Table, dict[str, str]]:
    """A table of all models: what the file has is taken from it, new models are described.

    Args:    refs: the collection.  name: of the table.
             settings: what `describe` works with; JSON.
             describe: gives vectors of one shape for models, in any order.
             path: the index file, which is made, or grows; None keeps nothing.
    Returns: the table, rows in the order of ids; and id -> why, of models that have no vector.
    Raises:  IndexFileError: the file is broken, or stale: models have changed or gone, or it was
             made with other settings.
             ValueError: the collection is empty, or none of its models can be described.
    """
    info: dict[str, Any] = json.loads(json.dumps(settings))
    by_id = {ref.id: ref for ref in refs}
    tables = read_index(path) if path is not None else {}
    old = tables.get(name, Table(info, {}, np.zeros((0,), np.float32)))
    prints, restamped = _checked(path, old, info, by_id)
    rows = dict(zip(old.prints, old.vectors, strict=True))
    reasons: dict[str, str] = {}
    saved, new = time.monotonic(), 0

    def table() -> Table:
        ids = sorted(rows)
        vectors = np.stack([rows[key] for key in ids]).astype(np.float32)
        return Table(info, {key: prints[key] for key in ids}, vectors)

    missing = [ref for ref in by_id.values() if ref.id not in rows]
    before = {ref.id: fingerprint(ref) for ref in missing}
    try:
        described: Described = describe(missing) if missing else ()
        for model_id, vector in described:
            if isinstance(vector, str):
                reasons[model_id] = vector
                continue
            rows[model_id], prints[model_id] = vector, before[model_id]
            new += 1
            if path is not None and time.monotonic() - saved > SAVE_EVERY_S:
                write_index(path, {**tables, name: table()})
                saved = time.monotonic()
    finally:  # also of a run that was stopped: the next one goes on from there
        if path is not None and (new or restamped):
            write_index(path, {**tables, name: table()})
    if not rows:
        raise ValueError(f"no model of {len(refs)} can be described{_first(reasons)}")
    return table(), reasons


def nearest(
    distances: np.ndarray, ids: Sequence[str], n: int, without: str = ""
) -> list[Neighbour]:
    """The n nearest, ties by id.

    Args:    distances: (len(ids),).  without: an id that is no answer: the query's own.
    """
    order = np.lexsort((np.asarray(ids), distances))
    answers = (Neighbour(ids[i], float(distances[i])) for i in order if ids[i] != without)
    return [answer for _, answer in zip(range(n), answers, strict=False)]


def _checked(
    path: Path | None, old: Table, settings: dict[str, Any], by_id: Mapping[str, ModelRef]
) -> tuple[dict[str, Fingerprint], bool]:
    """The fingerprints of an old table, with today's stamps, and whether a stamp is new."""
    if old.settings != settings:
        differing = [key for key in settings if old.settings.get(key) != settings[key]]
        raise IndexFileError(
            f"{path}: was made with other settings ({', '.join(differing) or 'fewer'}); delete it, "
            "and it is built anew"
        )
    prints, changed, gone = {}, [], []
    for key, known in old.prints.items():
        if key not in by_id:
            gone.append(key)
            continue
        prints[key] = fingerprint(by_id[key], known)
        if prints[key].sha256 != known.sha256:
            changed.append(key)
    wrong = [_how_many(gone, "gone"), _how_many(changed, "changed")]
    if any(wrong):
        raise IndexFileError(
            f"{path}: is stale, since it was made {', '.join(filter(None, wrong))}; delete it, and "
            "it is built anew, or name the file that belongs to this collection"
        )
    return prints, any(prints[key] != known for key, known in old.prints.items())


def _how_many(ids: list[str], what: str) -> str:
    if not ids:
        return ""
    have = "has" if len(ids) == 1 else "have"
    return f"{listed(ids)} {have} {what}"


def _first(reasons: Mapping[str, str]) -> str:
    return next((f"; the first, {key}: {why}" for key, why in reasons.items()), "")
