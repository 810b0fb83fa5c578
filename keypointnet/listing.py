"""Long lists in one line."""

from __future__ import annotations

from collections.abc import Sequence


def listed(items: Sequence[object], most: int = 3, separator: str = ", ", total: int = 0) -> str:
    """The first items, and how many more there are: "a, b, c and 2 more".

    Args:    most: shown.  separator: after another one than a comma, "and" is also preceded by it:
             "a; b; and 3 more".
             total: how many there are, where items are only the first of them.
    """
    shown = items[:most]
    more = max(total, len(items)) - len(shown)
    text = separator.join(map(str, shown))
    if not more:
        return text
    return f"{text}{' ' if separator == ', ' else separator}and {more} more"
