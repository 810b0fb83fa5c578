"""Finds models by words of their names, lemmas and tags, and synsets by their names.

    tools/shapenet.py search office chair data/models/chairs
    tools/shapenet.py search 'swivel*' ShapeNetCore.v2
    tools/shapenet.py search swivel chair

The last argument is a folder of models, or some of them (TREE::SELECTION), where there is such a
folder; without one, the words are looked for in WordNet. Every word has to be found; * stands for
anything.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from keypointnet.command_line import at_least_one
from keypointnet.shapenet.catalogue import named_catalogue, split_words
from keypointnet.shapenet.search_words import search_catalogue, search_wordnet
from keypointnet.shapenet.selection import find_selected, split_selection
from keypointnet.shapenet.tree_text import models_here, one_line
from keypointnet.shapenet.wordnet import find_wordnet, open_wordnet
from keypointnet.shapenet.words import near_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """WORDS... [MODELS] --limit --wordnet."""
    parser.add_argument("words", nargs="+", metavar="WORD", help="words, then a folder of models")
    parser.add_argument("--limit", type=at_least_one, default=20, help="lines of each kind (20)")
    parser.add_argument("--wordnet", type=Path, metavar="DIR", help="of WordNet's files")


def run(args: argparse.Namespace) -> int:
    """Prints what is found, best first. Returns 1 where nothing is."""
    *words, last = args.words
    folder: Path | None
    folder, selection = split_selection(last)
    if selection is None or not folder.is_dir():
        selection = None
        words, folder = split_words(args.words)
    if folder is None:
        return _in_wordnet(words, args.wordnet, args.limit)
    catalogue = named_catalogue(folder, args.wordnet)
    if catalogue.published is not None:
        catalogue = catalogue.with_wordnet(find_wordnet(args.wordnet))
    if selection is not None:
        chosen = {ref.id for ref in find_selected(last)}
        entries = [entry for entry in catalogue.entries if entry.ref.id in chosen]
        catalogue = replace(catalogue, entries=entries)
    for note in catalogue.notes:
        print(note)
    found = search_catalogue(catalogue, words)
    print(f"{len(found.synsets)} synsets and {len(found.entries)} models for {' '.join(words)}")
    for node in found.synsets[: args.limit]:
        print(f"  {node.title}: {models_here(node, catalogue.counts)}")
    for entry in found.entries[: args.limit]:
        print(one_line(entry.ref.id, entry.record.keywords))
    hidden = max(len(found.synsets), len(found.entries)) - args.limit
    if hidden > 0:
        print("  ... (--limit shows more)")
    if found.unknown:
        near = f"; near: {', '.join(found.near)}" if found.near else ""
        print(f"not here: {', '.join(found.unknown)}{near}")
    return 0 if found.synsets or found.entries else 1


def _in_wordnet(words: list[str], folder: Path | None, limit: int) -> int:
    wordnet = open_wordnet(folder)
    synsets = search_wordnet(wordnet, words)
    print(f"{len(synsets)} synsets of WordNet for {' '.join(words)}")
    for synset in synsets[:limit]:
        print(one_line(f"{', '.join(synset.names)} ({synset.id}):", [synset.gloss]))
    if len(synsets) > limit:
        print("  ... (--limit shows more)")
    if not synsets:
        near = near_words(" ".join(words), wordnet.lemmas())
        print(f"near: {', '.join(near)}" if near else "nothing is near")
    return 0 if synsets else 1
