"""Kinds of wooden chair: dining, Windsor, captain's, folding, garden bench, boards, stools."""

from __future__ import annotations

import numpy as np

from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair_arms import bow_arms, post_arms
from keypointnet.shapes.chair_backs import POST_BACKS, hoop_back, panel_back, post_back
from keypointnet.shapes.chair_bases import pedestal, sled
from keypointnet.shapes.chair_legs import LEG_PROFILES, four_legs, plank_sides, scissors
from keypointnet.shapes.chair_sampling import any_frame, one_of, palette
from keypointnet.shapes.chair_seats import seat
from keypointnet.shapes.chair_shells import sling
from keypointnet.shapes.materials import pick_colour
from keypointnet.shapes.primitives import bar


def dining(asm: Assembly, rng: np.random.Generator) -> None:
    """Wooden chair with posts: ladder, slats, spindles, panel, cross, splat; arms sometimes."""
    frame, colours = any_frame(rng), palette(rng)
    profile, size = one_of(rng, *LEG_PROFILES), rng.uniform(0.026, 0.048)
    stretchers = one_of(rng, "none", "none", "box", "h", "front", "ladder")
    four_legs(asm, frame, rng, colours.frame, profile, size, stretchers, bool(rng.random() < 0.5))
    seat(
        asm,
        frame,
        rng,
        one_of(rng, "board", "saddle", "cushioned", "padded", "woven", "slats"),
        colours.accent,
        pick_colour(rng, "straw") if rng.random() < 0.3 else colours.soft,
    )
    post_back(
        asm,
        frame,
        rng,
        one_of(rng, *POST_BACKS),
        colours.frame,
        colours.soft if rng.random() < 0.15 else colours.accent,
        size,
        profile,
    )
    if rng.random() < 0.3:
        post_arms(
            asm, frame, rng, colours.frame, colours.accent, size, profile, bool(rng.random() < 0.5)
        )


def windsor(asm: Assembly, rng: np.random.Generator) -> None:
    """Splayed turned legs in a solid seat, a hoop or a comb over spindles."""
    frame, colours = any_frame(rng), palette(rng)
    frame.roundness, frame.bow = rng.uniform(0.4, 0.9), rng.uniform(0.03, 0.09)
    frame.splay_side, frame.splay_front, frame.splay_rear = rng.uniform(0.03, 0.09, size=3)
    frame.thickness, frame.back_bottom = (
        rng.uniform(0.03, 0.05),
        frame.rear * rng.uniform(0.75, 0.95),
    )
    profile, size = one_of(rng, "turned", "round_taper", "round"), rng.uniform(0.026, 0.04)
    four_legs(asm, frame, rng, colours.frame, profile, size, one_of(rng, "h", "box", "h", "none"))
    seat(asm, frame, rng, one_of(rng, "saddle", "board", "cushioned"), colours.accent, colours.soft)
    if rng.random() < 0.7:
        hoop_back(asm, frame, rng, colours.frame)
    else:
        post_back(asm, frame, rng, "spindles", colours.frame, colours.frame, size, profile)
    if rng.random() < 0.35:
        post_arms(asm, frame, rng, colours.frame, colours.frame, size, profile)


def captain(asm: Assembly, rng: np.random.Generator) -> None:
    """Arms and back in one horizontal bow on spindles, a comb or hoop above it now and then."""
    frame, colours = any_frame(rng), palette(rng)
    frame.front = frame.rear = rng.uniform(0.42, 0.54)
    frame.roundness, frame.back_height = rng.uniform(0.4, 1.0), rng.uniform(0.25, 0.5)
    frame.back_bottom = frame.back_top = frame.rear * 0.85
    frame.bow, frame.thickness = rng.uniform(0.04, 0.1), rng.uniform(0.025, 0.05)
    frame.splay_side, frame.splay_front, frame.splay_rear = rng.uniform(0.01, 0.08, size=3)
    profile, size = one_of(rng, "turned", "round_taper", "round"), rng.uniform(0.026, 0.042)
    four_legs(asm, frame, rng, colours.frame, profile, size, one_of(rng, "h", "box", "none"))
    seat(
        asm,
        frame,
        rng,
        one_of(rng, "saddle", "board", "cushioned", "woven"),
        colours.accent,
        colours.soft,
    )
    bow_arms(asm, frame, rng, colours.frame, size)
    if rng.random() < 0.5:
        hoop_back(asm, frame, rng, colours.frame)


def stool(asm: Assembly, rng: np.random.Generator) -> None:
    """No back: round or square seat, low or bar height."""
    frame, colours = any_frame(rng), palette(rng)
    frame.front = frame.rear = frame.depth = rng.uniform(0.28, 0.42)
    frame.roundness = rng.choice([1.0, rng.uniform(0.05, 0.4)])
    frame.seat_y = rng.choice([rng.uniform(0.4, 0.5), rng.uniform(0.6, 0.8)])
    splay = rng.uniform(0, 0.08)
    frame.splay_side = frame.splay_front = frame.splay_rear = splay
    seat(asm, frame, rng, one_of(rng, "board", "padded", "cushioned"), colours.accent, colours.soft)
    if rng.random() < 0.3:
        pedestal(asm, frame, rng, colours.metal, frame.seat_y > 0.55)
        return
    profile = one_of(rng, "square", "square_taper", "round", "round_taper", "turned")
    four_legs(
        asm,
        frame,
        rng,
        colours.frame,
        profile,
        rng.uniform(0.025, 0.045),
        one_of(rng, "none", "box", "h", "box"),
    )


def bar_chair(asm: Assembly, rng: np.random.Generator) -> None:
    """High seat with a low back and a foot rest."""
    frame, colours = any_frame(rng), palette(rng, soft=one_of(rng, "leather", "fabric", "wood"))
    frame.seat_y, frame.back_height = rng.uniform(0.6, 0.8), rng.uniform(0.18, 0.4)
    frame.front = frame.rear = rng.uniform(0.34, 0.44)
    frame.depth = rng.uniform(0.34, 0.42)
    frame.back_bottom = frame.back_top = frame.rear * rng.uniform(0.9, 1.0)
    frame.bow = rng.uniform(0.0, 0.1)
    base = one_of(rng, "four", "four", "pedestal", "sled")
    if base == "pedestal":
        pedestal(asm, frame, rng, colours.metal, True)
    elif base == "sled":
        sled(asm, frame, rng, colours.metal, 0.012)
    else:
        four_legs(
            asm,
            frame,
            rng,
            colours.frame,
            one_of(rng, "square", "square_taper", "round"),
            rng.uniform(0.025, 0.042),
            "box",
        )
    kind = one_of(rng, "padded", "board", "cushioned", "bent")
    seat(asm, frame, rng, kind, colours.soft, colours.soft)
    panel_back(
        asm,
        frame,
        rng,
        colours.soft,
        rng.uniform(0.1, 0.6),
        rng.uniform(0.015, 0.05),
        kind == "padded",
        colours.metal,
    )


def folding(asm: Assembly, rng: np.random.Generator) -> None:
    """Crossed legs with slats or canvas."""
    frame, colours = any_frame(rng), palette(rng, one_of(rng, "wood", "wood", "metal"))
    frame.back_bottom = frame.back_top = frame.rear = frame.front
    frame.bow = rng.uniform(0, 0.02)
    size = rng.uniform(0.022, 0.035)
    scissors(asm, frame, rng, colours.frame, size)
    if rng.random() < 0.3:
        sling(asm, frame, rng, colours.soft, "seat")
        path = frame.back(1.0, np.linspace(-0.05, 1, 5))
        asm.add("back", colours.frame, bar(path, size, size, up=(0, 0, 1)), both=True)
        sling(asm, frame, rng, colours.soft, "back")
    else:
        seat(asm, frame, rng, one_of(rng, "slats", "board", "padded"), colours.accent, colours.soft)
        post_back(
            asm,
            frame,
            rng,
            one_of(rng, "ladder", "slats", "two_rails", "panel"),
            colours.frame,
            colours.accent,
            size,
            "square",
        )


def bench(asm: Assembly, rng: np.random.Generator) -> None:
    """Wide garden seat of slats, with arms as a rule."""
    frame, colours = any_frame(rng), palette(rng)
    frame.front = frame.rear = frame.back_bottom = frame.back_top = rng.uniform(0.6, 1.15)
    frame.depth, frame.bow = rng.uniform(0.42, 0.52), 0.0
    size = rng.uniform(0.04, 0.06)
    four_legs(asm, frame, rng, colours.frame, "square", size, one_of(rng, "none", "h"), True)
    seat(asm, frame, rng, one_of(rng, "slats", "board", "cushioned"), colours.accent, colours.soft)
    post_back(
        asm,
        frame,
        rng,
        one_of(rng, "slats", "ladder", "cross", "panel", "lattice"),
        colours.frame,
        colours.accent,
        size,
        "square",
    )
    if rng.random() < 0.7:
        post_arms(asm, frame, rng, colours.frame, colours.frame, size, "square", True)


def planked(asm: Assembly, rng: np.random.Generator) -> None:
    """Flat boards: sides for legs, a board seat, a board back; children's and modern chairs."""
    frame, colours = any_frame(rng), palette(rng, one_of(rng, "wood", "plastic"))
    frame.rear = frame.back_bottom = frame.back_top = frame.front
    frame.bow = frame.splay_side = 0.0
    thick = rng.uniform(0.018, 0.04)
    arm_top = frame.seat_y + rng.choice([0.0, rng.uniform(0.1, 0.22)])
    plank_sides(asm, frame, rng, colours.frame, thick, arm_top)
    seat(asm, frame, rng, one_of(rng, "board", "cushioned", "bent"), colours.accent, colours.soft)
    panel_back(
        asm,
        frame,
        rng,
        colours.accent,
        rng.uniform(-0.05, 0.3),
        rng.uniform(0.015, 0.03),
        False,
        colours.frame,
    )
