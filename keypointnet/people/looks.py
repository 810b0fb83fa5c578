"""What people look like: skin, hair, headgear and clothes, drawn at random."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]

PATTERNS = ("plain", "stripes", "bars", "checks", "dots", "blocks", "camouflage", "print")
"""Of cloth; stripes run round the body, bars along it, a print is on the chest alone."""

HAIRCUTS = ("bald", "cropped", "short", "bob", "long", "bun", "curly")
HEADGEAR = ("", "cap", "beanie", "helmet", "scarf", "band")

_SKINS = (
    (0.96, 0.80, 0.69),
    (0.90, 0.70, 0.56),
    (0.78, 0.57, 0.42),
    (0.62, 0.42, 0.30),
    (0.45, 0.29, 0.20),
    (0.31, 0.20, 0.14),
)
_HAIRS = (
    (0.07, 0.06, 0.06),
    (0.17, 0.11, 0.08),
    (0.30, 0.19, 0.11),
    (0.52, 0.36, 0.18),
    (0.80, 0.65, 0.38),
    (0.50, 0.22, 0.10),
)
_CLOTHS = (
    (0.10, 0.10, 0.12),
    (0.92, 0.92, 0.90),
    (0.45, 0.46, 0.48),
    (0.13, 0.18, 0.33),
    (0.25, 0.35, 0.52),
    (0.60, 0.12, 0.14),
    (0.35, 0.25, 0.17),
    (0.72, 0.64, 0.50),
)


@dataclass(frozen=True)
class Cloth:
    """A garment.

    Attributes:
        colours: two, sRGB 0..1; a plain one shows the first.
        pattern: one of PATTERNS.  period_m: of the pattern.
        loose_m: how far it stands off the body at its ends.
    """

    colours: tuple[Colour, Colour]
    pattern: str = "plain"
    period_m: float = 0.06
    loose_m: float = 0.005


@dataclass(frozen=True)
class Look:
    """A person's appearance; lengths along limbs as in anatomy.Sites.

    Attributes:
        skin, hair, eyes, shoes: colours.
        haircut: one of HAIRCUTS.  beard: 0..1.
        headgear: one of HEADGEAR.  hat: its colour.
        top, bottom: cloths.
        sleeve: down the arm; 0 none, 1 to the wrist.
        hem: of the top: below the waist, metres; of a dress it is the skirt's.
        neckline: how far below the throat, metres.
        trousers: down the leg, 0.15 short shorts, 1 to the ankle.
        skirt: down the leg, 0 where there is none.
        boots: up the leg from the ankle, 0 for shoes.  socks: likewise.
    """

    skin: Colour
    hair: Colour
    eyes: Colour
    shoes: Colour
    haircut: str
    beard: float
    headgear: str
    hat: Colour
    top: Cloth
    bottom: Cloth
    sleeve: float
    hem: float
    neckline: float
    trousers: float
    skirt: float
    boots: float
    socks: float


def draw_look(rng: np.random.Generator, gender: float, age: float, skirts: bool = True) -> Look:
    """A look.

    Args:    gender, age: as BodyLibrary.phenotypes.  skirts: whether one may be worn: a pose with
             the legs raised has none.
    """
    woman, adult, old = rng.random() < gender, age > 0.55, age > 0.85
    cuts = (
        [0.02, 0.08, 0.2, 0.22, 0.3, 0.12, 0.06]
        if woman
        else [0.12, 0.34, 0.36, 0.05, 0.04, 0.01, 0.08]
    )
    hair = _near(_HAIRS[rng.choice(6, p=[0.32, 0.24, 0.18, 0.12, 0.08, 0.06])], rng, 0.03)
    if old and rng.random() < 0.8:
        hair = _near((0.72, 0.71, 0.69), rng, 0.06)
    headgear = str(rng.choice(HEADGEAR, p=[0.72, 0.1, 0.06, 0.04, 0.05, 0.03]))
    skirt = float(rng.uniform(0.3, 0.85)) if skirts and woman and rng.random() < 0.3 else 0.0
    top, bottom = _cloth(rng), _cloth(rng, plain=0.75)
    if skirt and rng.random() < 0.5:  # a dress
        bottom = top
    if not skirt and rng.random() < 0.3:  # jeans
        blue = _near((0.22, 0.30, 0.45), rng, 0.06)
        bottom = Cloth((blue, blue), loose_m=float(rng.uniform(0.003, 0.012)))
    trousers = float(rng.choice([0.96, 0.75, 0.42, 0.2], p=[0.68, 0.06, 0.2, 0.06]))
    return Look(
        skin=_near(_SKINS[rng.integers(6)], rng, 0.03),
        hair=hair,
        eyes=_near(((0.25, 0.15, 0.08), (0.3, 0.42, 0.5))[int(rng.random() < 0.3)], rng, 0.05),
        shoes=_cloth_colour(rng),
        haircut=str(rng.choice(HAIRCUTS, p=cuts)),
        beard=float(rng.uniform(0.2, 0.9)) if not woman and adult and rng.random() < 0.35 else 0.0,
        headgear=headgear,
        hat=_cloth_colour(rng),
        top=top,
        bottom=bottom,
        sleeve=float(rng.choice([0.0, 0.28, 0.4, 0.7, 0.97], p=[0.1, 0.3, 0.15, 0.05, 0.4])),
        hem=float(rng.uniform(-0.02, 0.14)),
        neckline=float(rng.choice([-0.03, 0.0, 0.04, 0.09])),
        trousers=trousers + float(rng.normal(0, 0.03)),
        skirt=skirt,
        boots=float(rng.uniform(0.15, 0.4)) if rng.random() < 0.12 else 0.0,
        socks=float(rng.uniform(0.03, 0.25)) if rng.random() < 0.5 else 0.0,
    )


def _cloth(rng: np.random.Generator, plain: float = 0.45) -> Cloth:
    pattern = "plain" if rng.random() < plain else str(rng.choice(PATTERNS[1:]))
    loose = 0.004 + 0.03 * rng.beta(1.1, 2.5)
    return Cloth(
        (_cloth_colour(rng), _cloth_colour(rng)),
        pattern,
        float(rng.uniform(0.02, 0.12)),
        float(loose),
    )


def _cloth_colour(rng: np.random.Generator) -> Colour:
    if rng.random() < 0.55:
        return _near(_CLOTHS[rng.integers(len(_CLOTHS))], rng, 0.05)
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.25, 0.95), rng.uniform(0.25, 0.95))


def _near(colour: Colour, rng: np.random.Generator, spread: float) -> Colour:
    red, green, blue = np.clip(
        np.asarray(colour) + rng.normal(0, spread) + rng.normal(0, spread / 3, 3), 0.02, 1.0
    ).tolist()
    return red, green, blue
