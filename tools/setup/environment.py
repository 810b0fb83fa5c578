"""Makes .venv with the tested versions of everything: `python3.11 tools/setup/environment.py`.

Run by the Makefile when .venv is missing or older than the files that describe it. Safe to run
again after an interruption. Standard library only, and readable by older Pythons, so that a wrong
version can be named.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
VERSION = (3, 11)


class SetupError(RuntimeError):
    """Says what is missing, and the line to type."""


def run(*command: str | Path) -> None:
    """Run a command in the checkout, its output shown; raise SetupError if it fails."""
    words = [str(word) for word in command]
    print("+ " + " ".join(words), flush=True)
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1")
    if subprocess.run(words, check=False, cwd=ROOT, env=environment).returncode != 0:
        raise SetupError(f"`{' '.join(words)}` failed; its output is above. Then run again")


def check_version() -> None:
    """Raise SetupError unless this is the Python that the constraints were tested with."""
    if sys.version_info[:2] != VERSION:
        found = ".".join(str(part) for part in sys.version_info[:3])
        raise SetupError(
            f"Python 3.11 is needed, {sys.executable} is {found}. Type\n"
            "    sudo apt-get install -y python3.11 python3.11-venv\n"
            "or name another: make PYTHON=/path/to/python3.11 setup"
        )


def has_venv() -> bool:
    """True if this Python can make a virtual environment that has pip."""
    return all(importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip"))


def has_pip() -> bool:
    """True if this Python can install into an environment that has no pip of its own."""
    return all(importlib.util.find_spec(name) is not None for name in ("venv", "pip"))


def make_venv() -> None:
    """Make .venv unless it works already.

    Raises: SetupError: venv or pip are missing; the message has the line to type.
    """
    if PYTHON.exists():
        works = subprocess.run(
            [str(PYTHON), "-c", "import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))"],
            check=False,
            capture_output=True,
        )
        if works.returncode == 0:
            return
    if has_venv():
        run(sys.executable, "-m", "venv", "--clear", VENV)
    elif has_pip():  # Debian's python3.11 without python3.11-venv
        run(sys.executable, "-m", "venv", "--clear", "--without-pip", VENV)
        run(sys.executable, "-m", "pip", "--python", PYTHON, "install", "-c", "constraints.txt",
            "pip")  # fmt: skip
    else:
        raise SetupError(
            "this Python lacks the venv module. Type\n"
            "    sudo apt-get install -y python3.11-venv\n"
            "and run again"
        )


def main() -> int:
    """Make the environment, install kp2seg and Detectron2 into it; the exit status."""
    try:
        check_version()
        print(f"Installing into {VENV}: about 3 minutes and 6 GB the first time", flush=True)
        make_venv()
        pip = (PYTHON, "-m", "pip", "install", "-c", "constraints.txt")
        run(*pip, "pip", "setuptools", "wheel")
        run(*pip, "-e", ".[dev]")
        run(PYTHON, "tools/setup/install_detectron2.py")
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
