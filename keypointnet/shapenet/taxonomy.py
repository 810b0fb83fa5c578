"""Trees of synsets: ShapeNet's taxonomy.json, checked, traversed, and counted.

taxonomy.json is a list of {"synsetId": "03001627", "name": "chair", "children": ["02738535", ...],
"numInstances": 6778}: one entry for each synset, whose children stand in the same list. A name is
the synset's lemmas with commas; ShapeNet's own synsets have ids that WordNet does not know.

Source: ShapeNetCore's file as programs that read it describe it; the file itself comes with the
data, under ShapeNet's terms, and was not at hand.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keypointnet.shapenet.wordnet import WordNet
from keypointnet.shapenet.words import comma_separated, matches

TAXONOMY_FILE = "taxonomy.json"


class TaxonomyError(ValueError):
    """A taxonomy with a cycle, a missing or repeated synset, or an entry that is none."""


@dataclass(frozen=True)
class Node:
    """A synset of a taxonomy.

    Attributes:
        id: eight digits.
        names: its lemmas; empty where none is known.
        children: ids of the synsets right below it.
        published: models below it according to taxonomy.json, or None.
    """

    id: str
    names: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    published: int | None = None

    @property
    def title(self) -> str:
        """Its names and its id, to be read."""
        return f"{', '.join(self.names)} ({self.id})" if self.names else self.id

    @property
    def name(self) -> str:
        """Its first name, or its id without one."""
        return self.names[0] if self.names else self.id

    def named(self, names: tuple[str, ...]) -> Node:
        """The same with these names."""
        return replace(self, names=names)


class Taxonomy:
    """Synsets and what lies below each: a forest, in which a synset may have several parents.

    Attributes: nodes: by id, in the order given.  roots: ids of those without a parent.
    Raises:     TaxonomyError, naming the synsets: repeated, missing, a child twice, or a cycle.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes: dict[str, Node] = {}
        for node in nodes:
            if node.id in self.nodes:
                raise TaxonomyError(f"synset {node.title} has two entries; keep one")
            self.nodes[node.id] = node
        self._parents: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for child in node.children:
                if child not in self.nodes:
                    raise TaxonomyError(
                        f"synset {child} is missing: {node.title} has it as a child, and it has "
                        "no entry of its own; add one, or take it out of the children"
                    )
                if node.id in self._parents[child]:
                    raise TaxonomyError(f"{node.title} has its child {child} twice; keep one")
                self._parents[child].append(node.id)
        self.roots = [name for name, parents in self._parents.items() if not parents]
        self._refuse_cycles()

    def __contains__(self, synset: str) -> bool:
        return synset in self.nodes

    def parents(self, synset: str) -> list[str]:
        """The synsets right above."""
        return self._parents[synset]

    def below(self, synset: str) -> set[str]:
        """The synset and all that lie below it."""
        return self._reached(synset, lambda name: self.nodes[name].children)

    def above(self, synset: str) -> set[str]:
        """The synset and all that lie above it."""
        return self._reached(synset, self.parents)

    def path(self, synset: str) -> list[str]:
        """From the synset up to a root, by first parents."""
        path = [synset]
        while parents := self._parents[path[-1]]:
            path.append(parents[0])
        return path

    def sisters(self, synset: str) -> list[str]:
        """The other children of its parents, in the order of the file."""
        children = [
            child for parent in self.parents(synset) for child in self.nodes[parent].children
        ]
        return [child for child in dict.fromkeys(children) if child != synset]

    def find(self, pattern: str) -> list[str]:
        """Ids of the synsets that a text means: an id, a name in either number, or wildcards."""
        return [
            node.id
            for node in self.nodes.values()
            if pattern == node.id or any(matches(pattern, name) for name in node.names)
        ]

    def names(self) -> list[str]:
        """Every name there is."""
        return list(dict.fromkeys(name for node in self.nodes.values() for name in node.names))

    def counts(self, models: Mapping[str, Iterable[str]]) -> Counter[str]:
        """How many models lie under each synset, a model of two synsets below it counting once.

        Args:    models: id -> its synsets; those that are no node count nowhere.
        """
        counts: Counter[str] = Counter()
        known: dict[str, set[str]] = {}
        for synsets in models.values():
            over: set[str] = set()
            for synset in synsets:
                if synset in self.nodes:
                    if synset not in known:
                        known[synset] = self.above(synset)
                    over |= known[synset]
            counts.update(over)
        return counts

    def _reached(self, start: str, neighbours: Any) -> set[str]:
        reached, todo = {start}, [start]
        while todo:
            new = set(neighbours(todo.pop())) - reached
            reached |= new
            todo += new
        return reached

    def _refuse_cycles(self) -> None:
        """What no walk down from a root finishes is on a cycle, or below one."""
        open_parents = {name: len(parents) for name, parents in self._parents.items()}
        ready = list(self.roots)
        while ready:
            for child in self.nodes[ready.pop()].children:
                open_parents[child] -= 1
                if open_parents[child] == 0:
                    ready.append(child)
        stuck = {name for name, count in open_parents.items() if count}
        if not stuck:
            return
        trail = [min(stuck)]
        while trail.count(trail[-1]) < 2:
            trail.append(min(parent for parent in self._parents[trail[-1]] if parent in stuck))
        cycle = trail[trail.index(trail[-1]) :][::-1]
        titles = " > ".join(self.nodes[name].title for name in cycle)
        raise TaxonomyError(f"a cycle: {titles}; take one of these children out")


def read_taxonomy(path: Path) -> Taxonomy:
    """ShapeNet's taxonomy.json.

    Raises:  TaxonomyError, naming the file and the entry: no JSON list of objects, an id that is
             not eight digits, a count that is none, or what `Taxonomy` refuses.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise TaxonomyError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(entries, list):
        raise TaxonomyError(
            f'{path}: expected a list of {{"synsetId": ..., "name": ..., "children": [...]}}, '
            f"got a JSON {type(entries).__name__}"
        )
    try:
        return Taxonomy([_node(entry, i) for i, entry in enumerate(entries)])
    except TaxonomyError as error:
        raise TaxonomyError(f"{path}: {error}") from None


def extended_by_wordnet(
    taxonomy: Taxonomy, synsets: Iterable[str], wordnet: WordNet | None
) -> Taxonomy:
    """The taxonomy with WordNet's hypernyms of its roots and of more synsets above them.

    Where the taxonomy and WordNet contradict each other, the taxonomy stands. A name that is
    not known is WordNet's.

    Args:    synsets: that need not be nodes.  wordnet: None: they are only added, without names.
    """
    children = {node.id: list(node.children) for node in taxonomy.nodes.values()}
    nodes = dict(taxonomy.nodes)
    todo = [*taxonomy.roots]
    for synset in synsets:
        if synset not in nodes:
            nodes[synset], children[synset] = Node(synset), []
            todo.append(synset)

    def descends(start: str, wanted: str) -> bool:
        seen, waiting = {start}, [start]
        while waiting and wanted not in seen:
            new = [child for child in children[waiting.pop()] if child not in seen]
            seen.update(new)
            waiting += new
        return wanted in seen

    while wordnet is not None and todo:
        synset = todo.pop()
        known = wordnet.get(synset)
        if known is None:
            continue
        if not nodes[synset].names:
            nodes[synset] = nodes[synset].named(known.names)
        for hypernym in wordnet.hypernyms(synset):
            if hypernym.id not in nodes:
                nodes[hypernym.id], children[hypernym.id] = Node(hypernym.id, hypernym.names), []
                todo.append(hypernym.id)
            if not descends(synset, hypernym.id):
                children[hypernym.id].append(synset)
    return Taxonomy(
        Node(node.id, node.names, tuple(children[node.id]), node.published)
        for node in nodes.values()
    )


def synset_id(value: object) -> str | None:
    """A synset's id in eight digits, of 3001627, "03001627", "n03001627" or "3001627.0"."""
    match = re.fullmatch(r"n?(\d{1,8})(?:\.0)?", str(value).strip())
    return match[1].zfill(8) if match and not isinstance(value, bool) else None


def _node(entry: Any, number: int) -> Node:
    if not isinstance(entry, dict):
        raise TaxonomyError(f"entry {number}: expected an object, got {json.dumps(entry)[:60]}")
    identity = synset_id(entry.get("synsetId"))
    where = f"entry {number} (synsetId {entry.get('synsetId')!r})"
    if identity is None:
        raise TaxonomyError(f"{where}: expected a synsetId of eight digits such as 03001627")
    name = entry.get("name", "")
    if not isinstance(name, str):
        raise TaxonomyError(f"{where}: name: expected lemmas with commas, got {name!r}")
    listed = entry.get("children", [])
    if not isinstance(listed, list):
        raise TaxonomyError(f"{where}: children: expected a list of synset ids, got {listed!r}")
    children = [synset_id(child) for child in listed]
    if None in children:
        wrong = listed[children.index(None)]
        raise TaxonomyError(f"{where}: children: expected ids of eight digits, got {wrong!r}")
    published = entry.get("numInstances")
    if published is not None and (
        isinstance(published, bool) or not isinstance(published, int) or published < 0
    ):
        raise TaxonomyError(f"{where}: numInstances: expected a count, got {published!r}")
    names = tuple(part.replace("_", " ") for part in comma_separated(name))
    return Node(identity, names, tuple(child for child in children if child), published)
