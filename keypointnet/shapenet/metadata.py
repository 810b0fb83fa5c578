"""What is known about models beside their shape: names, tags, lemmas and synsets.

Read where they lie beside the models, whatever else they hold:
    *.csv with fullId         ShapeNet's metadata: ShapeNetSem's metadata.csv (fullId, category,
                              wnsynset, wnlemmas, up, front, unit, aligned.dims, ..., name, tags),
                              and tables of fullId, wnsynset, wnlemmas, up, front, name, tags that
                              the taxonomy page exports and ShapeNetCore v1 has for each synset
    *.csv with modelId        splits such as ShapeNetCore's all.csv: id, synsetId, subSynsetId,
                              modelId, split
    attribution.json          titles of tools/get_free_models.py's models

Source: the columns as published programs that read these files name them; that a fullId is
"wss.<id>" or "3dw.<id>", and where ShapeNetCore v1 keeps its tables, is from memory.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypointnet.shapenet.taxonomy import synset_id
from keypointnet.shapenet.words import comma_separated, plain

ATTRIBUTION_FILE = "attribution.json"


class MetadataError(ValueError):
    """A metadata file that cannot be read; names the file and the line."""


@dataclass(frozen=True)
class Record:
    """What is known about a model.

    Attributes:
        names: what it was called.
        synsets: ids of what it is, beside its folder's.
        lemmas: words of these synsets.
        tags: keywords that somebody gave it, and its categories in words.
    """

    names: tuple[str, ...] = ()
    synsets: tuple[str, ...] = ()
    lemmas: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def __or__(self, other: Record) -> Record:
        """Both, without repetitions."""

        def both(one: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(dict.fromkeys([*one, *more]))

        return Record(
            both(self.names, other.names),
            both(self.synsets, other.synsets),
            both(self.lemmas, other.lemmas),
            both(self.tags, other.tags),
        )

    @property
    def keywords(self) -> tuple[str, ...]:
        """Names, lemmas and tags."""
        return tuple(dict.fromkeys([*self.names, *self.lemmas, *self.tags]))


def read_metadata(folders: Iterable[Path]) -> tuple[dict[str, Record], list[str]]:
    """All that files beside models say.

    Args:    folders: where to look; what lies deeper is not read.
    Returns: records by "synset/model" where a file says both, else by the model's id (see
             `record_of`); and notes on synsets that are left out, since they are no ids.
    Raises:  MetadataError: a file cannot be read, or a row has no model.
    """
    records: dict[str, Record] = {}
    notes: list[str] = []
    for folder in folders:
        for path in sorted(folder.glob("*.csv")):
            wrong: list[str] = []
            for key, record in _table(path, wrong):
                records[key] = records.get(key, Record()) | record
            if wrong:
                notes.append(
                    f"{path}: {len(wrong)} synsets are no ids such as 03001627 and left out, the "
                    f"first in {wrong[0]}"
                )
        for key, record in _attribution(folder / ATTRIBUTION_FILE):
            records[key] = records.get(key, Record()) | record
    return records, notes


def record_of(records: dict[str, Record], synset: str | None, model: str) -> Record:
    """What is known about a model of a synset's folder; empty where nothing is."""
    of_both = records.get(f"{synset}/{model}", Record())
    return of_both | records.get(model, Record())


def _table(path: Path, wrong: list[str]) -> Iterator[tuple[str, Record]]:
    """Rows of a table, if it is one of models. wrong: takes synsets that are no ids, and where."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.DictReader(file)
            column = next((c for c in ("fullId", "modelId") if c in (reader.fieldnames or ())), "")
            for row in reader if column else ():
                values = {key: (value or "").strip() for key, value in row.items() if key}
                if not values[column]:
                    raise MetadataError(
                        f"{path}, line {reader.line_num}: expected a {column} in each row, got none"
                    )
                synsets = []
                for name in ("synsetId", "subSynsetId", "wnsynset"):
                    for text in _parts(values, name):
                        found = synset_id(text)
                        synsets += [found] if found else []
                        wrong += [] if found else [f"line {reader.line_num}: {name} {text!r}"]
                yield _row(values, column, synsets)
    except csv.Error as error:
        raise MetadataError(f"{path}: not a table ({error})") from error


def _row(row: dict[str, str], column: str, synsets: list[str]) -> tuple[str, Record]:
    model = row[column]
    if column == "fullId":
        model = model.partition(".")[2] or model
    elif synset_id(row.get("synsetId", "")):
        model = f"{synsets[0]}/{model}"
    # "OfficeChair"; names with an underscore in front are sets of models
    categories = [c for c in _parts(row, "category") if not c.startswith("_")]
    in_words = [plain(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", category)) for category in categories]
    return model, Record(
        names=tuple(name for name in [row.get("name", "")] if name not in ("", "*")),
        synsets=tuple(dict.fromkeys(synsets)),
        lemmas=tuple(lemma.replace("_", " ") for lemma in _parts(row, "wnlemmas")),
        tags=tuple(dict.fromkeys([*in_words, *_parts(row, "tags")])),
    )


def _attribution(path: Path) -> Iterator[tuple[str, Record]]:
    if not path.is_file():
        return
    try:
        entries: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MetadataError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(entries, dict):
        raise MetadataError(f"{path}: expected an object of models, got {type(entries).__name__}")
    for model, entry in entries.items():
        title = entry.get("title") if isinstance(entry, dict) else None
        if not isinstance(title, str):
            raise MetadataError(f'{path}: {model}: expected {{"title": ...}}, got {entry!r}')
        yield model, Record(names=(title,))


def _parts(row: dict[str, str], column: str) -> tuple[str, ...]:
    return comma_separated(row.get(column, ""))
