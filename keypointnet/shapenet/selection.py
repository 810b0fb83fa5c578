"""Some of a collection's models, by synset or keyword: `TREE::SELECTION`.

    ShapeNetCore.v2::chair                 everything under the synset with this name
    ShapeNetCore.v2::03001627              the same, by its id
    ShapeNetCore.v2::chair/swivel*         under chair: what is under a synset with such a name, and
                                           what has such a word in its name, lemmas or tags
    ShapeNetCore.v2::tag:office            by these words alone
    ShapeNetCore.v2::chair/tag:office,sofa  what either part selects

Names are compared without regard to case, number, hyphens and underscores; * stands for anything,
? for one character, [ab] for one of these. Names of synsets are those of the collection's tree;
one that it does not have is looked for among WordNet's hypernyms, so that `furniture` selects from
several classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from keypointnet.listing import listed
from keypointnet.shapenet.catalogue import Catalogue, Entry, open_catalogue
from keypointnet.shapenet.models import ModelRef, find_models
from keypointnet.shapenet.wordnet import INSTALL, find_wordnet
from keypointnet.shapenet.words import matches_any, near_words, single_words

SEPARATOR = "::"
TAG = "tag:"


class SelectionError(ValueError):
    """A selection that is none, or that no model is in; says what is near."""


@dataclass(frozen=True)
class _Chosen:
    """Models, and the synsets they were chosen by, where it was by these."""

    entries: list[Entry]
    synsets: frozenset[str] | None = None


def split_selection(models: str) -> tuple[Path, str | None]:
    """The folder and the selection of a MODELS argument; None without one."""
    folder, separator, selection = models.partition(SEPARATOR)
    if not separator or Path(models).exists():
        return Path(models), None
    return Path(folder), selection


def find_selected(models: str | Path) -> list[ModelRef]:
    """The models of a MODELS argument: a collection, or TREE::SELECTION of one.

    Raises:  ModelError: there is none.  And what `select_models` raises.
    """
    root, selection = split_selection(str(models))
    return find_models(root) if selection is None else select_models(root, selection)


def select_models(root: Path, selection: str) -> list[ModelRef]:
    """The models of a collection that a selection takes, sorted by id.

    Raises:  SelectionError: no model is taken.  And what `catalogue.open_catalogue` raises.
    """
    if not root.is_dir():
        raise SelectionError(f"{root}{SEPARATOR}{selection}: no such folder as {root}")
    catalogue = open_catalogue(root)
    failure = None
    if catalogue.published is not None or re.fullmatch(r"[\d,\s]*", selection):
        try:
            return _refs(select_entries(catalogue, selection))
        except SelectionError as error:
            failure = error
    wordnet = find_wordnet()
    if wordnet is None and failure is not None:
        raise failure
    try:
        return _refs(select_entries(catalogue.with_wordnet(wordnet), selection))
    except SelectionError as error:
        if wordnet is not None:
            raise
        raise SelectionError(
            f"{error}. WordNet would know names, and is not there: {INSTALL}"
        ) from None


def select_entries(catalogue: Catalogue, selection: str) -> list[Entry]:
    """As `select_models`, of a catalogue as it is."""
    parts = [part.strip() for part in selection.split(",")]
    if not all(term.strip().removeprefix(TAG) for part in parts for term in part.split("/")):
        raise SelectionError(
            f"{selection!r}: expected a selection such as chair, 03001627, chair/swivel*, "
            "tag:office, or several with commas"
        )
    chosen: dict[str, Entry] = {}
    for part in parts:
        found = _Chosen(catalogue.entries)
        for depth, term in enumerate(part.split("/")):
            found = _narrowed(catalogue, found, term.strip(), depth > 0)
        chosen |= {entry.ref.id: entry for entry in found.entries}
    return [chosen[name] for name in sorted(chosen)]


def _narrowed(catalogue: Catalogue, chosen: _Chosen, term: str, also_words: bool) -> _Chosen:
    """Those of the chosen models that a term takes."""
    tree = catalogue.taxonomy
    by_tag = term.startswith(TAG)
    pattern = term.removeprefix(TAG).strip()
    found = [] if by_tag else tree.find(pattern)
    if chosen.synsets is not None:
        found = [synset for synset in found if synset in chosen.synsets]
    below = frozenset(name for synset in found for name in tree.below(synset))
    entries = [
        entry
        for entry in chosen.entries
        if not below.isdisjoint(entry.synsets)
        or ((by_tag or also_words) and matches_any(pattern, entry.record.keywords))
    ]
    if not entries:
        raise SelectionError(_nothing(catalogue, chosen, term, found))
    return _Chosen(entries, below if found else chosen.synsets)


def _nothing(catalogue: Catalogue, chosen: _Chosen, term: str, found: Iterable[str]) -> str:
    """What to say of a term that takes no model."""
    tree, counts = catalogue.taxonomy, catalogue.counts
    here = [node for node in tree.nodes.values() if counts[node.id]]
    here = [node for node in here if chosen.synsets is None or node.id in chosen.synsets]
    empty = ", ".join(tree.nodes[name].title for name in found)
    if empty:
        text = f"{catalogue.root}: {empty} has no models here"
    else:
        text = f"{catalogue.root}: nothing here is named {term!r}"
    words = single_words(word for entry in chosen.entries for word in entry.record.keywords)
    names = [name for node in here for name in node.names]
    near = near_words(term.removeprefix(TAG), words if term.startswith(TAG) else [*names, *words])
    if near:
        return f"{text}; near it are {', '.join(near)}"
    own = {synset for entry in chosen.entries for synset in entry.synsets}
    here = [node for node in here if node.id in own]
    most = sorted(here, key=lambda node: (-counts[node.id], node.id))
    found_here = listed([f"{node.title}: {counts[node.id]} models" for node in most], 5)
    return f"{text}; there are {found_here or 'models without a synset'}"


def _refs(entries: Iterable[Entry]) -> list[ModelRef]:
    return [entry.ref for entry in entries]
