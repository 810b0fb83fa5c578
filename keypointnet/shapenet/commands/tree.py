"""Prints a collection's tree of synsets with counts, or a word's place in WordNet.

    tools/shapenet.py tree ShapeNetCore.v2
    tools/shapenet.py tree data/models/chairs
    tools/shapenet.py tree swivel chair
    tools/shapenet.py tree swivel chair ShapeNetCore.v2

The tree is taxonomy.json's, else that of WordNet's hypernyms of the folders' synsets. Of a word:
hypernyms, sister terms, kinds and part meronyms; with a folder of models, how many it has of each,
and only the meanings that it has models of, where there are any.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from keypointnet.shapenet.catalogue import Catalogue, named_catalogue, split_words
from keypointnet.shapenet.tree_text import node_lines, synset_lines, tree_lines
from keypointnet.shapenet.wordnet import INSTALL, WordNet, WordNetError, find_wordnet, open_wordnet
from keypointnet.shapenet.words import near_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODELS | WORD... [MODELS] --all --hypernyms --wordnet."""
    parser.add_argument("words", nargs="+", metavar="MODELS|WORD", help="a folder, a word, or both")
    parser.add_argument("--all", action="store_true", help="also synsets without models here")
    parser.add_argument(
        "--hypernyms", action="store_true", help="WordNet's hypernyms above taxonomy.json's synsets"
    )
    parser.add_argument("--wordnet", type=Path, metavar="DIR", help="of WordNet's files")


def run(args: argparse.Namespace) -> int:
    """Prints. Returns 0."""
    words, folder = split_words(args.words)
    if folder is None:
        print("\n".join(_word_lines(" ".join(words), open_wordnet(args.wordnet))))
        return 0
    catalogue = named_catalogue(folder, args.wordnet)
    for note in catalogue.notes:
        print(note)
    if words:
        print("\n".join(_word_in(catalogue, " ".join(words), args.wordnet)))
        return 0
    if args.hypernyms:
        catalogue = catalogue.with_wordnet(open_wordnet(args.wordnet))
    print(f"{folder}: {len(catalogue.entries)} models")
    print("\n".join(tree_lines(catalogue, args.all)))
    if catalogue.published is None and find_wordnet(args.wordnet) is None:
        print(f"no taxonomy.json and no WordNet: names and hypernyms are not known; {INSTALL}")
    return 0


def _word_lines(word: str, wordnet: WordNet, counts: dict[str, int] | None = None) -> list[str]:
    known = wordnet.get(word)
    senses = wordnet.senses(word) if known is None else [known]
    if not senses:
        near = ", ".join(wordnet.near(word))
        raise WordNetError(f"WordNet has no noun {word!r}{'; near it are ' + near if near else ''}")
    here = [sense for sense in senses if counts and counts.get(sense.id)]
    return [line for sense in here or senses for line in synset_lines(wordnet, sense, counts)]


def _word_in(catalogue: Catalogue, word: str, folder: Path | None) -> list[str]:
    """A word's place in a collection's tree and, where it is there, in WordNet."""
    tree = catalogue.taxonomy
    in_tree = [] if catalogue.published is None else tree.find(word)
    lines = [line for synset in in_tree for line in node_lines(catalogue, synset)]
    wordnet = find_wordnet(folder)
    if wordnet is None:
        if not lines:
            near = ", ".join(near_words(word, tree.names()))
            raise WordNetError(
                f"{catalogue.root}: nothing in its tree is named {word!r}"
                f"{'; near it are ' + near if near else ''}. WordNet, which is not there, may know "
                f"it: {INSTALL}"
            )
        return [*lines, f"part meronyms and the rest of WordNet: {INSTALL}"]
    counts = dict(catalogue.with_wordnet(wordnet).counts)
    of_word = _word_lines(word, wordnet, counts) if wordnet.senses(word) or not lines else []
    return [*lines, *(["in WordNet:"] if lines and of_word else []), *of_word]
