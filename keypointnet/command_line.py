"""How the tools tell a user what is wrong: one line."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from keypointnet.progress import closing_bars


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


@contextmanager
def errors_in_one_line(
    tool: str, *kinds: type[Exception], resumes: bool = False, stopped: str = ""
) -> Iterator[None]:
    """Ends the program with a line for what its user can mend; 130 after Ctrl-C.

    Args:    kinds: such errors, beside ValueError and OSError.
             resumes: --resume goes on from the last checkpoint, and the line says so.
             stopped: what else to say after Ctrl-C.
    """
    users: tuple[type[Exception], ...] = (ValueError, OSError, *kinds)
    try:
        with closing_bars():
            yield
    except users as error:
        full = resumes and isinstance(error, OSError) and error.errno == errno.ENOSPC
        hint = "; the last checkpoint is intact, make room and go on with --resume" if full else ""
        sys.exit(f"{tool}: {one_line(error)}{hint}")
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        hint = "; go on with --resume" if resumes else ""
        sys.exit(f"{tool}: a loading process died ({one_line(error)}){hint}")
    except KeyboardInterrupt:
        if resumes:
            stopped = "stopped; --resume goes on from the last checkpoint"
        if stopped:
            print(stopped, file=sys.stderr)
        sys.exit(130)


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


def picture_size(text: str) -> tuple[int, int]:
    """A flag's (h, w) px, of "128" or "96x128". Raises: argparse.ArgumentTypeError: it is none."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None or int(match[1]) < 1 or int(match[2] or 1) < 1:
        raise argparse.ArgumentTypeError(f"expected pixels as 128 or 96x128 (HxW), got {text!r}")
    return int(match[1]), int(match[2] or match[1])


def shard(text: str) -> tuple[int, int]:
    """A flag's part I of N, from "I/N". Raises: argparse.ArgumentTypeError: it is none."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise argparse.ArgumentTypeError(f"expected I/N with I from 0 to N - 1, got {text!r}")
    return int(match[1]), int(match[2])


def output_file(text: str) -> Path:
    """A flag's file to be written after long work: asked for now, not when the work is done.

    Raises: argparse.ArgumentTypeError: it is a folder, or lies where no file can be written.
    """
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder; expected the name of a file")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: {above} is a file, not a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{path}: nothing can be written into {above}")
    return path


def output_picture(text: str) -> Path:
    """`output_file` of a picture. Raises also where its suffix is no picture format's."""
    import cv2  # not every tool needs it

    path = output_file(text)
    if not cv2.haveImageWriter(str(path)):
        raise argparse.ArgumentTypeError(
            f"{path}: expected a picture's name, ending in .png or .jpg for one"
        )
    return path
