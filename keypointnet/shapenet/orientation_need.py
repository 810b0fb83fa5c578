"""Whether a class of objects needs KeypointNet's orientation network.

Local looks cannot tell the left leg of a chair from the right one: in a mirror-symmetric object
each is the other's mirror image. Which is which follows from whether the camera sees the front or
the back, and that is the orientation flag: 1 where +x projects to the right of −x. So the network
is worth having where

1. most of the models look mirror-symmetric in x. If left and right look different, keypoints can
   be told apart where they are, and the flag says nothing new; and
2. front and back look different: a half-turn about the up axis, which exchanges +x and −x, must
   not map the model onto itself. For a square stool, a round table, a bottle, the flag is a coin
   toss that no network can learn.

To look symmetric is less than to be: a lever under the seat or a driver on one side leaves a chair
or car looking so. A half-turn about another axis does not matter: it puts the object upside down,
and cameras are above the ground without roll.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import trimesh

from keypointnet.shapenet.isometries import Mirror, Turn, axis_angle_deg
from keypointnet.shapenet.models import Model
from keypointnet.shapenet.symmetry_search import COARSE, fit, match
from keypointnet.shapenet.symmetry_surface import sample_surface

LOOKS_ALIKE = 0.9
"""Left and right look alike where the mirror image covers so much of the surface."""
MOST = 0.5
NEARLY_ALL = 0.95
WITHIN_DEG = 5.0
LEFT_RIGHT = np.array([1.0, 0.0, 0.0])
UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class Looks:
    """What a camera above the ground cannot tell apart in a model.

    left_right: share of the surface that the best mirror image in x covers; 0 where the best
                plane near there is none of x.
    front_back: a half-turn about the up axis is a symmetry.
    """

    left_right: float
    front_back: bool


@dataclass(frozen=True)
class OrientationNeed:
    """The answer for a class, and what it rests on.

    needed:        the orientation network pays: `model.orientation_channels` above 0.
    may_mirror:    nearly all models look symmetric in x, so that mirrored pictures are pictures of
                   the class: `data.augmentation.mirror` and `model.orientation_mirrored` are sound.
    mirrored:      share of the models that look mirror-symmetric in x.
    front_is_back: share of those that a half-turn about the up axis maps onto themselves.
    models:        how many there were.
    reason:        a sentence.
    """

    needed: bool
    may_mirror: bool
    mirrored: float
    front_is_back: float
    models: int
    reason: str


def looks_of(meshes: Sequence[trimesh.Trimesh], seed: int = 0) -> Looks:
    """See `Looks`.

    Args:    meshes: of one model in the object frame.  seed: of the samples.
    Raises:  ValueError: no face has an area, or a vertex is not finite.
    """
    surface = sample_surface(meshes, seed=seed)
    mirror = fit(surface, fit(surface, Mirror(LEFT_RIGHT, 0.0), COARSE, 400))
    turn = fit(surface, fit(surface, Turn(UP, np.zeros(3), np.pi), COARSE, 400))
    near_x = axis_angle_deg(mirror.normal, LEFT_RIGHT) <= WITHIN_DEG
    near_y = axis_angle_deg(turn.direction, UP) <= WITHIN_DEG
    return Looks(
        match(surface, mirror).covered if near_x else 0.0,
        bool(near_y) and match(surface, turn).holds(),
    )


def needs_orientation_network(models: Sequence[Model | Looks]) -> OrientationNeed:
    """Say whether a class needs the orientation network; the rule is this module's docstring.

    Args:    models: of one class in the object frame (+Y up, X from side to side), or what
             `looks_of` said of them.
    Raises:  ValueError: no models.
    """
    if not models:
        raise ValueError("needs_orientation_network: expected the models of a class, got none")
    looks = [m if isinstance(m, Looks) else looks_of(m.meshes) for m in models]
    mirrored = [each for each in looks if each.left_right >= LOOKS_ALIKE]
    share = len(mirrored) / len(looks)
    alike = sum(each.front_back for each in mirrored) / max(len(mirrored), 1)
    if share < MOST:
        needed, reason = False, "left and right look different, and are told apart without it"
    elif alike > MOST:
        needed, reason = False, "front and back look the same, so that nothing could learn the flag"
    else:
        needed = True
        reason = "left and right look the same, and only front and back tell which is which"
    return OrientationNeed(needed, share >= NEARLY_ALL, share, alike, len(looks), reason)
