"""Words of names, lemmas and tags: how they are written, compared and guessed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

WILDCARDS = frozenset("*?[")


def plain(text: str) -> str:
    """Lower case, with one space where there were underscores, hyphens or spaces."""
    return re.sub(r"[\s_\-]+", " ", text).strip().lower()


def singular(text: str) -> str:
    """`plain`, with the plural's ending taken off the last word.

    For comparisons only, both sides of which are written so: "glasses" becomes "glasse".
    """
    text = plain(text)
    plural = len(text) > 3 and text.endswith("s") and not text.endswith("ss")
    return text[:-1] if plural else text


def single_words(phrases: Iterable[str]) -> set[str]:
    """The words of phrases, `plain`, without what is around them."""
    return {word for phrase in phrases for word in re.findall(r"[\w.']+", plain(phrase))}


def comma_separated(text: str) -> tuple[str, ...]:
    """What stands between commas, without repetitions or empty parts."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def is_pattern(text: str) -> bool:
    """Whether a text has wildcards: * for anything, ? for one character, [ab] for one of these."""
    return not WILDCARDS.isdisjoint(text)


def matches(pattern: str, phrase: str) -> bool:
    """Whether a phrase is the one meant: in either number, or as its wildcards say."""
    if is_pattern(pattern):
        return fnmatchcase(plain(phrase), plain(pattern))
    return singular(phrase) == singular(pattern)


def matches_any(pattern: str, phrases: Iterable[str]) -> bool:
    """Whether one of the phrases matches, or one of their words."""
    phrases = list(phrases)
    return any(matches(pattern, text) for text in [*phrases, *single_words(phrases)])


def near_words(word: str, known: Iterable[str], n: int = 5) -> list[str]:
    """The known words that a mistyped one may have meant, best first."""
    bare = plain(re.sub(r"[*?\[\]]", "", word))
    written = {plain(text): text for text in known}
    near = difflib.get_close_matches(bare, written, n=n, cutoff=0.6)
    inside = sorted(text for text in written if bare and bare in text and text not in near)
    return [written[text] for text in [*near, *inside]][:n]
