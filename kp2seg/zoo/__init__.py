"""Trained weights that come with the package: `kp2seg.zoo.get("chair-64")`.

Each file is checked against its SHA-256 before it is read; nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from keypointnet.checkpoints import CheckpointError, load_model
from keypointnet.files import file_sha256
from keypointnet.model import KeypointNet


@dataclass(frozen=True)
class Entry:
    """One file of weights.

    file: beside this module.  sha256: of the file.  config: what trained it, in configs/.
    data: what it was trained on, with licences.  metrics: held out, as tools/eval_kp.py gives them.
    """

    file: str
    sha256: str
    config: str
    data: str
    metrics: dict[str, float]


MODELS: dict[str, Entry] = {
    "chair-64": Entry(
        file="chair-64.safetensors",
        sha256="a5fd155c216e25fd6af23ceea9802e83f220a2154bd29f262b57b688b6d595ee",
        config="configs/keypointnet/chair.yaml",
        data="Sweet Home 3D's free seats (CC BY 3.0 and public domain), their deformed copies, and "
        "parametric chairs; see docs/results.md",
        metrics={"mean_deg": 14.77, "median_deg": 8.45, "flips": 0.018, "se_3d": 0.195},
    ),
}
"""Name → entry."""


def path(name: str) -> Path:
    """The file of a model, after its SHA-256 has been checked.

    Raises: ValueError: no such model (the names are listed).
            CheckpointError: the file is missing, or is not the one that was published.
    """
    if name not in MODELS:
        raise ValueError(f"zoo: no model {name!r}; there are {', '.join(sorted(MODELS))}")
    entry = MODELS[name]
    file = Path(__file__).with_name(entry.file)
    if not file.exists():
        raise CheckpointError(f"{file}: is missing from this installation; install it again")
    digest = file_sha256(file)
    if digest != entry.sha256:
        raise CheckpointError(
            f"{file}: its SHA-256 is {digest}, not the published {entry.sha256}; the file is cut "
            "short or was changed, install it again"
        )
    return file


def get(name: str, device: str | torch.device = "cpu") -> KeypointNet:
    """A trained network, ready to predict. Raises: as `path`."""
    return load_model(path(name), device)


TEMPLATES = {"person": "person_templates.json"}
"""Name → file of pose templates. "person": 17 COCO joints, three clusters of 161 annotated poses of
COCO 2017 (annotations: CC BY 4.0, COCO Consortium), made by tools/build_templates.py."""


def templates(name: str) -> Path:
    """A file of pose templates. Raises: ValueError: no such templates (the names are listed)."""
    if name not in TEMPLATES:
        raise ValueError(f"zoo: no templates {name!r}; there are {', '.join(sorted(TEMPLATES))}")
    return Path(__file__).with_name(TEMPLATES[name])
