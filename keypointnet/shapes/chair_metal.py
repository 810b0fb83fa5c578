"""Kinds of chair in steel, plastic and plywood: moulded shells, bent tubes, pressed sheet."""

from __future__ import annotations

import numpy as np

from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair_arms import loop_arms
from keypointnet.shapes.chair_backs import panel_back, post_back
from keypointnet.shapes.chair_bases import cantilever, pedestal, sled, star, wire_base
from keypointnet.shapes.chair_legs import four_legs
from keypointnet.shapes.chair_sampling import any_frame, one_of, palette
from keypointnet.shapes.chair_seats import seat
from keypointnet.shapes.chair_shells import shell
from keypointnet.shapes.materials import pick_colour
from keypointnet.shapes.primitives import tube


def moulded(asm: Assembly, rng: np.random.Generator) -> None:
    """One-piece shell on dowels, rods, tubes, a pedestal or a star."""
    frame = any_frame(rng)
    colours = palette(rng, soft=one_of(rng, "plastic", "plastic", "wood", "fabric"))
    frame.front, frame.rear = rng.uniform(0.42, 0.52), rng.uniform(0.42, 0.5)
    frame.back_bottom, frame.back_top = rng.uniform(0.4, 0.5), rng.uniform(0.36, 0.5)
    frame.back_height, frame.thickness = rng.uniform(0.32, 0.45), 0.05
    frame.recline_rad = rng.uniform(0.12, 0.35)
    arms = bool(rng.random() < 0.35)
    if arms:
        frame.front, frame.rear, frame.back_bottom = frame.front * 1.1, frame.rear * 1.15, 0.56
    shell(asm, frame, rng, colours.soft, arms, rng.uniform(0.008, 0.02))
    base = one_of(rng, "dowel", "dowel", "wire", "metal", "pedestal", "star", "sled")
    frame.splay_side, frame.splay_front, frame.splay_rear = rng.uniform(0.03, 0.08, size=3)
    frame.front, frame.rear, frame.depth = frame.front * 0.8, frame.rear * 0.8, frame.depth * 0.85
    if base == "dowel":
        four_legs(
            asm,
            frame,
            rng,
            colours.frame,
            one_of(rng, "round_taper", "round"),
            0.032,
            one_of(rng, "none", "none", "h"),
        )
    elif base == "metal":
        four_legs(asm, frame, rng, colours.metal, "round", rng.uniform(0.015, 0.024))
    elif base == "wire":
        wire_base(asm, frame, rng, colours.metal)
    elif base == "pedestal":
        pedestal(asm, frame, rng, colours.soft if rng.random() < 0.5 else colours.metal)
    elif base == "star":
        star(asm, frame, rng, colours.metal, pick_colour(rng, "metal"))
    else:
        sled(asm, frame, rng, colours.metal, rng.uniform(0.008, 0.013))


def tubular(asm: Assembly, rng: np.random.Generator) -> None:
    """Bent steel: cantilever, sled or four tubes; board, bent or padded seat and back."""
    frame = any_frame(rng)
    colours = palette(rng, soft=one_of(rng, "leather", "fabric", "plastic", "wood", "straw"))
    radius = rng.uniform(0.009, 0.015)
    frame.bow, frame.thickness = rng.uniform(0.0, 0.06), rng.uniform(0.02, 0.05)
    frame.back_bottom = frame.rear = frame.front * rng.uniform(0.92, 1.0)
    frame.back_top = frame.back_bottom * rng.uniform(0.95, 1.0)
    base = one_of(rng, "cantilever", "cantilever", "sled", "four")
    if base == "cantilever":
        cantilever(asm, frame, rng, colours.metal, radius, bool(rng.random() < 0.25))
    elif base == "sled":
        sled(asm, frame, rng, colours.metal, radius)
    else:
        four_legs(
            asm, frame, rng, colours.metal, "round", 2 * radius, one_of(rng, "none", "h", "box")
        )
    kind = one_of(rng, "bent", "padded", "board", "woven")
    seat(asm, frame, rng, kind, colours.soft, colours.soft)
    low = rng.uniform(0.3, 0.65)
    padded = kind == "padded"
    panel_back(asm, frame, rng, colours.soft, low, 0.045 if padded else 0.014, padded)
    path = frame.back(0.93, np.linspace(-0.05, rng.uniform(0.8, 1.0), 6), -0.02)
    asm.add("back", colours.metal, tube(path, radius, sides=8), both=True)
    if rng.random() < 0.4:
        loop_arms(
            asm,
            frame,
            rng,
            colours.metal,
            colours.frame if rng.random() < 0.5 else pick_colour(rng, "plastic"),
            radius,
        )


def cafe(asm: Assembly, rng: np.random.Generator) -> None:
    """Pressed sheet metal in one paint: splayed legs, framed back with a wide splat."""
    frame, colours = any_frame(rng), palette(rng, one_of(rng, "plastic", "metal"))
    paint = colours.frame
    frame.splay_side, frame.splay_front, frame.splay_rear = rng.uniform(0.02, 0.06, size=3)
    frame.roundness, frame.bow = rng.uniform(0.15, 0.4), rng.uniform(0.02, 0.08)
    frame.back_height = rng.uniform(0.3, 0.42)
    four_legs(
        asm,
        frame,
        rng,
        paint,
        one_of(rng, "square_taper", "round"),
        rng.uniform(0.028, 0.045),
        one_of(rng, "none", "h"),
    )
    seat(asm, frame, rng, one_of(rng, "board", "saddle"), paint, paint)
    post_back(
        asm,
        frame,
        rng,
        one_of(rng, "splat", "two_rails", "slats", "panel"),
        paint,
        paint,
        rng.uniform(0.018, 0.028),
        "round",
    )
    if rng.random() < 0.3:
        loop_arms(asm, frame, rng, paint, paint, 0.011)
