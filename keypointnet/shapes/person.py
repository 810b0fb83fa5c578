"""The person family: one seed, one posed and dressed body.

The bodies are those of `keypointnet.people`, which is imported when the first one is made: it needs
the optional anny once, and it imports this package.
"""

from __future__ import annotations

import numpy as np

from keypointnet.shapenet.models import Model, normalise_model

_FAMILY_KEY = 2472293  # the synset of homo, man; keeps other families' streams apart

HELD_OUT_SEED = 10_000
"""The first seed of people whose bodies no smaller seed has."""

TRAINING_BODIES = 224
"""Bodies from 0 on that smaller seeds have; the library's others are held out."""


def body_of(seed: int) -> int:
    """Which of the library's bodies a seed has: all of its side of the split, in turn."""
    from keypointnet.people.bodies import BODIES

    if seed < HELD_OUT_SEED:
        return seed % TRAINING_BODIES
    return TRAINING_BODIES + seed % (BODIES - TRAINING_BODIES)


def make_person_model(seed: int) -> Model:
    """A person: +Y up, front -Z, the person's left -x, bounding box centred, longest side 2.

    Up, front and left are those of a body that stands; one that lies or bends has turned away from
    them by its pose. A textured mesh of the body, one of a skirt where there is one, and COCO's
    joints as `Model.points`. Poses are as frequent as in crowds; one who sits has no seat. The same
    seed always makes the same person.

    Raises:  ValueError: seed is negative.  PeopleError: no bodies, and none can be made.
    """
    if seed < 0:
        raise ValueError(f"make_person_model: seed must be >= 0, received {seed}")
    from keypointnet.people.persons import make_person
    from keypointnet.people.poses import draw_kinds
    from keypointnet.people.studied import studied_library

    library, anatomy = studied_library()
    rng = np.random.default_rng([seed, _FAMILY_KEY])
    (kind,) = draw_kinds(1, rng)
    person = make_person(library, anatomy, f"person-{seed:05d}", kind, body_of(seed), rng)
    person.model.points = person.joints
    return normalise_model(person.model)


def prepare_people() -> None:
    """Make the library of bodies, once, where there is none.

    Raises:  PeopleError: anny, which makes it, is missing.
    """
    from keypointnet.people.studied import studied_library

    studied_library()
