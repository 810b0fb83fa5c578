"""The shape of the house: who may import whom, and how long a file may be.

Imports are read from the source, nothing is executed. Imports under `if TYPE_CHECKING:` do not
count for cycles, but they do for the direction.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 350
RENDERER = "keypointnet/views/rendering.py"
# Folder -> top-level names that nothing in it may import.
FORBIDDEN = {
    "keypointnet": {"kp2seg", "detectron2", "tools", "tests", "benchmarks"},
    "kp2seg": {"tools", "tests", "benchmarks"},
    "tools": {"tests", "benchmarks"},
}
PACKAGES = ("keypointnet", "kp2seg")


def python_files(root: Path, *folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (root / folder).rglob("*.py"))


def module_name(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def import_nodes(node: ast.AST, typing_too: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements anywhere below node, functions included."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and is_type_checking(child) and not typing_too:
            for other in child.orelse:
                yield from import_nodes(other, typing_too)
        else:
            yield from import_nodes(child, typing_too)


def imported_names(root: Path, path: Path, typing_too: bool = True) -> set[str]:
    """Dotted names that a file imports; `from a.b import c` gives a.b.c."""
    parts = path.relative_to(root).with_suffix("").parts
    package = parts[:-1]
    names: set[str] = set()
    for node in import_nodes(ast.parse(path.read_text(encoding="utf-8")), typing_too):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
            continue
        base = list(package[: len(package) - node.level + 1]) if node.level else []
        base += [node.module] if node.module else []
        names.update(".".join([*base, alias.name]) for alias in node.names)
    return names


def wrong_directions(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root)} imports {name}"
        for folder, forbidden in FORBIDDEN.items()
        for path in python_files(root, folder)
        for name in sorted(imported_names(root, path))
        if name.split(".")[0] in forbidden
    ]


def renderer_imports(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root)} imports {name}; only {RENDERER} may"
        for path in python_files(root, *PACKAGES, "tools")
        if path.relative_to(root).as_posix() != RENDERER
        for name in sorted(imported_names(root, path))
        if name.split(".")[0] == "pyrender"
    ]


def import_cycles(root: Path) -> list[str]:
    """Cycles among the modules of the packages, each as `a -> b -> a`."""
    paths = {module_name(root, path): path for path in python_files(root, *PACKAGES)}

    def resolve(name: str) -> str | None:
        """The module that holds an imported name."""
        if name in paths:
            return name
        parent = name.rpartition(".")[0]
        return parent if parent in paths else None

    graph = {
        module: sorted(
            {
                target
                for name in imported_names(root, path, typing_too=False)
                if (target := resolve(name)) is not None and target != module
            }
        )
        for module, path in paths.items()
    }
    cycles: list[str] = []
    finished: set[str] = set()

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            cycles.append(" -> ".join([*trail[trail.index(module) :], module]))
            return
        if module in finished:
            return
        for target in graph[module]:
            visit(target, [*trail, module])
        finished.add(module)

    for module in graph:
        visit(module, [])
    return cycles


def wrong_files(root: Path) -> list[str]:
    """Files that are too long, or named so that anything would fit in."""
    wrong = []
    for path in python_files(root, *PACKAGES, "tools", "tests", "benchmarks"):
        name = path.relative_to(root)
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES:
            wrong.append(f"{name} has {lines} lines, at most {MAX_LINES}")
        if {"utils", "util", "helpers"} & {path.stem, path.parent.name}:
            wrong.append(f"{name}: name a file for what it does")
    return wrong


CHECKS = (wrong_directions, renderer_imports, import_cycles, wrong_files)


@pytest.mark.parametrize("check", CHECKS)
def test_this_checkout_keeps_the_rule(check: Callable[[Path], list[str]]) -> None:
    assert python_files(ROOT, *PACKAGES), f"no packages in {ROOT}"
    assert check(ROOT) == []


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("check", "files", "expected"),
    [
        (
            wrong_directions,
            {"keypointnet/a.py": "def f():\n    from kp2seg.b import c\n"},
            ["keypointnet/a.py imports kp2seg.b.c"],
        ),
        (
            wrong_directions,
            {"keypointnet/x/a.py": "import detectron2.layers\n"},
            ["keypointnet/x/a.py imports detectron2.layers"],
        ),
        (
            wrong_directions,
            {"kp2seg/a.py": "if TYPE_CHECKING:\n    from tools import demo\n"},
            ["kp2seg/a.py imports tools.demo"],
        ),
        (
            renderer_imports,
            {"keypointnet/views/storage.py": "import pyrender\n", RENDERER: "import pyrender\n"},
            [f"keypointnet/views/storage.py imports pyrender; only {RENDERER} may"],
        ),
        (
            renderer_imports,
            {"tools/a.py": "try:\n    from pyrender import Mesh\nexcept ImportError:\n    pass\n"},
            [f"tools/a.py imports pyrender.Mesh; only {RENDERER} may"],
        ),
        (
            import_cycles,
            {
                "keypointnet/a.py": "from keypointnet.b import x\n",
                "keypointnet/b.py": "def f():\n    import keypointnet.a\n",
            },
            ["keypointnet.a -> keypointnet.b -> keypointnet.a"],
        ),
        (
            import_cycles,
            {
                "kp2seg/__init__.py": "from . import a\nX = 1\n",
                "kp2seg/a.py": "from .b import c\n",
                "kp2seg/b.py": "from . import X\n",
            },
            ["kp2seg -> kp2seg.a -> kp2seg.b -> kp2seg"],
        ),
        (
            wrong_files,
            {"kp2seg/a.py": "x = 1\n" * 351, "kp2seg/b.py": "x = 1\n" * 350},
            ["kp2seg/a.py has 351 lines, at most 350"],
        ),
        (
            wrong_files,
            {"tools/utils.py": "", "keypointnet/util/a.py": ""},
            [
                "keypointnet/util/a.py: name a file for what it does",
                "tools/utils.py: name a file for what it does",
            ],
        ),
    ],
)
def test_a_broken_rule_is_found(
    tmp_path: Path,
    check: Callable[[Path], list[str]],
    files: dict[str, str],
    expected: list[str],
) -> None:
    write(tmp_path, files)
    assert check(tmp_path) == expected


def test_allowed_imports_are_not_reported(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "keypointnet/__init__.py": "",
            "keypointnet/a.py": "import torch\nfrom . import b\nfrom .b import c\n",
            "keypointnet/b.py": "if TYPE_CHECKING:\n    from keypointnet.a import d\nc = 1\n",
            RENDERER: "import pyrender\nfrom .. import a\n",
            "kp2seg/m.py": "import detectron2\nimport keypointnet.a\n",
            "tools/t.py": "from kp2seg.m import e\n",
        },
    )
    assert [check(tmp_path) for check in CHECKS] == [[], [], [], []]
