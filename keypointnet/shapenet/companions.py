"""What lies beside models and goes with copies of them: attributions, tables, taxonomy, split.

In the collection's folder, and in each folder between it and its models:
    attribution.json, split.json          of the models that were copied
    ATTRIBUTION.md, LICENSE*, COPYING*    as they are
    taxonomy.json, metadata.csv, materials.csv and other tables of models
                                          as they are; up, front and unit are of the original files
A collection that is one synset's folder (03001627) has the most of it beside itself. Its copy gets
that, and models.csv with what is known of its models, which their folder's name would not say any
more. metadata.csv and materials.csv may also lie further up, as ShapeNetSem's do.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from keypointnet.files import write_json, write_whole
from keypointnet.shapenet.catalogue import Catalogue, Entry
from keypointnet.shapenet.metadata import ATTRIBUTION_FILE, read_attribution
from keypointnet.shapenet.parts_metadata import MATERIALS_FILE, METADATA_FILE, find_metadata
from keypointnet.shapenet.tables import columns_of, model_ids, read_rows
from keypointnet.shapenet.taxonomy import TAXONOMY_FILE
from keypointnet.views.storage import read_split

SPLIT_FILE = "split.json"
MODELS_FILE = "models.csv"
_NOTICES = re.compile(r"(attribution\.md|(licen[cs]e|copying)\b.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Companions:
    """What lies beside the models of a collection, read.

    Attributes:
        ids: of all its models.
        files: path below the copy -> the file to be copied.
        attributions, splits: folder below the copy, "" for the copy's own -> contents.
        described: models that models.csv is to tell of.
    """

    ids: frozenset[str]
    files: dict[str, Path] = field(default_factory=dict)
    attributions: dict[str, dict[str, Any]] = field(default_factory=dict)
    splits: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    described: tuple[Entry, ...] = ()

    def write(self, out: Path, ids: Collection[str]) -> None:
        """Writes them beside a copy of some of the models; those of folders without any, not.

        Args:    out: the copy's folder.  ids: of the models in it.
        """
        written, suffixes = set(ids), _suffixes(ids)
        folders = _folders(written)
        for name, source in self.files.items():
            if PurePosixPath(name).parent.as_posix() in folders:
                write_whole(out / name, source.read_bytes())
        known = _suffixes(self.ids)
        for folder, entries in self.attributions.items():
            if (folder or ".") not in folders:
                continue
            kept = {}
            for key, entry in entries.items():
                model = _joined(folder, key)
                if model in written if model in self.ids else key in suffixes:
                    kept[key] = entry
            if not any(_joined(folder, key) in self.ids or key in known for key in entries):
                kept = entries  # of models that are named otherwise: rather all than none
            if kept:
                write_json(out / folder / ATTRIBUTION_FILE, kept)
        for folder, split in self.splits.items():
            sides = {
                side: [name for name in names if _joined(folder, name) in written]
                for side, names in split.items()
            }
            if any(sides.values()):
                write_json(out / folder / SPLIT_FILE, sides)
        described = [entry for entry in self.described if entry.ref.id in written]
        if described:
            write_whole(out / MODELS_FILE, _table(described).encode())


def find_companions(catalogue: Catalogue) -> Companions:
    """Reads what lies beside the models of a collection.

    Raises:  ValueError: MetadataError, StorageError: a file is wrong.
    """
    here = catalogue.root.resolve()
    here = here if here.is_dir() else here.parent
    ids = [entry.ref.id for entry in catalogue.entries]
    is_synset = re.fullmatch(r"\d{8}", here.name) is not None
    found = Companions(frozenset(ids), described=tuple(catalogue.entries) if is_synset else ())
    folders = {"" if folder == "." else folder for folder in _folders(ids)}
    for folder in sorted(folders):
        for path in _beside(here / folder):
            found.files[_joined(folder, path.name)] = path
        if entries := read_attribution(here / folder / ATTRIBUTION_FILE):
            found.attributions[folder] = entries
        if split := read_split(here / folder):
            found.splits[folder] = split
    if is_synset:
        _add_parents(found, here)
    table = find_metadata(here)
    if table is not None and table.parent != here and _tells_of(table, ids):
        for path in (table, table.with_name(MATERIALS_FILE)):
            if path.is_file():
                found.files.setdefault(path.name, path)
    return found


def _add_parents(found: Companions, here: Path) -> None:
    """What lies beside the folder of a synset; there the synset is a part of each id."""
    start = f"{here.name}/"
    for path in _beside(here.parent):
        # What tables of all synsets say of these models, models.csv will say.
        if path.suffix != ".csv" or path.name in (METADATA_FILE, MATERIALS_FILE):
            found.files.setdefault(path.name, path)
    entries = {
        key.removeprefix(start): entry
        for key, entry in read_attribution(here.parent / ATTRIBUTION_FILE).items()
        if key.startswith(start)
    }
    if entries:
        found.attributions[""] = entries | found.attributions.get("", {})
    split = read_split(here.parent)
    if split is not None and "" not in found.splits:
        found.splits[""] = {
            side: [name.removeprefix(start) for name in names if name.startswith(start)]
            for side, names in split.items()
        }


def _beside(folder: Path) -> Iterator[Path]:
    """The files of a folder that are copied as they are."""
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        if path.suffix == ".csv":
            if path.name == MATERIALS_FILE or {"fullId", "modelId"} & set(columns_of(path)):
                yield path
        elif path.name == TAXONOMY_FILE or _NOTICES.fullmatch(path.name):
            yield path


def _tells_of(table: Path, ids: Iterable[str]) -> bool:
    """Whether a metadata.csv is of any of these models, and not of others that lie near."""
    names = {name.rsplit("/", 1)[-1] for name in ids}
    if "fullId" not in columns_of(table):
        return False
    return any(not names.isdisjoint(model_ids(row.text("fullId"))) for row in read_rows(table))


def _table(entries: Iterable[Entry]) -> str:
    """What is known of models as a table that `metadata.read_metadata` reads."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["modelId", "wnsynset", "wnlemmas", "name", "tags"])
    for entry in entries:
        record, name = entry.record, entry.record.names[:1]
        lists = (entry.synsets, record.lemmas, name, (*record.tags, *record.names[1:]))
        writer.writerow([entry.ref.id.rsplit("/", 1)[-1], *map(_listed, lists)])
    return file.getvalue()


def _listed(words: Iterable[str]) -> str:
    return ",".join(re.sub(r"([\\,])", r"\\\1", word) for word in words)


def _folders(ids: Iterable[str]) -> set[str]:
    return {folder.as_posix() for name in ids for folder in PurePosixPath(name).parents}


def _suffixes(ids: Iterable[str]) -> set[str]:
    """Ids, and what they end with after a slash: attributions may name models so."""
    return {
        "/".join(parts[n:])
        for parts in (name.split("/") for name in ids)
        for n in range(len(parts))
    }


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
