"""What is wrong with a file of data: counted by kind, first examples named, or raised."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from keypointnet.listing import listed

EXAMPLES = 5
"""How many examples of each kind a report keeps."""

logger = logging.getLogger(__name__)


class DataError(ValueError):
    """Data that cannot be used; the message names the file, the row and the reason."""


@dataclass
class Report:
    """What was left out of a file, or repaired, and why.

    Attributes:
        source: the file the rows came from.
        strict: raise at the first problem instead of counting it.
        read: rows looked at.  kept: rows that are in the result.
        counts: kind of problem → how many rows.  examples: kind → the first few, each one named.
    """

    source: str
    strict: bool = False
    read: int = 0
    kept: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, example: str) -> None:
        """Count a problem of this kind and keep the example if it is among the first.

        Raises:  DataError: the report is strict.
        """
        if self.strict:
            raise DataError(f"{self.source}: {kind}: {example}")
        self.note(kind, example)

    def note(self, kind: str, example: str) -> None:
        """Count something that was handled as asked and is no error, even when strict."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        kept = self.examples.setdefault(kind, [])
        if len(kept) < EXAMPLES:
            kept.append(example)

    def include(self, other: Report) -> None:
        """Add the counts and examples of an earlier step; each row it left out was read, too."""
        for kind, count in other.counts.items():
            self.read += count
            self.counts[kind] = self.counts.get(kind, 0) + count
            self.examples[kind] = (other.examples[kind] + self.examples.get(kind, []))[:EXAMPLES]

    def __bool__(self) -> bool:
        return bool(self.counts)

    @property
    def reasons(self) -> list[str]:
        """For each kind of problem, how many rows have it, and the first of them."""
        return [
            f"{kind}: {count} ({listed(self.examples[kind], EXAMPLES, '; ', total=count)})"
            for kind, count in self.counts.items()
        ]

    def __str__(self) -> str:
        about = f"{self.source}: {self.kept} of {self.read} kept"
        return "\n".join([about, *(f"  {reason}" for reason in self.reasons)])

    def log(self) -> None:
        """Warn if there is anything to say."""
        if self:
            logger.warning("%s", self)


def read_bytes(path: Path, what: str, remedy: str) -> bytes:
    """The contents of a file.

    Raises:  DataError: there is none; `what` it should hold and the remedy are in the message.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {what}: {error.strerror}; {remedy}") from None
