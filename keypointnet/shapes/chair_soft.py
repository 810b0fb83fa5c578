"""Kinds of upholstered chair: dining, office, armchair, sofa, tub, lounge."""

from __future__ import annotations

import numpy as np

from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair_arms import block_arms, frame_arms, loop_arms, office_arms, post_arms
from keypointnet.shapes.chair_backs import block_back, headrest, panel_back
from keypointnet.shapes.chair_bases import block_feet, pedestal, plinth, sled, star
from keypointnet.shapes.chair_frame import Frame
from keypointnet.shapes.chair_legs import four_legs
from keypointnet.shapes.chair_sampling import any_frame, one_of, palette
from keypointnet.shapes.chair_seats import block_cushion, seat
from keypointnet.shapes.chair_shells import tub
from keypointnet.shapes.curves import filleted
from keypointnet.shapes.materials import pick_colour
from keypointnet.shapes.primitives import pillow, tube


def parsons(asm: Assembly, rng: np.random.Generator) -> None:
    """Upholstered dining chair: padded seat, padded panel, plain legs."""
    frame, colours = any_frame(rng), palette(rng, soft=one_of(rng, "fabric", "leather"))
    frame.thickness = rng.uniform(0.06, 0.13)
    frame.back_bottom = frame.rear * rng.uniform(0.9, 1.02)
    frame.back_top = frame.back_bottom * rng.uniform(0.85, 1.15)
    frame.bow = rng.uniform(0, 0.08)
    profile = one_of(rng, "square", "square_taper", "round_taper", "sabre")
    four_legs(asm, frame, rng, colours.frame, profile, rng.uniform(0.03, 0.05))
    seat(asm, frame, rng, "padded", colours.soft, colours.soft)
    low = rng.choice([-frame.thickness / frame.back_height * 0.6, rng.uniform(0.05, 0.35)])
    panel_back(asm, frame, rng, colours.soft, low, rng.uniform(0.04, 0.09), True, colours.frame)
    if rng.random() < 0.3:
        post_arms(asm, frame, rng, colours.frame, colours.soft, 0.035, profile)


def office(asm: Assembly, rng: np.random.Generator) -> None:
    """Swivel chair: star base, padded seat and back, often arms, sometimes a headrest."""
    frame = any_frame(rng)
    colours = palette(rng, "metal", one_of(rng, "fabric", "leather", "leather", "plastic"))
    wheel = pick_colour(rng, "metal")
    frame.seat_y, frame.thickness = rng.uniform(0.43, 0.54), rng.uniform(0.05, 0.11)
    frame.front, frame.depth = rng.uniform(0.44, 0.54), rng.uniform(0.42, 0.5)
    frame.rear = frame.front * rng.uniform(0.88, 1.0)
    frame.roundness, frame.bow = rng.uniform(0.2, 0.7), rng.uniform(0.02, 0.1)
    frame.back_height = rng.uniform(0.38, 0.75)
    frame.back_bottom, frame.back_top = frame.rear * rng.uniform(0.8, 1.02, size=2)
    frame.recline_rad = rng.uniform(0.05, 0.25)
    star(asm, frame, rng, colours.metal if rng.random() < 0.6 else wheel, wheel)
    seat(asm, frame, rng, "padded", colours.soft, colours.soft)
    panel_back(
        asm, frame, rng, colours.soft, rng.uniform(0.04, 0.35), rng.uniform(0.02, 0.1), True, wheel
    )
    if rng.random() < 0.25:
        headrest(asm, frame, rng, colours.soft, wheel)
    kind = rng.random()
    if kind < 0.5:
        office_arms(asm, frame, rng, wheel, wheel)
    elif kind < 0.7:
        loop_arms(asm, frame, rng, wheel, colours.soft, rng.uniform(0.012, 0.02))


def _soft_base(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    wood: np.ndarray,
    metal: np.ndarray,
    half_x: float,
    half_z: float,
) -> None:
    kind = one_of(rng, "feet", "feet", "legs", "plinth", "star", "sled")
    if kind == "feet":
        block_feet(asm, frame, rng, wood, half_x, half_z)
    elif kind == "plinth":
        plinth(asm, frame, wood, half_x, half_z)
    else:
        under = Frame(
            **{**frame.__dict__, "front": 2 * half_x, "rear": 2 * half_x, "depth": 2 * half_z}
        )
        if kind == "legs":
            four_legs(asm, under, rng, wood, one_of(rng, "round_taper", "square_taper"), 0.045)
        elif kind == "sled":
            sled(asm, under, rng, metal, 0.011)
        elif frame.under_y > 0.17:
            star(asm, frame, rng, metal, metal)
        else:
            pedestal(asm, frame, rng, metal)


def club(asm: Assembly, rng: np.random.Generator) -> None:
    """Armchair: upholstered arms and back round thick cushions, wings now and then."""
    _upholstered(asm, rng, 1, rng.uniform(0.24, 0.33))


def sofa(asm: Assembly, rng: np.random.Generator) -> None:
    """Sofa for two or three, built as the armchair is."""
    places = int(rng.integers(2, 4))
    _upholstered(asm, rng, places, places * rng.uniform(0.25, 0.34))


def _upholstered(asm: Assembly, rng: np.random.Generator, places: int, half_x: float) -> None:
    colours = palette(rng, "wood", one_of(rng, "fabric", "leather", "fabric"))
    trim = colours.soft if rng.random() < 0.6 else pick_colour(rng, "fabric")
    depth = rng.uniform(0.48, 0.62)
    base_y = rng.uniform(0.06, 0.24)
    seat_y = max(rng.uniform(0.36, 0.46), base_y + 0.15)
    frame = Frame(
        seat_y=seat_y,
        depth=depth,
        front=2 * half_x,
        rear=2 * half_x,
        thickness=seat_y - base_y,
        back_height=rng.uniform(0.28, 0.7 if places == 1 else 0.5),
        recline_rad=rng.uniform(0.02, 0.25),
        splay_side=rng.uniform(0, 0.03),
    )
    if rng.random() < 0.25:
        _tube_cage(asm, frame, rng, colours.metal, colours.soft)
        return
    arms = rng.random() < 0.88
    arm = rng.uniform(0.07, 0.2) if arms else 0.0
    back = rng.uniform(0.1, 0.22)
    half_z = depth / 2
    cushion_y = rng.uniform(0.1, 0.17)
    body = (2 * half_x, seat_y - cushion_y - base_y, depth + back * 0.5)
    asm.add("seat", colours.soft, pillow(body, (0, base_y + body[1] / 2, back * 0.25), 0.015))
    overhang = rng.uniform(-0.01, 0.05)
    cushion = (2 * half_x, cushion_y, depth + overhang)
    block_cushion(asm, cushion, (0, seat_y - cushion_y / 2, -overhang / 2), rng, trim, places)
    top = seat_y + frame.back_height
    back_half = half_x + (arm if rng.random() < 0.5 else 0)
    arm_top = seat_y + rng.uniform(0.1, 0.24)
    winged = arms and frame.back_height > 0.5 and rng.random() < 0.5
    block_back(
        asm,
        frame,
        rng,
        colours.soft,
        back_half,
        half_z,
        back,
        base_y + 0.01,
        top,
        places if rng.random() < 0.5 else 0,
        trim,
        arm_top - 0.03 if winged else None,
    )
    if arms:
        block_arms(
            asm,
            frame,
            rng,
            colours.soft,
            half_x,
            arm,
            (-half_z + rng.uniform(-0.02, 0.05), half_z + back * 0.6),
            arm_top,
        )
    _soft_base(
        asm, frame, rng, colours.frame, colours.metal, half_x + arm * 0.7, half_z + back * 0.4
    )


def _tube_cage(
    asm: Assembly, frame: Frame, rng: np.random.Generator, metal: np.ndarray, soft: np.ndarray
) -> None:
    """Loose blocks for seat, arms and back, held by a cage of steel tube."""
    half_x, half_z, radius = frame.front / 2, frame.depth / 2, rng.uniform(0.01, 0.018)
    arm, back = rng.uniform(0.09, 0.16), rng.uniform(0.1, 0.18)
    low, seat_y = rng.uniform(0.08, 0.16), frame.seat_y
    top = seat_y + rng.uniform(0.12, 0.26)
    block_cushion(
        asm, (2 * half_x, seat_y - low, frame.depth), (0, (seat_y + low) / 2, 0), rng, soft
    )
    asm.add(
        "arms",
        soft,
        pillow((arm, top - low, frame.depth), (half_x + arm / 2, (top + low) / 2, 0), 0.035),
        both=True,
    )
    rise = rng.choice([0.0, rng.uniform(0.05, 0.2)])
    asm.add(
        "back",
        soft,
        pillow(
            (2 * half_x + 2 * arm * (rise == 0), top + rise - low, back),
            (0, (top + rise + low) / 2, half_z + back / 2),
            0.035,
        ),
    )
    x, front, rear = half_x + arm + radius, -half_z - radius, half_z + back + radius
    rail = top - rng.uniform(0.0, 0.05)
    rear_rail = rail - rng.choice([0.0, 0.1])
    corners = [[x, low, front], [x, rail, front], [x, rear_rail, rear], [x, low, rear]]
    asm.add("arms", metal, tube(filleted(corners, 0.06), radius, sides=8), both=True)
    for z in (front, rear):
        asm.add("legs", metal, tube([[x, 0, z], [x, low, z]], radius, sides=8), both=True)
        asm.add("legs", metal, tube([[-x, low, z], [x, low, z]], radius * 0.8, sides=8))
    behind = [[-x, rear_rail - 0.06, rear], [x, rear_rail - 0.06, rear]]
    asm.add("back", metal, tube(behind, radius * 0.8, sides=8))
    asm.add(
        "legs", metal, tube([[x, low, front], [x, low, rear]], radius * 0.8, sides=8), both=True
    )


def tub_chair(asm: Assembly, rng: np.random.Generator) -> None:
    """Barrel chair: one padded wall round a round-cornered seat."""
    frame, colours = any_frame(rng), palette(rng, soft=one_of(rng, "fabric", "leather", "straw"))
    frame.front = frame.rear = rng.uniform(0.46, 0.6)
    frame.depth = rng.uniform(0.44, 0.56)
    frame.seat_y, frame.thickness = rng.uniform(0.38, 0.46), rng.uniform(0.1, 0.25)
    frame.roundness, frame.back_height = rng.uniform(0.5, 0.95), rng.uniform(0.25, 0.45)
    tub(asm, frame, rng, colours.soft, rng.uniform(0.03, 0.12))
    seat(
        asm,
        frame,
        rng,
        "padded",
        colours.soft,
        colours.soft if rng.random() < 0.6 else pick_colour(rng, "fabric"),
    )
    frame.splay_side = frame.splay_front = rng.uniform(0, 0.05)
    _soft_base(
        asm,
        frame,
        rng,
        colours.frame,
        colours.metal,
        frame.front / 2 * 0.85,
        frame.depth / 2 * 0.85,
    )


def lounge(asm: Assembly, rng: np.random.Generator) -> None:
    """Low, leaning, an open wooden frame with loose cushions."""
    colours = palette(rng, soft=one_of(rng, "fabric", "leather"))
    half_x = rng.uniform(0.25, 0.33) * (rng.uniform(1.8, 2.6) if rng.random() < 0.2 else 1)
    frame = Frame(
        seat_y=rng.uniform(0.3, 0.42),
        depth=rng.uniform(0.5, 0.64),
        front=2 * half_x,
        rear=2 * half_x,
        thickness=rng.uniform(0.1, 0.16),
        bow=0.0,
        back_height=rng.uniform(0.36, 0.62),
        back_bottom=2 * half_x,
        back_top=2 * half_x,
        recline_rad=rng.uniform(0.2, 0.5),
    )
    size = rng.uniform(0.03, 0.06)
    frame_arms(asm, frame, rng, colours.frame, size, half_x)
    asm_height = frame.thickness
    block_cushion(
        asm,
        (2 * half_x - 0.01, asm_height, frame.depth),
        (0, frame.seat_y - asm_height / 2, 0),
        rng,
        colours.soft,
    )
    panel_back(
        asm,
        frame,
        rng,
        colours.soft,
        rng.uniform(-0.1, 0.02),
        rng.uniform(0.08, 0.14),
        True,
        colours.frame,
    )
    if rng.random() < 0.5:
        asm.tilt(rng.uniform(0.02, 0.08))
