"""Which of the free models are cars: furniture's vehicles, and TORCS's bodies given wheels.

TORCS's cars are AC3D bodies, +Y up, front towards +X, +Z to the right, with the ground at y = 0;
the simulator draws the wheels itself, from the sizes in the car's XML file. So do we.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from keypointnet.shapenet.models import (
    Model,
    ModelError,
    ModelRef,
    model_of_soup,
    read_ac3d_file,
)
from keypointnet.shapenet.surfaces import UNTEXTURED, Soup
from keypointnet.shapenet.sweethome3d import Furniture

# front +X -> front -Z: a quarter turn about Y
R_TORCS2SHAPENET = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
TYRE_RGBA, RIM_RGBA = (28, 28, 30, 255), (165, 168, 172, 255)
WHEEL_SIDES = 24
INCH = 0.0254

# catalogue ids; the catalogue has no category of cars
CARS = {
    "Blend Swap CC-BY#fordFocus",
    "Blend Swap CC-BY#carrito-de-madera",
    "Kator Legaz#concept-sedan-01v1",
    "Kator Legaz#concept-sedan-01v2",
    "Kator Legaz#concept-sedan-02",
    "Kator Legaz#concept-sedan-02-sport",
    "Kator Legaz#VW-new-beetle",
    "Scopia#seat_leon",
    "Scopia#peugeot-308",
    "Scopia#renault-scenic",
    "Scopia#suv",
    "Scopia#chevrolet",
    "Scopia#van",
    "Scopia#smart-car",
}
# vehicles of the catalogue that are left out, and why
NOT_CARS: dict[str, str] = {
    "Blend Swap CC-BY#dafTruck": "an articulated lorry",
    "Blend Swap CC-0#peterbilt": "a lorry",
    "Scopia#truck": "a lorry",
    "Scopia#bus": "a coach",
    "Scopia#cityBus": "a bus",
    "Blend Swap CC-0#forkLift": "a fork-lift truck",
}
# models of one design, whatever their distance
FAMILIES: dict[str, str] = {
    "katorlegaz-concept-sedan-01v1": "concept-sedan-01",
    "katorlegaz-concept-sedan-01v2": "concept-sedan-01",
    "katorlegaz-concept-sedan-02": "concept-sedan-02",
    "katorlegaz-concept-sedan-02-sport": "concept-sedan-02",
    "torcs-car1-trb1": "torcs-car1",
    "torcs-car1-trb3": "torcs-car1",
    "torcs-car1-stock1": "torcs-stock",
    "torcs-car1-stock2": "torcs-stock",
}


def cars_of(catalogue: Iterable[Furniture]) -> list[Furniture]:
    """The catalogue's cars: 14 in version 1.8."""
    return [item for item in catalogue if item.id in CARS]


def torcs_cars_of(folder: Path) -> list[Path]:
    """The whole bodies (not the reduced ones) in TORCS's folder of cars: 17 in 1.3.7."""
    bodies = [path / f"{path.name}.acc" for path in sorted(folder.iterdir()) if path.is_dir()]
    return [body for body in bodies if body.is_file()]


def torcs_attribution(body: Path) -> dict[str, str]:
    """Creator and licence, from the readme beside a body where there is one."""
    readme = body.with_name("readme.txt")
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if "copyright" in line.lower()]
    free_art = "free art licen" in text.lower()
    return {
        "title": f"TORCS car {body.stem}, wheels added",
        "creator": "; ".join(lines) or "the TORCS team, copyright 2000 Eric Espié",
        "licence": "Free Art License (its readme) / GPL-2+ (package)" if free_art else "GPL-2+",
        "package": "torcs-data",
        "file": f"cars/{body.parent.name}/{body.name}",
    }


def read_torcs_car(body: Path) -> Model:
    """A body with wheels, in ShapeNet's frame.

    Raises: ModelError: the body is unreadable, or its XML file does not say where the wheels are.
    """
    ref = ModelRef(f"torcs-{body.stem}", body)
    soup, notes = read_ac3d_file(ref)
    try:
        wheels = wheels_of(body.with_suffix(".xml").read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"model {ref.id} ({body}): no wheels: {error}") from error
    soup = _joined(soup, [wheel_soup(*wheel) for wheel in wheels])
    soup = soup.moved(soup.corners @ R_TORCS2SHAPENET.T)
    return model_of_soup(ref, soup, notes)


def wheels_of(xml: bytes) -> list[tuple[np.ndarray, float, float, float]]:
    """Centre (3,), radius, rim's radius and width of each wheel, in metres in the body's frame.

    Raises: ValueError: not XML, or a number is missing.
    """
    # the files name a DTD and an encoding that do not hold for all of them
    text = re.sub(r"<\?xml[^>]*\?>|<!DOCTYPE[^>]*>", "", xml.decode("latin-1"))
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"not XML ({error})") from error
    wheels = []
    for end in ("Front", "Rear"):
        x = _number(root, f"{end} Axle", "xpos")
        for side in ("Right", "Left"):
            section = f"{end} {side} Wheel"
            rim = _number(root, section, "rim diameter") / 2 * INCH
            width = _number(root, section, "tire width") / 1000
            radius = rim + width * _number(root, section, "tire height-width ratio")
            z = -_number(root, section, "ypos")
            wheels.append((np.array([x, radius, z]), radius, rim, width))
    return wheels


def wheel_soup(centre: np.ndarray, radius: float, rim: float, width: float) -> Soup:
    """A tyre and a rim: a closed cylinder about the z axis with a lighter disc on either side."""
    tyre = _band(radius, -width / 2, radius, width / 2)
    rims = []
    for z in (-width / 2, width / 2):
        sunk = 0.85 * z
        tyre += _band(radius, z, rim, z) + _band(rim, z, rim, sunk)
        rims += _band(rim, sunk, 0.0, sunk)
    corners = np.concatenate(tyre + rims) + centre
    n_tyre = sum(len(part) for part in tyre)
    rgba = np.empty((len(corners), 3, 4), np.uint8)
    rgba[:n_tyre], rgba[n_tyre:] = TYRE_RGBA, RIM_RGBA
    plain = np.full(len(corners), UNTEXTURED)
    return Soup(corners, rgba, np.zeros((len(corners), 3, 2)), plain, [])


def _band(radius_a: float, z_a: float, radius_b: float, z_b: float) -> list[np.ndarray]:
    """Triangles between two circles about the z axis; either may be a point."""
    angle = np.arange(WHEEL_SIDES) * (2 * np.pi / WHEEL_SIDES)
    circle = np.stack([np.cos(angle), np.sin(angle), np.zeros(WHEEL_SIDES)], axis=1)
    a = circle * radius_a + [0.0, 0.0, z_a]
    b = circle * radius_b + [0.0, 0.0, z_b]
    next_a, next_b = np.roll(a, -1, axis=0), np.roll(b, -1, axis=0)
    return [np.stack([a, next_a, next_b], axis=1), np.stack([a, next_b, b], axis=1)]


def _joined(body: Soup, parts: list[Soup]) -> Soup:
    everything = [body, *parts]
    return replace(
        body,
        corners=np.concatenate([soup.corners for soup in everything]),
        rgba=np.concatenate([soup.rgba for soup in everything]),
        uv=np.concatenate([soup.uv for soup in everything]),
        texture=np.concatenate([soup.texture for soup in everything]),
    )


def _number(root: ElementTree.Element, section: str, name: str) -> float:
    found = root.find(f".//section[@name='{section}']/attnum[@name='{name}']")
    if found is None or "val" not in found.attrib:
        raise ValueError(f"{section} has no {name}")
    return float(found.attrib["val"])
