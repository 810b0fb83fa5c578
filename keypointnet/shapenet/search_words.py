"""Keyword search: models and synsets by words of names, lemmas and tags.

Every word asked for has to be found. A word counts most in a model's own name and tags, less in
the names of its synsets, least in those of the synsets above; a whole name or tag counts extra, and
the beginning of a word half of the word. What a model's file or folder is called is a name of its
own too: often there is no other. So "office chair" puts models called so before a chair
whose tag is "office", and "furniture" finds all chairs alike.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keypointnet.shapenet.catalogue import Catalogue, Entry
from keypointnet.shapenet.taxonomy import Node
from keypointnet.shapenet.wordnet import Synset, WordNet
from keypointnet.shapenet.words import (
    is_pattern,
    matches,
    near_words,
    plain,
    single_words,
    singular,
)

OWN, LEMMA, SYNSET, ABOVE = 4.0, 3.0, 2.0, 1.0
WHOLE = 4.0
PREFIX = 0.5
_SHORTEST_PREFIX = 3


@dataclass(frozen=True)
class Found:
    """What a search finds in a collection, best first.

    Attributes:
        synsets: nodes of the collection's tree whose names have the words.
        entries: the models.
        unknown: when nothing is found, the words that are nowhere.
        near: known words near these.
    """

    synsets: list[Node]
    entries: list[Entry]
    unknown: list[str]
    near: list[str]


def search_catalogue(catalogue: Catalogue, words: Sequence[str]) -> Found:
    """The models and synsets of a collection that have every word.

    Args:    words: in either number, with * ? [ab] for what is left open.
    Raises:  ValueError: no words.
    """
    asked = _asked(words)
    tree = catalogue.taxonomy
    above = {
        synset: [name for over in tree.above(synset) - {synset} for name in tree.nodes[over].names]
        for synset in tree.nodes
    }
    synsets = [(_score(asked, [(node.names, OWN)]), node) for node in tree.nodes.values()]
    entries = [
        (_score(asked, _fields(catalogue, entry, above)), entry) for entry in catalogue.entries
    ]
    found_synsets = sorted(
        (item for item in synsets if item[0] > 0),
        key=lambda item: (-item[0], -catalogue.counts[item[1].id], item[1].id),
    )
    found = sorted(
        (item for item in entries if item[0] > 0), key=lambda item: (-item[0], item[1].ref.id)
    )
    unknown: list[str] = []
    known: set[str] = set()
    if not found and not found_synsets:
        known = single_words(
            text
            for entry in catalogue.entries
            for phrases, _ in _fields(catalogue, entry, above)
            for text in phrases
        )
        unknown = [word for word in asked if _score([word], [(sorted(known), OWN)]) == 0]
    near = [text for word in unknown for text in near_words(word, sorted(known))]
    return Found([node for _, node in found_synsets], [entry for _, entry in found], unknown, near)


def search_wordnet(wordnet: WordNet, words: Sequence[str]) -> list[Synset]:
    """WordNet's nouns with a lemma that has every word: whole lemmas first, then by their names.

    Raises:  ValueError: no words.
    """
    asked = _asked(words)
    scores: dict[Synset, float] = {}
    for lemma in wordnet.lemmas():
        score = _score(asked, [((lemma,), OWN)])
        if score:
            for synset in wordnet.senses(lemma):
                scores[synset] = max(scores.get(synset, 0.0), score)
    return sorted(scores, key=lambda synset: (-scores[synset], plain(synset.name), synset.id))


def _asked(words: Sequence[str]) -> list[str]:
    asked = [word for text in words for word in plain(text).split()]
    if not asked:
        raise ValueError("search: expected words to look for, such as office chair")
    return asked


def _fields(
    catalogue: Catalogue, entry: Entry, above: dict[str, list[str]]
) -> list[tuple[Iterable[str], float]]:
    nodes = [catalogue.taxonomy.nodes[synset] for synset in entry.synsets]
    return [
        ([*entry.record.names, *entry.record.tags, entry.ref.id.rpartition("/")[2]], OWN),
        (entry.record.lemmas, LEMMA),
        ([name for node in nodes for name in node.names], SYNSET),
        ([name for synset in entry.synsets for name in above[synset]], ABOVE),
    ]


def _score(asked: Sequence[str], fields: Sequence[tuple[Iterable[str], float]]) -> float:
    """How well phrases have the words, each by its best place; 0 where one is nowhere."""
    whole = singular(" ".join(asked))
    total = 0.0
    best = dict.fromkeys(asked, 0.0)
    for phrases, weight in fields:
        for phrase in phrases:
            known, joined = _words_of(phrase)
            if joined == whole:
                total = max(total, WHOLE * weight)
            for word in asked:
                if best[word] < weight:
                    best[word] = max(best[word], weight * _share(word, known))
    return total + sum(best.values()) if all(best.values()) else 0.0


def _share(word: str, known: frozenset[str]) -> float:
    """1 for a word that is there, in either number, or that a pattern takes; PREFIX for a start."""
    if is_pattern(word):
        return float(any(matches(word, other) for other in known))
    if singular(word) in known:
        return 1.0
    long_enough = len(word) >= _SHORTEST_PREFIX
    return PREFIX if long_enough and any(other.startswith(word) for other in known) else 0.0


@functools.lru_cache(maxsize=1 << 16)
def _words_of(phrase: str) -> tuple[frozenset[str], str]:
    """A phrase's words, in the singular, and all of it so."""
    return frozenset(singular(word) for word in single_words([phrase])), singular(phrase)
