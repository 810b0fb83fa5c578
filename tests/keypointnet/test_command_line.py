import argparse
import os

import pytest

from keypointnet.command_line import output_file, output_picture


def test_a_file_that_can_be_written(tmp_path):
    assert output_file(f"{tmp_path}/a/b/c.json") == tmp_path / "a" / "b" / "c.json"
    assert output_picture(f"{tmp_path}/c.PNG") == tmp_path / "c.PNG"
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    for make, name, expected in (
        (output_file, "", "is a folder; expected the name of a file"),
        (output_file, "file/a/b.json", "b.json: .*/file is a file, not a folder"),
        (output_picture, "a", "a: expected a picture's name, ending in .png"),
        (output_picture, "a.json", "a.json: expected a picture's name, ending in .png"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=expected):
            make(f"{tmp_path}/{name}")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(argparse.ArgumentTypeError, match=r"a.json: nothing can be written into"):
        output_file(f"{tmp_path}/a/a.json")
