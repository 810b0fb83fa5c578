"""A collection of models with what is known about them: synsets, names, tags, a tree with counts.

The tree is taxonomy.json's where there is one, in the collection or beside the folders of synsets;
else that of WordNet's hypernyms of the synsets that name the models' folders; and without
WordNet, these folders alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from keypointnet.shapenet.metadata import Record, read_metadata, record_of
from keypointnet.shapenet.models import ModelRef, find_models, folders_of
from keypointnet.shapenet.taxonomy import (
    TAXONOMY_FILE,
    Taxonomy,
    extended_by_wordnet,
    read_taxonomy,
)
from keypointnet.shapenet.wordnet import WordNet, find_wordnet


@dataclass(frozen=True)
class Entry:
    """A model, the synsets that it is said to be, its folder's first, and what else is known."""

    ref: ModelRef
    synsets: tuple[str, ...]
    record: Record


@dataclass(frozen=True)
class Catalogue:
    """A collection of models.

    Attributes:
        root: its folder.
        entries: sorted by the models' ids.
        taxonomy: has every synset of the entries.
        published: taxonomy.json, where there is one.
        notes: what was left out, and which synsets taxonomy.json lacks, one sentence each.
    """

    root: Path
    entries: list[Entry]
    taxonomy: Taxonomy
    published: Path | None = None
    notes: list[str] = field(default_factory=list)

    @cached_property
    def counts(self) -> Counter[str]:
        """Models under each synset."""
        return self.taxonomy.counts({entry.ref.id: entry.synsets for entry in self.entries})

    def with_wordnet(self, wordnet: WordNet | None) -> Catalogue:
        """The same with WordNet's hypernyms above its tree, and names of the synsets it knows."""
        taxonomy = extended_by_wordnet(self.taxonomy, (), wordnet)
        return Catalogue(self.root, self.entries, taxonomy, self.published, self.notes)


def open_catalogue(root: Path) -> Catalogue:
    """Finds the models below a folder, and reads what lies beside them; WordNet is not asked.

    Raises:  ModelError: there are none.  TaxonomyError, MetadataError: a file is wrong.
    """
    root = Path(root)
    refs = find_models(root)
    folders = _holders(root, refs)
    records, notes = read_metadata(folders)
    entries = [_entry(ref, root, records) for ref in refs]
    paths = [folder / TAXONOMY_FILE for folder in folders if (folder / TAXONOMY_FILE).is_file()]
    path = paths[0] if paths else None
    known = Taxonomy([]) if path is None else read_taxonomy(path)
    if len(paths) > 1:
        notes.append(f"{path} is the tree; not read: {', '.join(map(str, paths[1:]))}")
    synsets = list(dict.fromkeys(s for entry in entries for s in entry.synsets))
    missing = [synset for synset in synsets if synset not in known]
    if path is not None and missing:
        notes.append(f"{path} has no entry for {', '.join(missing)}, which models here are")
    return Catalogue(root, entries, extended_by_wordnet(known, synsets, None), path, notes)


def named_catalogue(root: Path, wordnet_folder: Path | None = None) -> Catalogue:
    """As `open_catalogue`, asking WordNet where synsets have no entry in a taxonomy.json.

    Raises:  WordNetError: a folder of WordNet was named and cannot be used.
    """
    catalogue = open_catalogue(root)
    if all(node.names for node in catalogue.taxonomy.nodes.values()):
        return catalogue
    wordnet = find_wordnet(wordnet_folder)
    if catalogue.published is None:
        return catalogue.with_wordnet(wordnet)
    names = {} if wordnet is None else {s: wordnet.get(s) for s in catalogue.taxonomy.nodes}
    taxonomy = Taxonomy(
        node if node.names or not (known := names.get(node.id)) else node.named(known.names)
        for node in catalogue.taxonomy.nodes.values()
    )
    return Catalogue(root, catalogue.entries, taxonomy, catalogue.published, catalogue.notes)


def split_words(arguments: Sequence[str]) -> tuple[list[str], Path | None]:
    """The words of a command and the folder of models that may come last.

    Raises:  ValueError: the last looks like a folder, and there is none.
    """
    *words, last = arguments
    if Path(last).is_dir():
        return words, Path(last)
    if "/" in last:
        raise ValueError(f"{last}: expected words and then a folder of models; no such folder")
    return [*words, last], None


def _entry(ref: ModelRef, root: Path, records: dict[str, Record]) -> Entry:
    *folders, model = [root.resolve().name, *ref.id.split("/")]
    in_folder = next((name for name in reversed(folders) if re.fullmatch(r"\d{8}", name)), None)
    record = record_of(records, in_folder, model)
    own = () if in_folder is None else (in_folder,)
    return Entry(ref, tuple(dict.fromkeys([*own, *record.synsets])), record)


def _holders(root: Path, refs: Sequence[ModelRef]) -> list[Path]:
    """Where what is known about models lies: in the root, and beside the folders of synsets."""
    here = root.resolve()
    holders = [here] if here.is_dir() else []
    for folders in dict.fromkeys(folders_of(ref.id) for ref in refs):
        # never above the root: a folder there may be named by a date
        below = [here.joinpath(*folders[:n]) for n in range(len(folders), -1, -1)]
        synsets = [path for path in below if re.fullmatch(r"\d{8}", path.name)]
        holders += [synsets[0].parent] if synsets else []
    return list(dict.fromkeys(holders))
