"""Whether a class of objects needs KeypointNet's orientation network.

Local looks cannot tell the left leg of a chair from the right one: in a mirror-symmetric object
each is the other's mirror image. Which is which follows from whether the camera sees the front or
the back, and that is the orientation flag: 1 where +x projects to the right of −x. So the network
is worth having where

1. most of the models are mirror-symmetric in x. If left and right look different, keypoints can be
   told apart where they are, and the flag says nothing new; and
2. front and back look different: a half-turn about the up axis, which exchanges +x and −x, must not
   map the model onto itself. For a square stool, a round table, a bottle, the flag is a coin toss
   that no network can learn.

A half-turn about another axis does not matter: it puts the object upside down, and cameras are
above the ground without roll. Nor do mirror images of pictures: a camera cannot take one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keypointnet.shapenet.models import Model
from keypointnet.shapenet.symmetry import Symmetries, find_symmetries

MOST = 0.5
NEARLY_ALL = 0.95
WITHIN_DEG = 5.0
LEFT_RIGHT = (1.0, 0.0, 0.0)
UP = (0.0, 1.0, 0.0)


@dataclass(frozen=True)
class OrientationNeed:
    """The answer for a class, and what it rests on.

    needed:        the orientation network pays: `model.orientation_channels` above 0.
    may_mirror:    nearly all models are symmetric in x, so that mirrored pictures are pictures of
                   the class: `data.augmentation.mirror` and `model.orientation_mirrored` are sound.
    mirrored:      share of the models that are mirror-symmetric in x.
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


def needs_orientation_network(models: Sequence[Model | Symmetries]) -> OrientationNeed:
    """Say whether a class needs the orientation network; the rule is this module's docstring.

    Args:    models: of one class in the object frame (+Y up, X from side to side), or what
             `find_symmetries` said of them.
    Raises:  ValueError: no models.
    """
    if not models:
        raise ValueError("needs_orientation_network: expected the models of a class, got none")
    found = [m if isinstance(m, Symmetries) else find_symmetries(m.meshes) for m in models]
    mirrored = [each for each in found if each.mirrored_across(LEFT_RIGHT, WITHIN_DEG)]
    alike = [each for each in mirrored if each.half_turn_about(UP, WITHIN_DEG)]
    share = len(mirrored) / len(found)
    share_alike = len(alike) / len(mirrored) if mirrored else 0.0
    if share < MOST:
        needed, reason = False, "left and right look different, and are told apart without it"
    elif share_alike > MOST:
        needed, reason = False, "front and back look the same, so that nothing could learn the flag"
    else:
        needed = True
        reason = "left and right look the same, and only front and back tell which is which"
    return OrientationNeed(needed, share >= NEARLY_ALL, share, share_alike, len(found), reason)
