"""A model's parts held against the parts that a dictionary gives the class.

WordNet calls them part meronyms: those of "chair" are "back" and "leg". Where they come from is the
caller's choice: anything that gives words for a word, such as `wordnet_meronyms` of a WordNet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keypointnet.shapenet.parts import Part, name_words, singular

Meronyms = Callable[[str], Iterable[str]] | Mapping[str, Iterable[str]]
"""Word -> the words for its parts; underscores stand for spaces, as in WordNet's lemmas."""


class PartDictionary(Protocol):
    """What is needed of a WordNet; its synsets have an id of eight digits and names."""

    def senses(self, word: str) -> Sequence[Any]:
        """The meanings of a word, the most frequent first."""
        ...

    def part_meronyms(self, synset_id: str) -> Sequence[tuple[Any, Sequence[Any]]]:
        """[(whole, its parts)]: of the synset, then of what it is a kind of."""
        ...


@dataclass(frozen=True)
class MeronymLinks:
    """What a tree's part names have to do with a dictionary's.

    linked:   part name -> the meronym that it names.
    unknown:  names that tell something, but no meronym.
    without:  meronyms that no part is named after.
    """

    linked: dict[str, str]
    unknown: list[str]
    without: list[str]


def wordnet_meronyms(wordnet: PartDictionary) -> Callable[[str], list[str]]:
    """The part meronyms of a synset by its id, or of a word in its most frequent meaning."""

    def meronyms(word: str) -> list[str]:
        if word.isdecimal():
            ids = [word]
        else:
            ids = [sense.id for sense in wordnet.senses(word)[:1]]
        wholes = [whole for synset_id in ids for whole in wordnet.part_meronyms(synset_id)]
        names = [name for _, parts in wholes for part in parts for name in part.names]
        return list(dict.fromkeys(names))

    return meronyms


def link_lines(links: MeronymLinks) -> list[str]:
    """The links as text, a line for each kind that there is."""
    lines = []
    if links.linked:
        said = (f"{n} = {m}" if n != m else n for n, m in links.linked.items())
        lines.append(f"in the dictionary: {', '.join(said)}")
    if links.unknown:
        lines.append(f"not in the dictionary: {', '.join(links.unknown)}")
    if links.without:
        lines.append(f"only in the dictionary: {', '.join(links.without)}")
    return lines


def link_meronyms(root: Part, words: Iterable[str], meronyms: Meronyms) -> MeronymLinks:
    """Which part names are meronyms of the class.

    A part is linked to the meronym whose words all stand in its name, in any order and number
    ("chair_leg", "Legs.001" and "leg" to "leg"); of several, to that with the most words.

    Args:    root: its own name is not looked at, nor names that tell nothing ("component 3").
             words: for the class, such as a synset's lemmas; the meronyms of all count.
             meronyms: a function or a mapping; a word that it does not have has no parts.
    """
    known: dict[str, frozenset[str]] = {}
    for word in words:
        given = meronyms(word) if callable(meronyms) else meronyms.get(word, ())
        for meronym in given:
            title = meronym.replace("_", " ")
            known[title] = frozenset(singular(part) for part in title.lower().split())
    linked: dict[str, str] = {}
    unknown: list[str] = []
    for _, part in list(root.walk())[1:]:
        if part.name in linked or part.name in unknown or not part.named:
            continue
        said = set(name_words(part.name))
        found = [title for title, needed in known.items() if needed and needed <= said]
        if found:
            linked[part.name] = max(found, key=lambda title: (len(known[title]), title))
        else:
            unknown.append(part.name)
    without = [title for title in known if title not in linked.values()]
    return MeronymLinks(linked, unknown, without)
