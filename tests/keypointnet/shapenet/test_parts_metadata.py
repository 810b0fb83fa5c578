from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keypointnet.shapenet.models import ModelError
from keypointnet.shapenet.parts import Part
from keypointnet.shapenet.parts_metadata import (
    apply_attributes,
    find_metadata,
    read_attributes,
    usual_materials,
)

HEAD = (
    "fullId,category,wnsynset,wnlemmas,up,front,unit,aligned.dims,isContainerLike,surfaceVolume,"
    "solidVolume,supportSurfaceArea,weight,staticFrictionForce,name,tags\n"
)
ROWS = (
    'wss.abc,"Chair,OfficeChair",3001627,chair,,,0.0254,"50.0,60.0,100.0",,,0.01,,98.0665,,a,\n'
    'wss.bare,,,,,,,,,,,,,,"two\nlines",\n'
)


def tables(folder: Path, rows: str = ROWS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.csv").write_text(HEAD + rows)
    (folder / "materials.csv").write_text(
        "Category,Material,Ratio\nChair,metal,0.5\nChair,wood,1.5\nTable,wood,1\n"
    )
    return folder / "metadata.csv"


def root() -> Part:
    """A cloud of 2 high, 1.2 deep and 1 wide, in two parts."""
    leg = Part("leg", np.array([[-0.5, -1, -0.6], [0.5, 0, 0.6]]))
    return Part("abc", children=[leg, Part("seat", np.array([[0.0, 0, 0], [0, 1, 0]]))])


def test_a_row_becomes_size_mass_and_materials(tmp_path: Path) -> None:
    attributes = read_attributes(tables(tmp_path), "03001627/abc")
    assert attributes is not None
    assert attributes.dims_cm == (50.0, 60.0, 100.0)
    assert attributes.mass_kg == pytest.approx(10.0)  # 98.0665 N
    assert attributes.material == "wood 75 %, metal 25 %"
    tree = root()
    apply_attributes(tree, attributes)
    assert [part.cm_per_unit for _, part in tree.walk()] == pytest.approx([50.0] * 3)
    assert [part.mass_kg for _, part in tree.walk()] == [pytest.approx(10.0), None, None]
    assert (tree.material, tree.notes) == ("wood 75 %, metal 25 %", [])


def test_weight_may_be_in_kilograms(tmp_path: Path) -> None:
    table = tables(tmp_path)
    attributes = read_attributes(table, "wss.abc", "kg")
    assert attributes is not None
    assert attributes.mass_kg == pytest.approx(98.0665)
    with pytest.raises(ValueError, match="weight_unit is 'lb', expected N or kg"):
        read_attributes(table, "abc", "lb")


def test_an_empty_row_says_nothing_and_a_missing_one_is_none(tmp_path: Path) -> None:
    table = tables(tmp_path)
    attributes = read_attributes(table, "bare")
    assert attributes is not None
    assert (attributes.dims_cm, attributes.mass_kg, attributes.material) == (None, None, "")
    tree = root()
    apply_attributes(tree, attributes)
    assert (tree.cm_per_unit, tree.mass_kg) == (None, None)
    assert read_attributes(table, "nobody") is None


def test_sides_that_disagree_with_the_model_are_noted(tmp_path: Path) -> None:
    rows = 'wss.abc,,,,,,,"100,100,100",,,,,,,,\n'
    attributes = read_attributes(tables(tmp_path, rows), "abc")
    assert attributes is not None
    tree = root()
    apply_attributes(tree, attributes)
    assert tree.notes == ["metadata: 100 x 100 x 100 cm is another shape than the model's"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            'wss.abc,,,,,,,"1,2",,,,,,,,\n',
            r"line 2: expected 3 numbers in aligned\.dims, found '1,2'",
        ),
        ("wss.abc,,,,,,,,,,,,heavy,,,\n", "line 2: expected 1 number in weight, found 'heavy'"),
        ("wss.abc,,,,,,,,,,,,-3,,,\n", "expected 1 number in weight, found '-3'"),
    ],
)
def test_a_number_that_is_none_is_named(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(ModelError, match=rf"metadata\.csv, {message}|{message}"):
        read_attributes(tables(tmp_path, rows), "abc")


def test_tables_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.csv: cannot be read"):
        read_attributes(tmp_path / "none.csv", "abc")
    (tmp_path / "other.csv").write_text("id,weight\nabc,3\n")
    with pytest.raises(ModelError, match=r"other\.csv: it has no column fullId"):
        read_attributes(tmp_path / "other.csv", "abc")
    assert usual_materials(tmp_path / "none.csv", "Chair") == ""


def test_metadata_are_found_above_a_model(tmp_path: Path) -> None:
    table = tables(tmp_path)
    model = tmp_path / "models-OBJ" / "models" / "abc.obj"
    model.parent.mkdir(parents=True)
    model.write_text("")
    assert find_metadata(model) == table
    assert find_metadata(model.parent) == table
    assert find_metadata(tmp_path / "a" / "b" / "c" / "d" / "e" / "abc.obj") is None
