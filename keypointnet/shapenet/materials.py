"""Materials and textures of a mesh file: where they may be read from, and what they look like."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image
from trimesh.resolvers import FilePathResolver

GREY = (160, 160, 160, 255)
MIN_ALPHA = 40  # glass thinner than this would vanish from the picture and its mask
MAX_TEXTURE_PX = 512
_DRIVE = re.compile(r"^[A-Za-z]:[\\/]")
_MAP_OPTION = re.compile(
    r"^-(?:(?:o|s|t)(?:\s+[-+.\deE]+){1,3}|mm\s+\S+\s+\S+|(?:blendu|blendv|cc|clamp|bm|boost"
    r"|texres|imfchan|type)\s+\S+)\s+"
)


class ModelError(ValueError):
    """A model that cannot be used; the message names the model and the reason."""


class EmptyModelError(ModelError):
    """A model with nothing in it: no file's content, no faces, no area or no extent."""


def error_of_model(name: str, error: Exception) -> ModelError:
    """What was wrong, saying with which model; empty stays empty."""
    kind = EmptyModelError if isinstance(error, EmptyModelError) else ModelError
    return kind(f"model {name}: {error}")


class OwnFolderResolver(FilePathResolver):
    """Gives trimesh the files that a mesh names, from the model's own folder and nowhere else.

    Names are taken as text: a name that climbs out of the folder, or an absolute one, is refused
    whether or not the file exists. Windows separators and another case are understood, and a name
    that is not found is looked for by its last part beside the mesh.
    """

    def __init__(self, mesh_path: Path, folder: Path) -> None:
        super().__init__(str(mesh_path))
        self._mesh_folder = Path(mesh_path).parent
        self._folder = Path(folder)
        self.missing: list[str] = []
        self.refused: list[str] = []
        self.no_pictures: list[str] = []

    def get(self, name: str) -> bytes:
        """Bytes of a named file.

        Raises: ModelError: the name leads out of the model's folder.
                FileNotFoundError: no such file, or a folder (the name is also kept in missing).
        A texture that is no picture is given all the same, and its name kept in no_pictures.
        """
        plain = name.strip().strip('"').replace("\\", "/")
        inside = self._mesh_folder.relative_to(self._folder).as_posix()
        target = posixpath.normpath(posixpath.join(inside, plain))
        if plain.startswith("/") or _DRIVE.match(plain) or target.split("/")[0] == "..":
            self.refused.append(name)
            raise ModelError(f"{name} lies outside the model's folder")
        for candidate in (self._folder / target, self._mesh_folder / posixpath.basename(target)):
            path = _existing(candidate)
            if path is not None:
                data = path.read_bytes()
                if path.suffix.lower() in Image.registered_extensions() and not _opens(data):
                    self.no_pictures.append(name)  # trimesh would pass over it without a word
                return _plain_mtl(data) if path.suffix.lower() == ".mtl" else data
        self.missing.append(name)
        raise FileNotFoundError(name)

    def namespaced(self, namespace: str) -> OwnFolderResolver:
        """A resolver for a folder below; the boundary stays."""
        return OwnFolderResolver(self._mesh_folder / namespace / "_", self._folder)

    def raise_refused(self) -> None:
        """Raise ModelError if a name was refused, also where a reader swallowed the refusal."""
        if self.refused:
            raise ModelError(
                f"its material or texture {self.refused[0]} lies outside the model's folder "
                f"{self._folder}; put the file inside and name it by a relative path"
            )


def _opens(picture: bytes) -> bool:
    try:
        with Image.open(BytesIO(picture)):
            return True
    except Exception:  # PIL's readers raise many types on a damaged file
        return False


@dataclass
class SurfaceLook:
    """What a mesh looks like: rgba (F, 3, 4) uint8, or an image with uv (F, 3, 2)."""

    rgba: np.ndarray
    image: Image.Image | None = None
    uv: np.ndarray | None = None
    source: Any = None  # the object that an image came from, to recognise it again
    notes: list[str] = field(default_factory=list)


def surface_look(mesh: trimesh.Trimesh, faces: np.ndarray) -> SurfaceLook:
    """Colours or texture of a mesh's faces.

    A texture without coordinates, or one that cannot be decoded, becomes a plain colour: its mean,
    or else the material's diffuse colour, or else grey.

    Args:    faces: (F, 3) int, the mesh's faces, perhaps wound the other way.
    """
    visual: Any = mesh.visual
    if visual.kind in ("vertex", "face"):
        if visual.kind == "vertex":
            rgba = np.asarray(visual.vertex_colors)[faces]
        else:
            rgba = np.repeat(np.asarray(visual.face_colors)[:, None], 3, axis=1)
        return SurfaceLook(_visible(rgba.astype(np.uint8)))
    material = getattr(visual, "material", None)
    colour, image = _material_colour(material), _material_image(material)
    notes = []
    if image is not None:
        source, name = image, image.info.get("file_path", "embedded")
        try:
            image = _decoded(image)
        except Exception as error:  # PIL's readers raise many types on a damaged file
            notes.append(
                f"texture {name} cannot be decoded ({error}): its material's colour is used"
            )
            image = None
    if image is not None:
        uv = getattr(visual, "uv", None)
        usable = uv is not None and len(uv) == len(mesh.vertices) and np.isfinite(uv).all()
        if usable:
            plain = np.full((len(faces), 3, 4), GREY, dtype=np.uint8)
            return SurfaceLook(plain, image, np.asarray(uv, np.float64)[faces], source, notes)
        notes.append(f"texture {name} has no coordinates: its mean colour is used")
        colour = _mean_colour(image)
    rgba = np.broadcast_to(np.asarray(colour, np.uint8), (len(faces), 3, 4)).copy()
    return SurfaceLook(_visible(rgba), notes=notes)


def shrink_image(image: Image.Image) -> Image.Image:
    """The picture with its longer side at most MAX_TEXTURE_PX."""
    if max(image.size) <= MAX_TEXTURE_PX:
        return image
    scale = MAX_TEXTURE_PX / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def text_of(data: bytes) -> str:
    """The text of an OBJ or MTL file: UTF-8, or where it is not, Latin-1, which is never wrong
    about the ASCII that matters and gives a material the same name in both files.

    Raises: ModelError: binary data.
    """
    if b"\0" in data:
        raise ModelError("it holds binary data, not the text of an OBJ or MTL file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _existing(path: Path) -> Path | None:
    if path.is_file():
        return path
    if not path.parent.is_dir():
        return None
    wanted = path.name.lower()
    beside = (p for p in sorted(path.parent.iterdir()) if p.name.lower() == wanted)
    return next((p for p in beside if p.is_file()), None)


def _plain_mtl(data: bytes) -> bytes:
    """MTL text with texture options (-s 1 1 1, …), which trimesh takes for the name, removed."""
    lines = []
    for line in text_of(data).splitlines():
        words = line.strip().split(None, 1)
        if len(words) == 2 and words[0].lower() == "map_kd":
            name = words[1].strip()
            while match := _MAP_OPTION.match(name):
                name = name[match.end() :]
            line = f"map_Kd {name}"
        lines.append(line)
    return "\n".join(lines).encode()


def _material_image(material: Any) -> Image.Image | None:
    image = getattr(material, "image", None)
    return image if image is not None else getattr(material, "baseColorTexture", None)


def _material_colour(material: Any) -> tuple[int, int, int, int]:
    """Diffuse colour with the material's opacity."""
    if material is None:
        return GREY
    if hasattr(material, "baseColorFactor"):
        factor = material.baseColorFactor
        if factor is None:
            return GREY
        values = np.asarray(factor, np.float64).reshape(-1)
        values = values if np.issubdtype(np.asarray(factor).dtype, np.integer) else values * 255
        rgba = np.append(values, 255)[:4]
        return tuple(int(v) for v in np.clip(np.round(rgba), 0, 255))  # type: ignore[return-value]
    extra = getattr(material, "kwargs", None) or {}
    diffuse = extra.get("kd")
    if diffuse is None:
        return GREY
    channels = np.resize(np.asarray(diffuse, np.float64).reshape(-1), 3)
    opacity = _number(extra.get("d"))
    if opacity is None:
        transparency = _number(extra.get("tr"))
        opacity = 1.0 if transparency is None else 1.0 - transparency
    rgba = np.append(channels, opacity)
    if not np.isfinite(rgba).all():
        return GREY
    return tuple(int(v) for v in np.clip(np.round(rgba * 255), 0, 255))  # type: ignore[return-value]


def _number(words: Any) -> float | None:
    try:
        return float(words[-1])
    except (TypeError, ValueError, IndexError):
        return None


def _decoded(image: Image.Image) -> Image.Image:
    if image.format == "JPEG":
        image.draft("RGB", (MAX_TEXTURE_PX, MAX_TEXTURE_PX))
    has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")


def _mean_colour(image: Image.Image) -> tuple[int, int, int, int]:
    mean = np.asarray(image.convert("RGB"), np.float64).reshape(-1, 3).mean(axis=0)
    return (int(mean[0]), int(mean[1]), int(mean[2]), 255)


def _visible(rgba: np.ndarray) -> np.ndarray:
    """Fully transparent stays 0 (dropped or made opaque by the reader), thin glass is raised."""
    alpha = rgba[..., 3]
    rgba[..., 3] = np.where(alpha > 0, np.maximum(alpha, MIN_ALPHA), 0)
    return rgba
