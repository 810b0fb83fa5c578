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

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypointnet.shapenet.tables import MetadataError, Row, columns_of, model_ids, read_rows
from keypointnet.shapenet.taxonomy import synset_id
from keypointnet.shapenet.words import plain

__all__ = [
    "ATTRIBUTION_FILE",
    "MetadataError",
    "Record",
    "read_attribution",
    "read_metadata",
    "record_of",
]

ATTRIBUTION_FILE = "attribution.json"


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
        for key, entry in read_attribution(folder / ATTRIBUTION_FILE).items():
            records[key] = records.get(key, Record()) | Record(names=(entry["title"],))
    return records, notes


def record_of(records: dict[str, Record], synset: str | None, model: str) -> Record:
    """What is known about a model of a synset's folder; empty where nothing is."""
    of_both = records.get(f"{synset}/{model}", Record())
    return of_both | records.get(model, Record())


def read_attribution(path: Path) -> dict[str, dict[str, Any]]:
    """attribution.json: what is said of each model, its title and more. Empty without the file.

    Raises:  MetadataError: it is no JSON object of objects with a title.
    """
    try:
        entries: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise MetadataError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(entries, dict):
        raise MetadataError(f"{path}: expected an object of models, got {type(entries).__name__}")
    for model, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("title"), str):
            raise MetadataError(f'{path}: {model}: expected {{"title": ...}}, got {entry!r}')
    return entries


def _table(path: Path, wrong: list[str]) -> Iterator[tuple[str, Record]]:
    """Rows of a table, if it is one of models. wrong: takes synsets that are no ids, and where."""
    columns = columns_of(path)
    column = next((name for name in ("fullId", "modelId") if name in columns), None)
    for row in read_rows(path) if column else ():
        model = row.text(column or "")
        if not model:
            raise MetadataError(f"{row.place}: expected a {column} in each row, got none")
        synsets = []
        for name in ("synsetId", "subSynsetId", "wnsynset"):
            for text in row.parts(name):
                found = synset_id(text)
                synsets += [found] if found else []
                wrong += [] if found else [f"line {row.line}: {name} {text!r}"]
        keys = model_ids(model) if column == "fullId" else (model,)
        if column == "modelId" and synset_id(row.text("synsetId")):
            keys = (f"{synsets[0]}/{model}",)
        record = _record(row, synsets)
        yield from ((key, record) for key in keys)


def _record(row: Row, synsets: list[str]) -> Record:
    # "OfficeChair"; names with an underscore in front are sets of models
    categories = [c for c in row.parts("category") if not c.startswith("_")]
    in_words = [plain(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", category)) for category in categories]
    return Record(
        names=tuple(name for name in [row.text("name")] if name not in ("", "*")),
        synsets=tuple(dict.fromkeys(synsets)),
        lemmas=tuple(lemma.replace("_", " ") for lemma in row.parts("wnlemmas")),
        tags=tuple(dict.fromkeys([*in_words, *row.parts("tags")])),
    )
