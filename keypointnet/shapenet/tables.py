r"""Tables that come with models, as comma-separated values: one reader for all of them.

A value with commas stands in quotation marks. A list's values are split by commas inside it, and a
comma that belongs to one of them has a backslash in front: up is "0.0\,0.0\,1.0". Such a value
without its quotation marks is put together again where its row would be too long otherwise.

Source: tables of models that published programs read; ShapeNetSem's own was not at hand.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keypointnet.shapenet.materials import ModelError


class MetadataError(ModelError):
    """A metadata file that cannot be read; names the file and the line."""


@dataclass(frozen=True)
class Row:
    """A row of a table: where it stands, and its values as they are written, by column."""

    table: Path
    line: int
    values: dict[str, str]

    @property
    def place(self) -> str:
        """To be named in an error."""
        return f"{self.table}, line {self.line}"

    def text(self, column: str) -> str:
        """A value; "" where the row or the table has none."""
        return _plain(self.values.get(column, "")).strip()

    def parts(self, column: str) -> tuple[str, ...]:
        """A list's values, without repetitions or empty ones."""
        found = re.findall(r"(?:[^,\\]|\\.?)+", self.values.get(column, ""), re.DOTALL)
        return tuple(dict.fromkeys(text for part in found if (text := _plain(part).strip())))

    def numbers(self, column: str, count: int) -> list[float]:
        """So many numbers, split by commas; none where the value is empty.

        Raises:  MetadataError: another count of them, or one that is negative or none.
        """
        text = self.text(column)
        if not text:
            return []
        try:
            values = [float(word) for word in text.split(",")]
        except ValueError:
            values = []
        if len(values) != count or not np.isfinite(values).all() or min(values) < 0:
            noun = "numbers" if count > 1 else "number"
            raise MetadataError(
                f"{self.place}: expected {count} {noun} in {column}, found {text!r}"
            )
        return values


def read_rows(table: Path, *required: str) -> Iterator[Row]:
    """The rows of a table below its line of columns; empty lines are passed over.

    What is not UTF-8 is shown as U+FFFD: one letter of a name does not spoil a table.

    Args:    required: columns that it must have.
    Raises:  MetadataError, naming the table and the line: it cannot be read, lacks a column, or a
             row has more values than there are columns.
    """
    line = 1
    try:
        with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.reader(file)
            columns = [name.strip() for name in next(reader, [])]
            missing = [name for name in required if name not in columns]
            if missing:
                raise MetadataError(f"{table}: it has no column {missing[0]}")
            line = reader.line_num + 1
            for values in reader:
                if values:
                    fitted = _fitted(values, len(columns))
                    if len(fitted) > len(columns):
                        raise MetadataError(
                            f"{table}, line {line}: expected {len(columns)} values, one for each "
                            f"column, found {len(fitted)}; put values with commas in quotation "
                            "marks"
                        )
                    named = zip(columns, fitted, strict=False)
                    yield Row(table, line, {name: value for name, value in named if name})
                line = reader.line_num + 1
    except OSError as error:
        raise MetadataError(f"{table}: cannot be read ({error.strerror})") from error
    except csv.Error as error:
        raise MetadataError(f"{table}, line {line}: cannot be read ({error})") from error


def columns_of(table: Path) -> list[str]:
    """The names of a table's columns. Raises: MetadataError: it cannot be read."""
    try:
        with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return [name.strip() for name in next(csv.reader(file), [])]
    except (OSError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MetadataError(f"{table}: cannot be read ({reason})") from error


def model_ids(full_id: str) -> tuple[str, ...]:
    """What a fullId may mean: a model with or without the source in front, "wss.abc" or "abc"."""
    return tuple(dict.fromkeys([full_id, full_id.partition(".")[2] or full_id]))


def _plain(text: str) -> str:
    return re.sub(r"\\([\\,])", r"\1", text)


def _fitted(values: Sequence[str], n_columns: int) -> list[str]:
    """A row that is too long, with values joined at commas after a backslash, the rest cut off
    where it is empty.
    """
    fitted: list[str] = []
    for value in values:
        if len(values) > n_columns and fitted and fitted[-1].endswith("\\"):
            fitted[-1] += f",{value}"
        else:
            fitted.append(value)
    while len(fitted) > n_columns and not fitted[-1].strip():
        fitted.pop()
    return fitted
