"""Models that cannot be used, through the command line: each named with its reason, none in the
way of the others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"
FACES = "f 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n"
REASONS = {
    "empty": "the file is empty",
    "garbage": "it holds binary data, not the text of an OBJ or MTL file",
    "nan": "a vertex has a NaN or infinite coordinate",
    "nofaces": "no faces",
    "outside": "its material or texture ../../secret.mtl lies outside the model's folder",
}


def write_models(root: Path) -> None:
    files = {
        "empty/model.obj": b"",
        "garbage/model.obj": bytes(range(256)) * 20,
        "nan/model.obj": (TETRAHEDRON.replace("v 1 0 0", "v nan 0 0") + FACES).encode(),
        "nofaces/model.obj": TETRAHEDRON.encode(),
        "outside/model.obj": ("mtllib ../../secret.mtl\n" + TETRAHEDRON + FACES).encode(),
        "far/model.obj": (TETRAHEDRON.replace("v ", "v 1000") + FACES).encode(),
        "latin1/model.obj": (
            "# gr\xfcn\nmtllib m.mtl\n" + TETRAHEDRON + "usemtl gr\xfcn\n" + FACES
        ).encode("latin-1"),
        "latin1/m.mtl": "newmtl gr\xfcn\nKd 0 1 0\n".encode("latin-1"),
        "untextured/model.obj": (
            "mtllib m.mtl\n" + TETRAHEDRON + "vt 0 0\nusemtl a\n" + FACES.replace(" 1", " 1/1")
        ).encode(),
        "untextured/m.mtl": b"newmtl a\nKd 1 0 0\nmap_Kd gone.png\n",
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.mark.slow
def test_bad_models_are_named_and_stop_nothing(tmp_path):
    write_models(tmp_path / "models")
    command = [sys.executable, ROOT / "tools/render_views.py", "models", "out"]
    options = ["--views", "3", "--size", "32", "--workers", "1"]
    done = subprocess.run(
        [*map(str, command), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "Traceback" not in done.stdout + done.stderr
    failures = json.loads((tmp_path / "out/failures.json").read_text())
    assert failures.keys() == REASONS.keys()
    for name, reason in REASONS.items():
        assert failures[name].startswith(f"model {name} (models/{name}/model.obj): ")
        assert reason in failures[name]
        assert reason in done.stdout + done.stderr
    notes = json.loads((tmp_path / "out/notes.json").read_text())
    assert any("gone.png is missing" in note for note in notes["untextured"])
    rendered = {path.stem for path in (tmp_path / "out").glob("*.zip")}
    assert rendered == {"far", "latin1", "untextured"}
