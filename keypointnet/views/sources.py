"""Where models to render come from: a folder of meshes, some of it, or a parametric family."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from keypointnet.shapenet.models import Model, ModelRef, find_models, load_model
from keypointnet.shapenet.selection import TAG, select_models, split_selection

_FAMILY = re.compile(r"(?P<family>[A-Za-z_]+):(?:(?P<start>\d+)-)?(?P<end>\d+)")


@dataclass(frozen=True)
class ModelSource:
    """A model that can be made in any process.

    Attributes:
        id: the model's id.
        path: its file, or None for a parametric model.
        family, seed: of a parametric model.
    """

    id: str
    path: Path | None = None
    family: str = ""
    seed: int = 0

    def make(self) -> Model:
        """The model, normalised.

        Raises:  ModelError: it cannot be read.
        """
        if self.path is not None:
            return load_model(ModelRef(self.id, self.path))
        from keypointnet.shapes import make_model

        return make_model(self.family, self.seed)


def find_sources(models: str) -> list[ModelSource]:
    """The models that a MODELS argument names.

    Args:    models: a ShapeNetCore tree, a folder of meshes of any kind trimesh reads, or one mesh;
             "tree::selection", such as "ShapeNetCore.v2::chair/swivel*", for some of its models
             (see `keypointnet.shapenet.selection`);
             "family:n" for the parametric models 0 to n - 1, "family:start-end" for start to
             end - 1.
    Returns: sorted by id.
    Raises:  ValueError (ModelError is one): neither a folder nor a family, or nothing in it; or a
             family that needs what is not installed.
    """
    path, selection = split_selection(models)
    if selection is not None:
        return [ModelSource(ref.id, path=ref.path) for ref in select_models(path, selection)]
    if path.exists():
        return [ModelSource(ref.id, path=ref.path) for ref in find_models(path)]
    match = _FAMILY.fullmatch(models)
    if match is None:
        raise ValueError(
            f"{models}: no such folder (and not a parametric family such as chair:300 either)"
        )
    from keypointnet.shapes import FAMILIES, prepare_family

    family, start, end = match["family"], int(match["start"] or 0), int(match["end"])
    if family not in FAMILIES:
        raise ValueError(f"{models}: no family {family!r}; there are {', '.join(sorted(FAMILIES))}")
    if end <= start:
        raise ValueError(f"{models}: an empty range; chair:1000-1300 is 300 models from 1000 on")
    prepare_family(family)
    return [
        ModelSource(f"{family}-{seed:05d}", family=family, seed=seed) for seed in range(start, end)
    ]


def models_folder(models: str) -> Path:
    """The folder of a MODELS argument, without what is selected from it."""
    return split_selection(models)[0]


def class_name(models: str) -> str:
    """What to call the models of a MODELS argument: the family, the folder, or what is selected."""
    match = _FAMILY.fullmatch(models)
    folder, selection = split_selection(models)
    if selection is None:
        return match["family"] if match and not folder.exists() else folder.resolve().name
    first = re.split("[,/]", selection)[0].removeprefix(TAG)
    return re.sub(r"[*?\[\]]", "", first).strip() or folder.resolve().name
