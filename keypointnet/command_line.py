"""How the tools tell a user what is wrong: one line."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Shows the tool's docstring as help, and a wrong flag as one line, as any other error.

    Args:    tool: its name, before each error.  doc: its docstring.
    """

    def __init__(self, tool: str, doc: str | None) -> None:
        super().__init__(
            prog=tool, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def error(self, message: str) -> NoReturn:
        """Exits with status 1."""
        sys.exit(f"{self.prog}: {message}; --help lists the flags")


def one_line(error: BaseException) -> str:
    """What to tell of an error; from a loading process it arrives as the text of a traceback."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if lines[0].startswith("Caught ") and len(lines) > 1:
        return lines[-1].partition(": ")[2]
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(line.strip() for line in lines)


def at_least_one(text: str) -> int:
    """A flag's positive whole number. Raises: argparse.ArgumentTypeError: it is none."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
    return int(text)
