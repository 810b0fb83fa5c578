"""Checks the system libraries that OpenCV and headless rendering load, and installs missing ones.

With `apt-get` and the right to use it (root, or sudo without a password) missing packages are
installed; otherwise this stops and prints the exact line to type. Standard library only.

    system_libraries.py              the libraries
    system_libraries.py --browser    a browser for the tests of the HTML report
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

# Library that is loaded -> the Debian/Ubuntu package that has it.
LIBRARIES = {
    "libEGL.so.1": "libegl1",  # rendering without a display
    "libGL.so.1": "libgl1",  # rendering; OpenCV
    "libgthread-2.0.so.0": "libglib2.0-0",  # OpenCV
    "libxcb.so.1": "libxcb1",  # OpenCV
}
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome", "chromium-browser")
INSTALL = ("apt-get", "install", "-y", "--no-install-recommends")


def missing_packages() -> list[str]:
    """Packages of the libraries that cannot be loaded, in the order of LIBRARIES."""
    missing = []
    for library, package in LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(package)
    return missing


def apt_prefix() -> list[str] | None:
    """What to put before apt-get: nothing for root, sudo where it asks no password, else None."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        probe = subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True)
        if probe.returncode == 0:
            return ["sudo", "-n"]
    return None


def install(packages: Sequence[str], prefix: Sequence[str]) -> bool:
    """Install Debian packages; True if apt-get says it did."""
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for command in (["apt-get", "update"], [*INSTALL, *packages]):
        print("+ " + " ".join([*prefix, *command]), flush=True)
        if subprocess.run([*prefix, *command], check=False, env=environment).returncode != 0:
            return False
    return True


def line_to_type(packages: Sequence[str]) -> str:
    """The command for a person, on one line."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get update && {sudo}{' '.join(INSTALL)} {' '.join(packages)}"


def find_browser() -> int:
    """Install a browser for the tests of the HTML report, if there is none and it is allowed.

    Returns: 0 in any case: without a browser those tests are skipped, and say so.
    """
    if not any(map(shutil.which, BROWSERS)):
        prefix = apt_prefix()
        if prefix is None or not install(BROWSERS[:1], prefix):
            print(f"none of {', '.join(BROWSERS)} is there; tests of the HTML report are skipped")
    return 0


def main() -> int:
    """Check, install if allowed, check again; the exit status."""
    if sys.argv[1:] == ["--browser"]:
        return find_browser()
    packages = missing_packages()
    if not packages:
        return 0
    prefix = apt_prefix()
    if prefix is not None and install(packages, prefix):
        packages = missing_packages()
        if not packages:
            return 0
    print(
        "error: system libraries for OpenCV and headless rendering are missing. Type\n"
        f"    {line_to_type(packages)}\n"
        "and run again (elsewhere than on Debian or Ubuntu: the packages that hold "
        f"{', '.join(lib for lib, package in LIBRARIES.items() if package in packages)})",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
