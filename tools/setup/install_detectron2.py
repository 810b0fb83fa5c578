"""Installs Detectron2 into the Python that runs this script (standard library only).

A Detectron2 that can be imported is used as it is. Otherwise the environment variable DETECTRON2
decides:
  registry (default)  the v0.6 sources from the package registry, checked by sha256, made into a
                      wheel of their Python part (see detectron2_wheel.py); needs no compiler
  official            the pinned commit of the official repository, compiled; needs git, a C++
                      compiler and about 5 minutes on 2 cores
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import detectron2_wheel

REPOSITORY = "https://github.com/facebookresearch/detectron2"
COMMIT = "02b5c4e295e990042a714712c21dc79b731e8833"
SOURCE_NAME = "pb1-detectron2"
SOURCE_FILE = "pb1-detectron2-0.6.tar.gz"
SOURCE_SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
# From version 26 on pip refuses these sources: an extra of theirs, which is not used here, names a
# URL. An older pip, kept apart from the environment's own, downloads them.
DOWNLOADER = "pip==25.3"
WAYS = ("registry", "official")
COMPILED = "(compiled)"
ROOT = Path(__file__).resolve().parents[2]


class InstallError(RuntimeError):
    """Says what could not be done, and the remedy."""


def _run(command: Sequence[str], failure: str, env: Mapping[str, str] | None = None) -> None:
    """Run a command, its output shown; raise InstallError with failure if it does not succeed."""
    print("+ " + " ".join(command), flush=True)
    result = subprocess.run(command, check=False, env=None if env is None else dict(env))
    if result.returncode != 0:
        raise InstallError(f"{failure} (exit status {result.returncode}; its output is above)")


def _pip(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pip", *arguments]


def _constrained(constraints: Path) -> list[str]:
    return ["-c", str(constraints)] if constraints.is_file() else []


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_source(path: Path) -> None:
    """Raise InstallError, and remove the file, unless it is the expected source archive."""
    found = sha256_of(path)
    if found != SOURCE_SHA256:
        path.unlink()
        raise InstallError(
            f"install_detectron2: {path.name} has sha256 {found}, expected {SOURCE_SHA256}; the "
            "file was removed. Run again; if it happens twice, the registry serves another file: "
            "do not install it"
        )


def download_source(cache: Path) -> Path:
    """The source archive in cache, downloaded from the configured registry if it is not there.

    Raises: InstallError: no network, not on the registry, or not the expected file.
    """
    archive = cache / SOURCE_FILE
    if archive.is_file():
        check_source(archive)
        return archive
    cache.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1")
    import pip  # in every environment that can install anything

    no_network = (
        "install_detectron2: the download failed. If this machine has no network, put "
        f"{SOURCE_FILE} (sha256 {SOURCE_SHA256}) into {cache} and run again"
    )
    if int(pip.__version__.split(".")[0]) >= 26:
        tool = cache / DOWNLOADER.replace("==", "-")
        if not (tool / "pip").is_dir():
            _run(_pip("install", "--no-deps", "--target", str(tool), DOWNLOADER), no_network, env)
        env["PYTHONPATH"] = str(tool)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{SOURCE_NAME}==0.6 --hash=sha256:{SOURCE_SHA256}\n")
        _run(
            _pip(
                "download", "--no-deps", "--no-build-isolation", "--no-binary", SOURCE_NAME,
                "--dest", folder, "-r", str(wanted),
            ),
            no_network,
            env,
        )  # fmt: skip
        downloaded = Path(folder) / SOURCE_FILE
        if not downloaded.is_file():
            raise InstallError(f"install_detectron2: pip did not save {SOURCE_FILE}")
        check_source(downloaded)
        os.replace(downloaded, archive)
    return archive


def install_from_registry(cache: Path, constraints: Path) -> None:
    """Download, correct, build a wheel of the Python part, and install it with its requirements.

    Raises: InstallError or detectron2_wheel.WheelError.
    """
    for needed in ("torch", "setuptools"):  # the archive's own setup.py imports both
        if importlib.util.find_spec(needed) is None:
            raise InstallError(
                f"install_detectron2: {needed} is not installed in {sys.executable}; run "
                "`make setup`, which installs it first"
            )
    archive = download_source(cache)
    with tempfile.TemporaryDirectory() as folder:
        # Pythons before 3.11.4, Debian 12's among them, have no filters; the archive's SHA-256 has
        # been checked.
        checked = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        with tarfile.open(archive) as tar:
            tar.extractall(folder, **checked)
        root = Path(folder) / SOURCE_FILE.removesuffix(".tar.gz")
        detectron2_wheel.correct_sources(root)
        wheel = detectron2_wheel.build_wheel(root, cache)
    _run(
        _pip("install", *_constrained(constraints), str(wheel)),
        "install_detectron2: pip could not install the wheel",
    )


def missing_build_tools() -> list[str]:
    """Debian packages that the official way needs and that are not there."""
    missing = []
    if shutil.which("git") is None:
        missing.append("git")
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        missing.append("g++")
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        missing.append(f"python{sys.version_info[0]}.{sys.version_info[1]}-dev")
    return missing


def install_official(constraints: Path) -> None:
    """Compile and install the pinned commit of the official repository.

    Raises: InstallError: tools are missing, the repository is out of reach, or the build failed.
    """
    missing = missing_build_tools()
    if missing:
        raise InstallError(
            "install_detectron2: DETECTRON2=official compiles C++; type\n"
            f"    apt-get install -y {' '.join(missing)}\n"
            "and run again, or leave DETECTRON2 unset for the build that needs no compiler"
        )
    # Its model zoo imports pkg_resources, which setuptools 81 dropped.
    _run(
        _pip("install", *_constrained(constraints), "setuptools<81", "wheel"),
        "install_detectron2: could not install the build tools",
    )
    print("Compiling Detectron2: about 5 minutes on 2 cores", flush=True)
    _run(
        _pip(
            "install", *_constrained(constraints), "--no-build-isolation",
            f"detectron2 @ git+{REPOSITORY}@{COMMIT}",
        ),
        "install_detectron2: the official Detectron2 could not be fetched or compiled; if the "
        "repository is out of reach, leave DETECTRON2 unset",
    )  # fmt: skip


def installed() -> str | None:
    """What `import detectron2` finds, in words; None if there is nothing to import.

    Raises: InstallError: there is one, but importing it fails.
    """
    if importlib.util.find_spec("detectron2") is None:
        return None
    probe = (
        "import detectron2, importlib.util, os, detectron2.model_zoo, detectron2.modeling\n"
        "compiled = importlib.util.find_spec('detectron2._C') is not None\n"
        f"kind = '{COMPILED}' if compiled else '(Python part only)'\n"
        "print(detectron2.__version__, kind, 'in', os.path.dirname(detectron2.__file__))"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", probe], check=False, capture_output=True, text=True
    )
    if result.returncode != 0:
        error = result.stderr.strip().splitlines()[-1]
        raise InstallError(
            f"install_detectron2: there is a detectron2, but importing it fails with\n    {error}\n"
            f"Remove it with `{sys.executable} -m pip uninstall -y detectron2` and run "
            "`make detectron2`"
        )
    return result.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Install Detectron2 unless it is there; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--constraints", type=Path, default=ROOT / "constraints.txt")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "detectron2")
    options = parser.parse_args(arguments)
    try:
        way = os.environ.get("DETECTRON2") or WAYS[0]
        if way not in WAYS:
            raise InstallError(
                f"install_detectron2: DETECTRON2={way!r} is not known; legal values: "
                f"{', '.join(WAYS)}"
            )
        found = installed()
        if found is not None:
            print(f"detectron2 {found}: used as it is")
            if way == "official" and COMPILED not in found:
                print("To replace it: .venv/bin/pip uninstall -y detectron2, then this again")
            return 0
        if way == "official":
            install_official(options.constraints)
        else:
            install_from_registry(options.cache, options.constraints)
        importlib.invalidate_caches()
        print(f"detectron2 {installed()}: installed")
    except (InstallError, detectron2_wheel.WheelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
