"""Furniture of Debian's sweethome3d-furniture package: catalogues, and models in ShapeNet's frame.

A library is a zip (.sh3f) with PluginFurnitureCatalog.properties and one folder for each model.
Its models are +Y up with the front towards +Z once the catalogue's modelRotation is applied.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

CATALOGUE = "PluginFurnitureCatalog.properties"
_ENTRY = re.compile(r"^(\w+)#(\d+)\s*[=:]\s*(.*)$")
_GENERAL = re.compile(r"^(\w+)\s*[=:]\s*(.*)$")
# catalogue (front +Z) -> ShapeNet (front -Z): half a turn about Y
R_CATALOGUE2SHAPENET = np.diag([-1.0, 1.0, -1.0])


@dataclass(frozen=True)
class Furniture:
    """One catalogue entry. size_cm: (width, height, depth); R: (3, 3) file -> catalogue frame."""

    id: str
    name: str
    model: str
    creator: str
    license: str
    library: Path
    size_cm: tuple[float, float, float]
    R_file2catalogue: np.ndarray

    @property
    def slug(self) -> str:
        """A file name: library and model folder, for instance scopia-office_chair."""
        parts = PurePosixPath(self.model.lstrip("/")).parts
        return "-".join(parts[:-1]).replace(" ", "_")


def parse_catalogue(text: str, library: Path) -> list[Furniture]:
    """Entries of a catalogue's properties text, in its order.

    Raises: ValueError: an entry without model, or a modelRotation that is no rotation.
    """
    entries: dict[int, dict[str, str]] = {}
    general: dict[str, str] = {}
    for line in text.splitlines():
        if line.lstrip().startswith(("#", "!")):
            continue
        if match := _ENTRY.match(line.strip()):
            entries.setdefault(int(match[2]), {})[match[1]] = _unescaped(match[3].strip())
        elif match := _GENERAL.match(line.strip()):
            general[match[1]] = _unescaped(match[2].strip())
    return [
        _furniture(entries[number], general.get("license", "unknown"), library)
        for number in sorted(entries)
    ]


def read_library(path: Path) -> list[Furniture]:
    """Entries of a .sh3f library."""
    with zipfile.ZipFile(path) as library:
        return parse_catalogue(library.read(CATALOGUE).decode("latin-1"), path)


def extract_model(furniture: Furniture, folder: Path) -> Path:
    """Unpack the files of one model; returns the path of its mesh.

    Raises: ValueError: the library lacks the model, or a name in it leads out of the folder.
    """
    inner = PurePosixPath(furniture.model.lstrip("/"))
    prefix = f"{inner.parent.as_posix()}/"
    with zipfile.ZipFile(furniture.library) as library:
        names = [name for name in library.namelist() if name.startswith(prefix)]
        if inner.as_posix() not in names:
            raise ValueError(f"{furniture.library.name} has no {inner} (of {furniture.id})")
        for name in names:
            if name.endswith("/"):
                continue
            relative = PurePosixPath(name[len(prefix) :])
            if ".." in relative.parts or relative.is_absolute():
                raise ValueError(f"{furniture.library.name}: {name} leads out of its folder")
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(library.read(name))
    return folder / inner.name


def shapenet_matrix(furniture: Furniture, extent_file: np.ndarray) -> np.ndarray:
    """The (3, 3) matrix that takes a model's file frame to ShapeNet's, with the catalogue's size.

    Args:    extent_file: (8, 3) corners of the model's box, or any points, in the file frame.
    Returns: scale (diagonal, positive) after rotation; its unit is the centimetre.
    """
    R = R_CATALOGUE2SHAPENET @ furniture.R_file2catalogue
    side = np.ptp(np.asarray(extent_file, np.float64) @ R.T, axis=0)
    size = np.asarray(furniture.size_cm)
    scale = np.where((side > 1e-9) & (size > 0), size / np.maximum(side, 1e-9), 1.0)
    return np.asarray(scale[:, None] * R)


def _furniture(entry: dict[str, str], license_text: str, library: Path) -> Furniture:
    name = entry.get("id", "?")
    if "model" not in entry:
        raise ValueError(f"{library.name}: entry {name} names no model")
    rotation = np.eye(3)
    if "modelRotation" in entry:
        rotation = np.array([float(v) for v in entry["modelRotation"].split()]).reshape(3, 3)
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
            raise ValueError(f"{library.name}: modelRotation of {name} is no rotation")
    return Furniture(
        id=name,
        name=entry.get("name", ""),
        model=entry["model"],
        creator=entry.get("creator", "unknown"),
        license=license_text,
        library=library,
        size_cm=(
            float(entry.get("width", 0)),
            float(entry.get("height", 0)),
            float(entry.get("depth", 0)),
        ),
        R_file2catalogue=rotation,
    )


def _unescaped(text: str) -> str:
    """Resolve the escapes of Java properties: a backslash with uXXXX or a plain character."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    return re.sub(r"\\(.)", r"\1", text)
