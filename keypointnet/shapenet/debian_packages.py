"""Fetch and unpack Debian packages without installing them and without root."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path


class PackageError(RuntimeError):
    """A package that cannot be fetched or unpacked; the message says what to do."""


def unpacked_package(package: str, cache: Path, debs: Sequence[Path] = ()) -> Path:
    """The folder with a package's files; fetched and unpacked where that has not been done.

    Args:    package: its name.  cache: where .deb files and unpacked packages are kept.
             debs: files fetched by hand; the one whose name starts with "PACKAGE_" is used.
    Returns: a folder that holds usr/share/….
    Raises:  PackageError: neither given nor to be had from apt-get, or not a package.
    """
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / package
    if target.is_dir():
        return target
    given = [path for path in debs if path.name.startswith(f"{package}_")]
    deb = given[0] if given else _downloaded(package, cache)
    partial = cache / f"{package}.part"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    unpack_deb(deb, partial)
    os.replace(partial, target)
    return target


def unpack_deb(deb: Path, folder: Path) -> None:
    """Unpack a package's files below folder, with dpkg where there is one, else with Python.

    Raises: PackageError: the file is missing, damaged or compressed in a way Python cannot read.
    """
    if not deb.is_file():
        raise PackageError(f"{deb}: no such file")
    dpkg = shutil.which("dpkg")
    if dpkg:
        done = subprocess.run([dpkg, "-x", deb, folder], capture_output=True, text=True)
        if done.returncode:
            raise PackageError(f"{deb}: dpkg -x failed: {done.stderr.strip()}; fetch it again")
        return
    for name, content in _ar_members(deb):
        if name.startswith("data.tar"):
            if name.endswith(".zst"):
                raise PackageError(
                    f"{deb}: its files are compressed with zstd; unpack with dpkg -x"
                )
            try:
                plain = lzma.decompress(content) if name.endswith(".xz") else content
                with tarfile.open(fileobj=BytesIO(plain)) as archive:
                    _extract_files(archive, folder)
            except (lzma.LZMAError, tarfile.TarError, EOFError) as error:
                raise PackageError(f"{deb}: is damaged ({error}); fetch it again") from error
            return
    raise PackageError(f"{deb}: holds no data.tar, so it is no Debian package")


def _extract_files(archive: tarfile.TarFile, folder: Path) -> None:
    """Files and folders only, and none outside of `folder`.

    Python's own filter for that came with 3.11.4; Debian 12 has 3.11.2.
    """
    root = folder.resolve()
    inside = [
        member
        for member in archive.getmembers()
        if (member.isfile() or member.isdir())
        and (root / member.name).resolve().is_relative_to(root)
    ]
    if hasattr(tarfile, "data_filter"):
        archive.extractall(root, members=inside, filter="data")
    else:
        archive.extractall(root, members=inside)


def _downloaded(package: str, cache: Path) -> Path:
    present = sorted(cache.glob(f"{package}_*.deb"))
    if present:
        return present[-1]
    by_hand = (
        f"download the .deb of Debian's package {package} on another machine "
        f"(`apt-get download {package}`, or from Debian's package pages), and give it with "
        f"--deb {package}_VERSION_all.deb"
    )
    apt = shutil.which("apt-get")
    if apt is None:
        raise PackageError(f"this machine has no apt-get: {by_hand}")
    partial = cache / f"{package}.download"  # so that an interrupted one is never taken for whole
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    print(f"downloading {package} …", flush=True)
    done = subprocess.run(
        [apt, "-q", "download", package], cwd=partial, capture_output=True, text=True
    )
    fetched = sorted(partial.glob(f"{package}_*.deb"))
    if done.returncode or not fetched:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PackageError(
            f"apt-get download {package} failed ({reason}): run `apt-get update` once, or {by_hand}"
        )
    target = cache / fetched[-1].name
    os.replace(fetched[-1], target)
    shutil.rmtree(partial)
    return target


def _ar_members(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise PackageError(f"{path}: is no Debian package (not an ar archive)")
        while len(header := file.read(60)) == 60:
            if not header[48:58].strip().isdigit():
                raise PackageError(f"{path}: is damaged (a member without a size); fetch it again")
            size = int(header[48:58])
            content = file.read(size)
            if len(content) < size:
                raise PackageError(f"{path}: is cut short; fetch it again")
            if size % 2:
                file.read(1)
            yield header[:16].decode("ascii").strip().rstrip("/"), content
