"""Which of the free furniture are chairs, and which more seats are good for training only."""

from __future__ import annotations

import re
from collections.abc import Iterable

from keypointnet.shapenet.sweethome3d import Furniture

_CHAIR = re.compile(r"chair|stool", re.IGNORECASE)
_SEAT = re.compile(r"sofa|couch|bench|puff|toilets unit|class seat|lounge", re.IGNORECASE)

# catalogue id -> why it is not among the chairs that are split into training and test
NOT_CHAIRS: dict[str, str] = {
    "Blend Swap CC-BY#wheelchair": "a wheelchair: wheels hide legs, seat and arms (--more has it)",
    "Blend Swap CC-BY#green_stool": "a round stool: it has no front to be right about (--more)",
    "Blend Swap CC-0#stool2": "a round stool: it has no front to be right about (--more)",
}
# catalogue id -> why it is not even good for training
NOT_SEATS: dict[str, str] = {
    "Blend Swap CC-0#toiletsUnit": "a toilet",
    "Blend Swap CC-BY#toilets_unit_jay_hardy": "a toilet",
    "Blend Swap CC-BY#modernToilet": "a toilet",
    "Blend Swap CC-BY#workbench": "a workbench",
    "Blend Swap CC-BY#abdominalBench": "a training machine",
    "Scopia#convertible-sofa-BZ-opened": "opened: a bed",
    "Scopia#puff": "a bean bag without legs or front",
    "Blend Swap CC-0#bench": "no back: front and rear are the same",
    "Blend Swap CC-0#pianoBench": "no back: front and rear are the same",
    "Kator Legaz#bench": "no back: front and rear are the same",
    "Blend Swap CC-0#L_shaped_sofa": "a corner sofa: left and right differ",
    "Blend Swap CC-0#sofa": "a corner sofa: left and right differ",
    "Blend Swap CC-0#couch2": "a corner sofa: left and right differ",
    "Blend Swap CC-BY#cornerSofa": "a corner sofa: left and right differ",
}


def chairs_of(catalogue: Iterable[Furniture]) -> list[Furniture]:
    """Chairs, armchairs and stools, by their names, less NOT_CHAIRS: 62 in version 1.8."""
    return [item for item in catalogue if _CHAIR.search(item.name) and item.id not in NOT_CHAIRS]


def more_seats_of(catalogue: Iterable[Furniture]) -> list[Furniture]:
    """Sofas, benches with a back and NOT_CHAIRS: seats that face the same way; training only."""
    return [
        item
        for item in catalogue
        if item.id in NOT_CHAIRS
        or (_SEAT.search(item.name) and not _CHAIR.search(item.name) and item.id not in NOT_SEATS)
    ]
