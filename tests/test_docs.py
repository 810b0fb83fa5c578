"""What the documents say is true: their programs run, and what they name is there."""

import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def test_the_theorys_program_runs():
    text = (DOCS / "theory.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(snippets) >= 7
    # Each at its own lines, so that a failure names them.
    program, line = "", 1
    for snippet in snippets:
        start = text[: text.index(snippet)].count("\n") + 1
        program += "\n" * (start - line) + snippet
        line = start + snippet.count("\n")
    names: dict[str, object] = {}
    exec(compile(program, str(DOCS / "theory.md"), "exec"), names)
    # The program's claims are assertions: at least one for each formula.
    assert program.count("assert ") >= 15


@pytest.mark.parametrize("document", sorted(path.name for path in DOCS.glob("*.md")))
def test_what_a_document_names_exists(document):
    text = (DOCS / document).read_text(encoding="utf-8")
    for name in sorted(set(re.findall(r"`((?:keypointnet|kp2seg)(?:\.\w+)+)`", text))):
        module, _, attribute = name.rpartition(".")
        found = importlib.import_module(module)
        assert hasattr(found, attribute) or importlib.import_module(name), name
    for link in re.findall(r"\]\(([^)#]+?)(?:#[\w-]*)?\)", text):
        if "://" not in link:
            assert (DOCS / link).exists(), link
