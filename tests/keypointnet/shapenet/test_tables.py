from __future__ import annotations

from pathlib import Path

import pytest

from keypointnet.shapenet.materials import ModelError
from keypointnet.shapenet.metadata import Record, read_metadata, record_of
from keypointnet.shapenet.parts_metadata import read_attributes
from keypointnet.shapenet.tables import MetadataError, columns_of, model_ids, read_rows


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "metadata.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_values_lists_and_numbers(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "\ufefffullId, up ,name,tags\r\n"
        'wss.a,"0.0\\,0.0\\,1.0","a ""big"" one","red\\, blue,old,,old"\r\n'
        "\r\n"
        'wss.b,,"two\r\nlines",back\\\\slash\r\n'
        "wss.c\r\n",
    )
    assert columns_of(path) == ["fullId", "up", "name", "tags"]
    first, second, third = read_rows(path, "fullId", "up")
    assert first.text("up") == "0.0,0.0,1.0"
    assert first.parts("up") == ("0.0,0.0,1.0",)
    assert first.numbers("up", 3) == [0.0, 0.0, 1.0]
    assert first.text("name") == 'a "big" one'
    assert first.parts("tags") == ("red, blue", "old")
    assert (second.line, third.line) == (4, 6)
    assert second.parts("tags") == ("back\\slash",)
    assert (third.text("fullId"), third.text("name"), third.text("gone")) == ("wss.c", "", "")
    assert second.numbers("up", 3) == []


def test_escaped_commas_need_no_quotation_marks(tmp_path: Path) -> None:
    path = table(tmp_path, "fullId,up,tags\nwss.a,0\\,0\\,1,red,,\nwss.b,1,c\\\n")
    first, second = read_rows(path)
    assert (first.numbers("up", 3), first.parts("tags")) == ([0, 0, 1], ("red",))
    assert second.text("tags") == "c\\"


def test_what_cannot_be_read_is_named_with_its_line(tmp_path: Path) -> None:
    path = table(tmp_path, 'fullId,name\na,"x\ny"\nb,one,two\n')
    with pytest.raises(MetadataError, match=r"metadata\.csv, line 4: expected 2 values.*found 3"):
        list(read_rows(path))
    with pytest.raises(MetadataError, match=r"metadata\.csv: it has no column weight"):
        list(read_rows(path, "fullId", "weight"))
    with pytest.raises(MetadataError, match=r"gone\.csv: cannot be read \(No such file"):
        list(read_rows(tmp_path / "gone.csv"))
    with pytest.raises(MetadataError, match=r"gone\.csv: cannot be read \(No such file"):
        columns_of(tmp_path / "gone.csv")
    table(tmp_path, "fullId,name\na,b\nc," + "x" * 200_000 + "\n")
    with pytest.raises(MetadataError, match=r"line 3: cannot be read \(field larger"):
        list(read_rows(path))
    assert issubclass(MetadataError, ModelError)  # a model whose table is wrong


def test_one_letter_does_not_spoil_a_table(tmp_path: Path) -> None:
    path = table(tmp_path, b"fullId,weight,name\nwss.a,9.80665,Caf\xe9\n")
    (row,) = read_rows(path)
    assert row.text("name") == "Caf\ufffd"
    attributes = read_attributes(path, "a")
    assert attributes is not None
    assert attributes.mass_kg == pytest.approx(1.0)
    assert read_metadata([tmp_path])[0]["a"].names == ("Caf\ufffd",)


def test_both_readers_know_a_model_with_and_without_its_source(tmp_path: Path) -> None:
    assert model_ids("wss.abc") == ("wss.abc", "abc")
    assert model_ids("abc") == ("abc",)
    path = table(
        tmp_path, 'fullId,category,aligned.dims,name\nwss.abc,"A\\, B,C","1\\,2\\,3",one\n'
    )
    records, _ = read_metadata([tmp_path])
    known = Record(("one",), tags=("a, b", "c"))
    assert record_of(records, None, "abc") == record_of(records, "03001627", "wss.abc") == known
    for model in ("abc", "wss.abc", "03001627/abc"):
        attributes = read_attributes(path, model)
        assert attributes is not None
        assert attributes.dims_cm == (1, 2, 3)


def test_materials_of_a_category_with_a_comma(tmp_path: Path) -> None:
    (tmp_path / "materials.csv").write_text('Category,Material,Ratio\n"A\\, B",wood,1\nC,tin,1\n')
    path = table(tmp_path, 'fullId,category\nwss.abc,"A\\, B,C"\n')
    attributes = read_attributes(path, "abc")
    assert attributes is not None
    assert attributes.material == "wood 100 %"
    (tmp_path / "materials.csv").write_text("Category,Material,Ratio\nC,tin,much\n")
    with pytest.raises(MetadataError, match=r"materials\.csv, line 2: expected 1 number in Ratio"):
        read_attributes(path, "abc")
