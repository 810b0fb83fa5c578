"""The categories of a collection's models, from the root of its tree of synsets down.

A model is of the finest of its synsets, as taxonomy.json or WordNet order them: a swivel chair in
the folder of chairs is in furniture > seat > chair > swivel chair.
"""

from __future__ import annotations

from keypointnet.shapenet.catalogue import Catalogue, Entry
from keypointnet.shapenet.taxonomy import TAXONOMY_FILE, Taxonomy
from keypointnet.shapenet.wordnet import find_wordnet


def category_source(catalogue: Catalogue) -> str:
    """What the models' categories are known from: "taxonomy.json", "tables" or "folders"."""
    if catalogue.published is not None:
        return TAXONOMY_FILE
    return "tables" if any(entry.record.synsets for entry in catalogue.entries) else "folders"


def category_paths(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """The categories of each model, the root first; its own is the last.

    From the tree of synsets: taxonomy.json's, or else, where tables tell the models' synsets,
    WordNet's if it is there; for a model without a synset, and without either, from the folders.

    Returns: id → names of categories: synsets or folders.
    Raises:  WordNetError: a folder of WordNet is named by the environment and cannot be used.
    """
    if category_source(catalogue) == "folders":
        return {entry.ref.id: _folders(entry) for entry in catalogue.entries}
    if catalogue.published is None:
        catalogue = catalogue.with_wordnet(find_wordnet())
    tree = catalogue.taxonomy
    return {e.ref.id: _path(tree, e.synsets) or _folders(e) for e in catalogue.entries}


def _folders(entry: Entry) -> tuple[str, ...]:
    return tuple(entry.ref.id.split("/")[:-1])


def _path(tree: Taxonomy, synsets: tuple[str, ...]) -> tuple[str, ...]:
    """From the root to the finest of a model's synsets that lies below the first of them."""
    if not synsets:
        return ()
    own, *more = synsets
    start = tree.path(own)[::-1]
    below = tree.below(own)
    paths = [start]
    for synset in more:
        if synset in below:
            paths.append([*start, *_down(tree, own, synset, below)])
        elif not (tree.parents(synset) or tree.nodes[synset].children or tree.nodes[synset].names):
            # The tree does not know it: what tells it of the model means a kind of its own.
            paths.append([*start, synset])
    finest = max(paths, key=len)
    return tuple(finest)


def _down(tree: Taxonomy, top: str, synset: str, below: set[str]) -> list[str]:
    """The synsets under top on the way down to one that lies below it."""
    way = []
    while synset != top:
        way.append(synset)
        synset = next(parent for parent in tree.parents(synset) if parent in below)
    return way[::-1]
