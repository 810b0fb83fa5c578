import json
import runpy
from pathlib import Path

import pytest

from keypointnet.views.storage import ViewStore

case = runpy.run_path(str(Path(__file__).parent / "keypointnet" / "released_case.py"))


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("convert_views")


@pytest.fixture
def folder(tmp_path):
    """Three tfrecords of two models with one pair each."""
    contents = {f"000{i}": case["pairs"](2, (24, 24), seed=i) for i in range(3)}
    jobs = "a0 b0\na1 b1\na2 b2\n"
    case["write_published"](tmp_path / "chairs", contents, jobs=jobs, test=["0002"], dev=[])
    return tmp_path / "chairs"


def test_what_is_damaged_is_named_and_stops_nothing(tool, folder, tmp_path, capsys):
    out = tmp_path / "views"
    path = folder / "0000.tfrecord"
    whole = path.read_bytes()
    path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])  # in its last record
    (folder / "0001.tfrecord").write_bytes((folder / "0001.tfrecord").read_bytes()[:-1])
    assert tool.main([f"{folder}/", str(out), "--workers", "1"]) == 0
    failures = json.loads((out / "failures.json").read_text())
    assert list(failures) == ["0001.tfrecord", "b0"]
    assert "record 1 is cut short" in failures["0001.tfrecord"]
    assert failures["b0"] == f"{path}: record 1 does not match its checksum; fetch the file again"
    printed = capsys.readouterr().out
    assert "3 converted, 2 failed, see" in printed
    assert failures["b0"] in printed
    store = ViewStore(out)
    assert store.models == ["a0", "a2", "b2"]
    assert store.split == {"train": ["a0", "a1", "b0", "b1"], "dev": [], "test": ["a2", "b2"]}

    # Whole again: the rest is done, and only the rest.
    times = {file: file.stat().st_mtime_ns for file in out.glob("*.zip")}
    path.write_bytes(whole)
    assert tool.main([str(folder), str(out), "--workers", "1"]) == 0
    assert "3 models are there already\n1 converted, 1 failed" in capsys.readouterr().out
    assert ViewStore(out).models == ["a0", "a2", "b0", "b2"]
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_mistakes_end_with_one_line(tool, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for words, message in (
        (["/nowhere", "out"], "/nowhere: no such folder"),
        ([str(tmp_path / "empty"), "out"], "no .tfrecord files in it"),
        ([str(folder), "out", "--workers", "0"], "expected at least 1, got 0"),
    ):
        with pytest.raises(SystemExit, match=rf"^convert_views: [^\n]*{message}[^\n]*$"):
            tool.main(words)
    (folder / "projection.txt").unlink()
    with pytest.raises(SystemExit, match=r"projection.txt: No such file .*with the tfrecords"):
        tool.main([str(folder), str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
