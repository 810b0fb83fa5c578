"""What all pictures of a folder of crowds have in common, and its scenes.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keypointnet.people.bodies import BODIES, LIBRARY_VERSION
from keypointnet.people.crowd_layout import CrowdRange
from keypointnet.shapes.person_points import PERSON_POINTS
from keypointnet.views.scene_files import FORMAT_VERSION, keep_folder, listed
from keypointnet.views.scenes import BLOCK

DRAWING_VERSION = 2
"""Of what a seed gives, to the last bit; 2: the far side of bodies is not drawn any more."""

POOL = 24
"""People of a block of pictures ..."""

THINGS = 8
"""... and pieces of furniture."""


@dataclass(frozen=True)
class CrowdSettings:
    """What all pictures of a folder have in common; written to its scenes.json.

    Attributes:
        size: (h, w) px.
        seed: of everything random.
        layout: what crowds are drawn.
        bodies: [start, end) of the library's, so that train and val can have different ones.
        shadow: how dark it is on the ground under people, 0..1.
        quality: of the JPEG files, 1..100.
        supersample: samples along each axis of a pixel.

    Raises:  ValueError: a value outside its range; the message names it.
    """

    size: tuple[int, int] = (384, 512)
    seed: int = 0
    layout: CrowdRange = field(default_factory=CrowdRange)
    bodies: tuple[int, int] = (0, BODIES)
    shadow: float = 0.6
    quality: int = 92
    supersample: int = 2

    def __post_init__(self) -> None:
        if min(self.size) < 8:
            raise ValueError(f"CrowdSettings: size must be at least 8 x 8 px, got {self.size}")
        if not 0 <= self.bodies[0] < self.bodies[1]:
            raise ValueError(f"CrowdSettings: bodies must be START < END, got {self.bodies}")
        if not 0 <= self.shadow <= 1:
            raise ValueError(f"CrowdSettings: shadow must be 0 to 1, got {self.shadow}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"CrowdSettings: quality must be 1 to 100, got {self.quality}")

    def info(self) -> dict[str, Any]:
        """As JSON holds it."""
        values = asdict(self) | {"size": list(self.size), "bodies": list(self.bodies)}
        values["layout"] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values["layout"].items()
        }
        return values | {"block": BLOCK, "pool": POOL, "things": THINGS}


def prepare_crowd(out: Path, settings: CrowdSettings, backgrounds: Sequence[Path]) -> None:
    """Make the folder's scenes.json, or check that an existing one was made the same way.

    Raises:  StorageError: it was made with other settings or backgrounds.
    """
    info = {
        "version": FORMAT_VERSION,
        "class": "person",
        "points": list(PERSON_POINTS.names),
        "skeleton": PERSON_POINTS.skeleton,
        "library": LIBRARY_VERSION,
        "drawing": DRAWING_VERSION,
        "backgrounds": listed([path.name for path in backgrounds]),
        **settings.info(),
    }
    keep_folder(out, info)
