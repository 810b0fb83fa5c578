"""A wheel of the project, installed elsewhere, works without the checkout."""

import ast
import configparser
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kp2seg import zoo

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("keypointnet", "kp2seg")
DATA_SUFFIXES = {".safetensors", ".json", ".typed", ".jinja"}
INSTALLED_BY_SCRIPT = {"detectron2", "fvcore", "iopath"}  # see the comment in setup.cfg


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because a build writes into the folder it builds."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, source)
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
        "--wheel-dir", folder / "wheels", source, cwd=folder,
    )  # fmt: skip
    (built,) = (folder / "wheels").glob("kp2seg-*.whl")
    return built


def test_wheel_has_every_module_and_data_file_and_nothing_else(wheel: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", *DATA_SUFFIXES} and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("LICENSE")]
    assert {"keypointnet/__init__.py", "kp2seg/py.typed"} <= expected
    assert expected <= names, f"not in the wheel: {sorted(expected - names)}"
    assert {name.split("/")[0] for name in names} == set(PACKAGES)
    assert licences


def test_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    run(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel,
        cwd=tmp_path,
    )  # fmt: skip
    output = run(
        sys.executable,
        "-c",
        "import keypointnet, kp2seg; from kp2seg import zoo; "
        "print(keypointnet.__file__, kp2seg.__file__, keypointnet.__version__, sep='\\n'); "
        "print(zoo.get('chair-64').num_keypoints, len([zoo.get(name) for name in zoo.MODELS])); "
        "print(*[zoo.templates(name).is_file() for name in zoo.TEMPLATES])",
        cwd=tmp_path,
        PYTHONPATH=str(site),
    )
    core, plugin, version, keypoints, templates = output.split("\n")[:5]
    assert Path(core) == site / "keypointnet" / "__init__.py"
    assert Path(plugin) == site / "kp2seg" / "__init__.py"
    assert wheel.name.startswith(f"kp2seg-{version}-")
    assert (keypoints, templates) == (f"10 {len(zoo.MODELS)}", "True")


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def undeclared_imports(folder: Path, requirements: str) -> list[str]:
    """`file imports name` for what is not in the standard library, the project or requirements."""
    declared = {
        normalised(re.split(r"[\s<>=!~;\[]", line, maxsplit=1)[0])
        for line in requirements.split("\n")
        if line and not line.startswith("#")
    }
    known = {*sys.stdlib_module_names, *PACKAGES, *INSTALLED_BY_SCRIPT}
    distributions = importlib.metadata.packages_distributions()
    undeclared = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            for name in {name.split(".")[0] for name in names} - known:
                if not declared & {normalised(found) for found in distributions.get(name, [name])}:
                    undeclared.add(f"{path.relative_to(folder.parent)} imports {name}")
    return sorted(undeclared)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_is_a_declared_requirement(package: str) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    optional = [text for name, text in config["options.extras_require"].items() if name != "dev"]
    declared = "\n".join([config["options"]["install_requires"], *optional])
    assert undeclared_imports(ROOT / package, declared) == []


def test_an_undeclared_import_is_found(tmp_path: Path) -> None:
    package = tmp_path / "keypointnet"
    package.mkdir()
    (package / "a.py").write_text("import os, numpy\nfrom PIL import Image\nfrom .b import c\n")
    assert undeclared_imports(package, "numpy>=2\n# pillow") == ["keypointnet/a.py imports PIL"]
    assert undeclared_imports(package, "numpy>=2\nPillow>=10") == []
