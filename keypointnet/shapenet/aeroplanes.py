"""Aeroplanes of Debian's flightgear-data-ai package: which files, in which liveries.

AC3D models, +Y up, nose towards -X. A livery is an XML file beside the model that names a model
(path) and a folder of textures (texture-path), in itself or in another file that it includes.
"""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from keypointnet.shapenet.ac3d import read_ac3d
from keypointnet.shapenet.models import Model, ModelError, ModelRef, model_of_soup

MORE_LIVERIES = 2
# nose -X -> front -Z: a quarter turn about Y
R_FLIGHTGEAR2SHAPENET = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])

# file or folder below AI/Aircraft -> why it is left out
NOT_AEROPLANES: dict[str, str] = {
    "balloon": "hot-air balloons",
    "Ferry": "a ship",
    "SpaceShuttle": "a spacecraft: orbiter, engines and pods in separate files",
    "bluebird": "a fictional hovercraft",
    "flash2a": "a hang-glider with a trike under it: no fuselage, no tail",
}
# parts of aeroplanes that lie in files of their own
_PART = re.compile(
    r"/(lights?|refueling)/|light-.*flare|exhaust|toggle-white|WhiteLight1|/lights\.ac|/tank\.ac"
    r"|/wheels\.ac|Banner|droptank",
    re.IGNORECASE,
)
# what a simulator shows only at speed or at night, and draws nearly transparent
_EFFECT = re.compile(
    r"prop.?(disc|disk|blur|turn|.*fast)|fast.?prop|prplr-disk|propellerdisk|blur|disqueHelice"
    r"|halo|glow|flare|flame|condens|light.?cone|(light|beacon|strobe)\w*[-.]?on\b|^shadow"
    r"|StarterRope|rotating_fan|GiroHelice|^Chute$|^Propeller\.2$|^Chocks",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Livery:
    """An AC3D file with the folder that its textures are looked for in first (None: beside it)."""

    path: Path
    aircraft: Path
    textures: Path | None

    @property
    def id(self) -> str:
        """For instance A320-A320-Lufthansa."""
        parts = [self.aircraft.name, self.path.stem]
        if self.textures is not None:
            parts.append(self.textures.name)
        return re.sub(r"[^A-Za-z0-9.-]+", "_", "-".join(parts))


def is_effect(name: str) -> bool:
    """Whether an object of this name is a propeller's disc, a light's cone or the like."""
    return _EFFECT.search(name) is not None


def aeroplanes_of(folder: Path) -> list[list[Livery]]:
    """For each aeroplane its liveries, in an order that a hash fixes; the first is the main one.

    Args: folder: AI/Aircraft of the package.
    """
    found = []
    for aircraft in sorted(path for path in folder.iterdir() if path.is_dir()):
        if aircraft.name in NOT_AEROPLANES:
            continue
        pairs = _liveries(aircraft)
        for path in sorted(aircraft.rglob("*.ac")):
            if _PART.search(f"/{path.relative_to(aircraft).as_posix()}"):
                continue
            textures = {folder for mesh, folder in pairs if mesh == path.resolve()}
            liveries = [Livery(path, aircraft, folder) for folder in sorted(textures)]
            liveries = liveries or [Livery(path, aircraft, None)]
            found.append(
                sorted(liveries, key=lambda item: hashlib.sha256(item.id.encode()).hexdigest())
            )
    return found


def read_aeroplane(livery: Livery) -> Model:
    """A livery's model in ShapeNet's frame, without effects.

    Raises: ModelError: the file is unreadable.
    """
    notes: list[str] = []

    def find_texture(name: str) -> Image.Image | None:
        for path in _candidates(livery, name):
            try:
                with Image.open(path) as image:
                    return image.convert("RGBA").convert("RGB")
            except (OSError, ValueError, SyntaxError):
                notes.append(f"texture {path.name} cannot be decoded")
        notes.append(f"texture {name} is missing")
        return None

    try:
        text = livery.path.read_text(encoding="latin-1")
        soup = read_ac3d(text, find_texture, drop=is_effect)
    except (OSError, ValueError) as error:
        raise ModelError(f"model {livery.id} ({livery.path}): {error}") from error
    soup = soup.moved(soup.corners @ R_FLIGHTGEAR2SHAPENET.T)
    return model_of_soup(ModelRef(livery.id, livery.path), soup, notes)


def _candidates(livery: Livery, name: str) -> list[Path]:
    """Files that a texture's name may mean, best first; only inside the aircraft's folder."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    places = [livery.textures] if livery.textures is not None else []
    first = [place / base for place in (*places, livery.path.parent)]
    anywhere = sorted(path for path in livery.aircraft.rglob(base))
    return list(dict.fromkeys(path for path in [*first, *anywhere] if path.is_file()))


def _liveries(aircraft: Path) -> set[tuple[Path, Path]]:
    """(AC3D file, texture folder) pairs that an aircraft's XML files name."""
    pairs = set()
    for path in sorted(aircraft.rglob("*.xml")):
        mesh, textures = _paths_of(path, depth=0)
        if mesh is not None and textures is not None and textures.is_dir():
            pairs.add((mesh, textures))
    return pairs


def _paths_of(path: Path, depth: int) -> tuple[Path | None, Path | None]:
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError):
        return None, None
    mesh, textures = None, None
    included = root.get("include")
    if included and depth < 4:
        mesh, textures = _paths_of(path.parent / included, depth + 1)
    named_mesh, named_textures = root.findtext("path"), root.findtext("texture-path")
    if named_mesh and named_mesh.strip().lower().endswith(".ac"):
        mesh = _resolved(path.parent, named_mesh)
    elif named_mesh and depth < 4 and named_mesh.strip().lower().endswith(".xml"):
        mesh = _paths_of(_resolved(path.parent, named_mesh), depth + 1)[0]
    if named_textures:
        textures = _resolved(path.parent, named_textures)
    return mesh, textures


def _resolved(folder: Path, name: str) -> Path:
    """A path in an XML file: relative to it, or to the data root above AI/."""
    name = name.strip()
    if name.startswith("AI/"):
        root = next((p for p in folder.parents if (p / "AI").is_dir()), folder)
        return (root / name).resolve()
    return (folder / name).resolve()
