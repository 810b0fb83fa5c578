"""Physical attributes of whole models from ShapeNetSem's tables: size, mass, materials.

metadata.csv has a row for each model: fullId ("wss." and the model's id), category, unit (metres
to a unit of the file), aligned.dims (three sides, cm), weight, and more. materials.csv beside it
tells what models of a category are usually made of: Category, Material, Ratio.

Source: Savva et al. 2015, "Semantically-enriched 3D models for common-sense knowledge". The columns
of metadata.csv were read off a published reader of it, those of materials.csv off
ShapeNet/shapenet-viewer; that dims are in cm was found by another user of the data. That weight is
a force in newtons is from memory, and the reader can be told that it is kilograms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keypointnet.shapenet.parts import Part
from keypointnet.shapenet.tables import model_ids, read_rows
from keypointnet.shapenet.words import comma_separated

METADATA_FILE, MATERIALS_FILE = "metadata.csv", "materials.csv"
KG_PER_UNIT = {"N": 1 / 9.80665, "kg": 1.0}
MAX_FOLDERS_UP = 4
_WRONG_SHAPE = 0.05


@dataclass(frozen=True)
class Attributes:
    """What a table says of a model; None or "" where it says nothing."""

    category: str
    dims_cm: tuple[float, float, float] | None
    mass_kg: float | None
    material: str


def find_metadata(path: Path) -> Path | None:
    """The metadata.csv of a model: in its folder, or in one of the few folders above."""
    folder = path.absolute() if path.is_dir() else path.absolute().parent
    for candidate in [folder, *folder.parents][: MAX_FOLDERS_UP + 1]:
        if (candidate / METADATA_FILE).is_file():
            return candidate / METADATA_FILE
    return None


def read_attributes(table: Path, model_id: str, weight_unit: str = "N") -> Attributes | None:
    """What metadata.csv says of a model.

    Args:    model_id: with or without the source before it ("wss.") or the synset ("03001627/").
             weight_unit: of the column weight, "N" or "kg".
    Returns: None if the table has no such row. The material is the row's own (column material or
             materials), else the usual ones of its category.
    Raises:  MetadataError (a ModelError), naming the table and the line: unreadable, no column
             fullId, or a number that is none.
    """
    if weight_unit not in KG_PER_UNIT:
        raise ValueError(f"read_attributes: weight_unit is {weight_unit!r}, expected N or kg")
    wanted = model_id.rsplit("/", 1)[-1]
    for row in read_rows(table, "fullId"):
        if wanted not in model_ids(row.text("fullId")):
            continue
        weight = row.numbers("weight", 1)
        dims = row.numbers("aligned.dims", 3)
        material = row.text("material") or row.text("materials")
        return Attributes(
            ",".join(row.parts("category")),
            (dims[0], dims[1], dims[2]) if dims else None,
            weight[0] * KG_PER_UNIT[weight_unit] if weight else None,
            material or _usual(table.parent / MATERIALS_FILE, row.parts("category")),
        )
    return None


def usual_materials(table: Path, category: str) -> str:
    """What models of a category are made of: "wood 70 %, metal 30 %", or "" where nothing says.

    Args:    category: of metadata.csv: one name, or several with commas, of which the first that
             the table has is taken.
    Raises:  MetadataError: the table cannot be read, or has a ratio that is no number.
    """
    return _usual(table, comma_separated(category))


def _usual(table: Path, categories: Sequence[str]) -> str:
    if not table.is_file() or not categories:
        return ""
    ratios: dict[str, list[tuple[float, str]]] = {}
    for row in read_rows(table, "Category", "Material", "Ratio"):
        ratio = row.numbers("Ratio", 1)
        if ratio:
            of_category = ratios.setdefault(row.text("Category"), [])
            of_category.append((ratio[0], row.text("Material")))
    for name in categories:
        found = sorted(ratios.get(name, []), key=lambda pair: (-pair[0], pair[1]))
        if found:
            total = sum(ratio for ratio, _ in found) or 1.0
            return ", ".join(f"{material} {100 * r / total:.0f} %" for r, material in found)
    return ""


def apply_attributes(root: Part, attributes: Attributes) -> None:
    """Write a model's attributes to its tree: mass and material to the root, the scale to all.

    The scale is that of the longest sides, so it does not depend on the axes in which the table
    gives its sides; where the other sides disagree by more than 5 %, a note says so. A part's own
    mass is not guessed: no table gives it.
    """
    root.mass_kg = attributes.mass_kg
    if attributes.material and not root.material:
        root.material = attributes.material
    if attributes.dims_cm is None:
        return
    told, found = np.sort(attributes.dims_cm), np.sort(root.extents)
    if told[-1] <= 0:
        root.notes.append(f"metadata: sides of {told.tolist()} cm are no size")
        return
    scale = float(told[-1] / found[-1])
    for _, part in root.walk():
        part.cm_per_unit = scale
    if (np.abs(found * scale - told) > _WRONG_SHAPE * told[-1]).any():
        sides = " x ".join(f"{side:.3g}" for side in attributes.dims_cm)
        root.notes.append(f"metadata: {sides} cm is another shape than the model's")
