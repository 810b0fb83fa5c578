"""Progress bars that stay short where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from tqdm import tqdm

LOG_INTERVAL_S = 15.0
"""Seconds between two states of a bar that goes to a file."""
_bars: WeakSet[tqdm[Any]] = WeakSet()

Watch = Callable[[Sequence[Any], str], Iterable[Any]]
"""Gives the items of a loop, and may show how far it is; the second argument names the stage."""


def unwatched(items: Sequence[Any], stage: str) -> Iterable[Any]:
    """The `Watch` that shows nothing."""
    return items


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm[Any]:
    """Tqdm on stderr; into a file or a pipe it writes only every `LOG_INTERVAL_S` seconds."""
    watched = sys.stderr.isatty()
    bar = tqdm(iterable, mininterval=0.1 if watched else LOG_INTERVAL_S, **options)
    _bars.add(bar)
    return bar


@contextmanager
def closing_bars() -> Iterator[None]:
    """Ends the lines of all bars afterwards: a loop that is stopped leaves its bar's line open."""
    try:
        yield
    finally:
        for bar in list(_bars):
            bar.close()
