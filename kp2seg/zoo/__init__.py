"""Trained weights that come with the package: `kp2seg.zoo.get("chair-64")`.

Each file is checked against its SHA-256 before it is read; nothing is downloaded. Here are
KeypointNets, which find keypoints in a picture of one object, and models that cut out masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from keypointnet.checkpoints import CheckpointError, load_model
from keypointnet.files import file_sha256

Kind = Literal["keypoints", "masks"]


@dataclass(frozen=True)
class Entry:
    """One file of weights.

    file: beside this module.  sha256: of the file.  config: what trained it, in configs/.
    data: what it was trained on, with licences.  metrics: held out, as tools/eval_kp.py, of masks
    tools/eval_seg.py, and of a network for photographs tools/eval_discovery.py gives them.
    kind: "keypoints", a `keypointnet.model.KeypointNet`, or "masks", a model of `kp2seg.modeling`.
    """

    file: str
    sha256: str
    config: str
    data: str
    metrics: dict[str, float]
    kind: Kind = "keypoints"


CHAIRS = (
    "Sweet Home 3D's free seats (CC BY 3.0 and public domain), their deformed copies, and "
    "parametric chairs; see docs/results.md"
)
CARS = (
    "Sweet Home 3D's free cars (CC BY 3.0), TORCS's (GPL-2+, some Free Art License as well), and "
    "their deformed copies"
)
AEROPLANES = "FlightGear's free aeroplanes (GPL-2+) and their deformed copies"
PEOPLE = "posed, dressed people that tools/render_views.py makes of anny's bodies (CC0)"
"""What KeypointNets were trained on, with licences."""

PHOTOGRAPHS = (
    "{} of COCO 2017's training pictures with {} (annotations: CC BY 4.0, COCO Consortium; "
    "pictures: Flickr's terms)"
)
IMAGENET = "began with timm's tf_efficientnet_lite0 (Apache 2.0), trained on ImageNet"
BACKBONE = f"the backbone of the masks {IMAGENET}"
"""What models of masks were trained on, beside what is made."""

MODELS: dict[str, Entry] = {
    "chair-64": Entry(
        file="chair-64.safetensors",
        sha256="a5fd155c216e25fd6af23ceea9802e83f220a2154bd29f262b57b688b6d595ee",
        config="configs/keypointnet/chair.yaml",
        data=CHAIRS,
        metrics={"mean_deg": 14.77, "median_deg": 8.45, "flips": 0.018, "se_3d": 0.195},
    ),
    "car-64": Entry(
        file="car-64.safetensors",
        sha256="fe5d1d4b5b6fab63bccf356a003562ab61fe32cf8b2571fbfd09a8bbab51511b",
        config="configs/keypointnet/car.yaml",
        data=CARS,
        metrics={"mean_deg": 40.16, "median_deg": 12.39, "flips": 0.170, "se_3d": 0.229},
    ),
    "aeroplane-64": Entry(
        file="aeroplane-64.safetensors",
        sha256="3aee565cd744349a4bb5632e8e2306bb6a43ece2afe0339b55af6491c621ae56",
        config="configs/keypointnet/aeroplane.yaml",
        data=AEROPLANES,
        metrics={"mean_deg": 15.58, "median_deg": 9.62, "flips": 0.026, "se_3d": 0.211},
    ),
    "person-64": Entry(
        file="person-64.safetensors",
        sha256="ab8cfe042bd337cc2a30ffb82b01e21b4a9dcbf7e98b8760eb7a72c30a0f76ec",
        config="configs/keypointnet/person.yaml",
        data=PEOPLE,
        metrics={"mean_deg": 23.83, "median_deg": 12.88, "flips": 0.063, "se_3d": 0.221},
    ),
    "chair-128": Entry(
        file="chair-128.safetensors",
        sha256="886926272f6744467b008fbb60884d283fc04c44a1d0e02d1c64e1a4d256875f",
        config="configs/keypointnet/chair-128.yaml",
        data=CHAIRS,
        metrics={"mean_deg": 14.70, "median_deg": 8.70, "flips": 0.018, "se_3d": 0.194},
    ),
    "car-128": Entry(
        file="car-128.safetensors",
        sha256="164725629bb65f138e2f18c6ece16315b81d866048a35f6017a57a5a73a34f04",
        config="configs/keypointnet/car-128.yaml",
        data=CARS,
        metrics={"mean_deg": 41.02, "median_deg": 12.11, "flips": 0.180, "se_3d": 0.227},
    ),
    "aeroplane-128": Entry(
        file="aeroplane-128.safetensors",
        sha256="b022e34bf04d9914addf49b6b607414a1e928005218bb8fc19e127f59915398c",
        config="configs/keypointnet/aeroplane-128.yaml",
        data=AEROPLANES,
        metrics={"mean_deg": 15.03, "median_deg": 8.65, "flips": 0.029, "se_3d": 0.199},
    ),
    "person-128": Entry(
        file="person-128.safetensors",
        sha256="40b24c350ccdc17eea4b62cf9922a58d93d062ae40f5be0bb74c43b4fe23bf96",
        config="configs/keypointnet/person-128.yaml",
        data=PEOPLE,
        metrics={"mean_deg": 22.76, "median_deg": 11.72, "flips": 0.061, "se_3d": 0.213},
    ),
    "person-pictures": Entry(
        file="person-pictures.safetensors",
        sha256="f6ff060567eabd18ccdd4ed50066967c840e39de076b22e4f0b2e51181389c7a",
        config="configs/keypointnet/person-pictures.yaml",
        data=f"{PEOPLE}, before made-up backgrounds; its trunk {IMAGENET}",
        metrics={"inside": 0.818, "flip": 0.052, "box": 0.049, "turn": 0.056},
    ),
    "people-light": Entry(
        file="people-light.safetensors",
        sha256="f38cadfa5f23ba89b3d933b9bfe93d251e87de8e8b4865b365a56ac480c72cf1",
        config="configs/kp2seg/people_longer.py",
        data="1,500 pictures of tools/make_crowd.py (anny's bodies: CC0); "
        f"{PHOTOGRAPHS.format(80, '231 people')}; {BACKBONE}",
        metrics={"AP_constant": 0.532, "AP_quality": 0.608, "mean_iou": 0.780},
        kind="masks",
    ),
    "chairs-light": Entry(
        file="chairs-light.safetensors",
        sha256="7b0c0aacddc1a7dd5ebed83bdb840eaac371d0738dc0d461a617cfbe078837be",
        config="configs/kp2seg/demo.py",
        data=f"{PHOTOGRAPHS.format(27, 'chairs')}; 300 pictures of tools/make_scenes.py; its "
        f"KeypointNet (configs/keypointnet/chair-pictures.yaml): {CHAIRS}; {BACKBONE}, and so did "
        "that of the KeypointNet",
        metrics={"AP_constant": 0.168, "AP_quality": 0.241, "mean_iou": 0.579},
        kind="masks",
    ),
}
"""Name → entry."""


def names(kind: Kind) -> list[str]:
    """The models of a kind."""
    return [name for name, entry in MODELS.items() if entry.kind == kind]


def path(name: str, kind: Kind | None = None) -> Path:
    """The file of a model, after its SHA-256 has been checked.

    Args:   kind: that it has to be of.
    Raises: ValueError: no such model (the names are listed).
            CheckpointError: the file is missing, or is not the one that was published.
    """
    known = sorted(MODELS if kind is None else names(kind))
    if name not in known:
        what = "model" if kind is None else f"model for {kind}"
        raise ValueError(f"zoo: no {what} {name!r}; there are {', '.join(known)}")
    entry = MODELS[name]
    file = Path(__file__).parent / entry.file
    if not file.exists():
        raise CheckpointError(f"{file}: is missing from this installation; install it again")
    digest = file_sha256(file)
    if digest != entry.sha256:
        raise CheckpointError(
            f"{file}: its SHA-256 is {digest}, not the published {entry.sha256}; the file is cut "
            "short or was changed, install it again"
        )
    return file


def get(name: str, device: str | torch.device = "cpu") -> nn.Module:
    """A trained network, ready to predict: see `Entry.kind` for what it is. Raises: as `path`."""
    file = path(name)
    if MODELS[name].kind == "keypoints":
        return load_model(file, device)
    # The configurations of masks' models name templates of this module.
    from kp2seg.build import trained_model
    from kp2seg.checkpoints import read_seg_checkpoint

    return trained_model(read_seg_checkpoint(file), device)


TEMPLATES = {"person": "person_templates.json"}
"""Name → file of pose templates. "person": 17 COCO joints, three clusters of 161 annotated poses of
COCO 2017 (annotations: CC BY 4.0, COCO Consortium), made by tools/build_templates.py."""


def templates(name: str) -> Path:
    """A file of pose templates. Raises: ValueError: no such templates (the names are listed)."""
    if name not in TEMPLATES:
        raise ValueError(f"zoo: no templates {name!r}; there are {', '.join(sorted(TEMPLATES))}")
    return Path(__file__).with_name(TEMPLATES[name])
