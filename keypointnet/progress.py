"""Progress bars that stay short where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

LOG_INTERVAL_S = 15.0
"""Seconds between two states of a bar that goes to a file."""


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm[Any]:
    """Tqdm on stderr; into a file or a pipe it writes only every `LOG_INTERVAL_S` seconds."""
    watched = sys.stderr.isatty()
    return tqdm(iterable, mininterval=0.1 if watched else LOG_INTERVAL_S, **options)
