"""The scripts behind `make setup`: what is missing is named, with the line to type."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "tools" / "setup")
    import environment

    return environment


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "tools" / "setup")
    import system_libraries

    return system_libraries


def test_wrong_python_is_named(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 13, 1, "final", 0))
    with pytest.raises(environment.SetupError, match=r"Python 3\.11 is needed, .* is 3\.13\.1"):
        environment.check_version()


def test_missing_venv_module_gives_the_line_to_type(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "PYTHON", tmp_path / "bin" / "python")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(environment.SetupError, match=r"apt-get install -y python3\.11-venv"):
        environment.make_venv()


def test_without_ensurepip_the_systems_pip_installs_one(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []
    monkeypatch.setattr(environment, "PYTHON", tmp_path / "bin" / "python")
    monkeypatch.setattr(environment, "has_venv", lambda: False)
    monkeypatch.setattr(environment, "has_pip", lambda: True)
    monkeypatch.setattr(
        environment, "run", lambda *words: commands.append(" ".join(map(str, words)))
    )
    environment.make_venv()
    assert len(commands) == 2
    assert "-m venv --clear --without-pip" in commands[0]
    assert f"-m pip --python {tmp_path}/bin/python install" in commands[1]


def test_a_failing_command_is_named(environment: ModuleType) -> None:
    with pytest.raises(environment.SetupError, match=r"import nothing_of_this_name.*failed"):
        environment.run(sys.executable, "-c", "import nothing_of_this_name")


def test_this_machine_has_the_libraries(libraries: ModuleType) -> None:
    assert libraries.missing_packages() == []
    assert libraries.main() == 0


@pytest.mark.parametrize("root", [True, False])
def test_missing_library_without_the_right_to_install(
    libraries: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    root: bool,
) -> None:
    monkeypatch.setitem(libraries.LIBRARIES, "libno-such-thing.so.9", "libno-such-thing9")
    monkeypatch.setattr(libraries, "apt_prefix", lambda: None)
    monkeypatch.setattr(libraries.os, "geteuid", lambda: 0 if root else 1000)
    sudo = "" if root else "sudo "
    assert libraries.main() == 1
    assert (
        f"    {sudo}apt-get update && {sudo}apt-get install -y --no-install-recommends "
        "libno-such-thing9\n"
    ) in capsys.readouterr().err


def test_missing_library_is_installed_where_it_may_be(
    libraries: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "LIBRARIES", {"libno-such-thing.so.9": "libno-such-thing9"})
    monkeypatch.setattr(libraries, "apt_prefix", lambda: ["sudo", "-n"])
    commands: list[list[str]] = []

    def pretend(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        libraries.LIBRARIES.clear()  # now it can be loaded
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(libraries.subprocess, "run", pretend)
    assert libraries.main() == 0
    assert commands == [
        ["sudo", "-n", "apt-get", "update"],
        ["sudo", "-n", "apt-get", "install", "-y", "--no-install-recommends", "libno-such-thing9"],
    ]


def test_apt_prefix_needs_apt(libraries: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries.shutil, "which", lambda name: None)
    assert libraries.apt_prefix() is None


def test_sudo_that_asks_for_a_password_is_not_used(
    libraries: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(libraries.os, "geteuid", lambda: 1000)
    for status, expected in ((1, None), (0, ["sudo", "-n"])):
        monkeypatch.setattr(
            libraries.subprocess,
            "run",
            lambda command, status=status, **_: subprocess.CompletedProcess(command, status),
        )
        assert libraries.apt_prefix() == expected
