"""Finds planes and axes of symmetry, and says whether a class needs an orientation network.

    tools/shapenet.py symmetry data/models/chairs --out symmetry.json --picture symmetry.png

Prints a line for each model: its planes, by the direction that they mirror, and its axes with their
order, each with the share of the surface that it maps onto itself; and how much of the surface the
mirror image in x covers, symmetry or not. Last, whether the class needs the orientation network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from keypointnet.command_line import output_file, output_picture
from keypointnet.files import write_json
from keypointnet.progress import progress_bar
from keypointnet.shapenet.models import Model, ModelError, load_model
from keypointnet.shapenet.orientation_need import Looks, looks_of, needs_orientation_network
from keypointnet.shapenet.selection import find_selected
from keypointnet.shapenet.symmetry import Symmetries, find_symmetries


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODELS [--out JSON] [--picture PNG]."""
    parser.add_argument("models", type=Path, help="a ShapeNetCore tree, a folder, or one mesh")
    parser.add_argument("--out", type=output_file, metavar="JSON", help="write what was found")
    parser.add_argument(
        "--picture",
        type=output_picture,
        metavar="PNG",
        help="draw the models with their planes and axes",
    )


def run(args: argparse.Namespace) -> int:
    """Prints, and writes what was asked for. Returns 1 where no model can be read."""
    found: dict[str, Symmetries] = {}
    looks: dict[str, Looks] = {}
    tiles = []
    bar = progress_bar(find_selected(args.models), desc="symmetry", unit="model")
    for ref in bar:
        try:
            model = load_model(ref)
            symmetries, look = find_symmetries(model.meshes), looks_of(model.meshes)
        except ModelError as error:
            bar.write(str(error))
            continue
        except ValueError as error:  # specks only, too small to be sampled
            bar.write(f"model {ref.id} ({ref.path}): {error}")
            continue
        found[model.id], looks[model.id] = symmetries, look
        if args.picture:
            tiles.append(_tile(model, symmetries))
        # at once: whoever stops a long run keeps what was found
        bar.write(f"{model.id}: {_line(symmetries)}; left as right {look.left_right:.1%}")
    if not found:
        return 1
    need = needs_orientation_network(list(looks.values()))
    print(
        f"{args.models}: {need.models} models, {need.mirrored:.0%} look mirror-symmetric in x, "
        f"{need.front_is_back:.0%} of these the same from behind"
    )
    print(f"orientation network: {'needed' if need.needed else 'not needed'}: {need.reason}")
    if need.needed and need.may_mirror:
        print("  data.augmentation.mirror and model.orientation_mirrored are sound")
    if args.out:
        models = {
            name: {**symmetries.as_json(), "left_right": round(looks[name].left_right, 4)}
            for name, symmetries in found.items()
        }
        write_json(args.out, {"orientation_network": vars(need), "models": models})
        print(f"written: {args.out}")
    if args.picture:
        from keypointnet.drawing import contact_sheet, save_picture

        columns = int(np.ceil(np.sqrt(1.6 * len(tiles))))
        save_picture(args.picture, contact_sheet(tiles, columns))
        print(f"written: {args.picture}")
    return 0


def _tile(model: Model, found: Symmetries) -> np.ndarray:
    # Pictures need torch, which the other subcommands need not wait for.
    from keypointnet.shapenet.symmetry_picture import draw_symmetries

    return draw_symmetries(model, found)


def _line(found: Symmetries) -> str:
    if found.spherical:
        return "a sphere"
    parts = [f"plane {_name(plane.normal)} ({plane.score:.1%})" for plane in found.planes]
    parts += [
        f"axis {_name(axis.direction)} of any angle ({axis.score:.1%})"
        if axis.order is None
        else f"axis {_name(axis.direction)} of order {axis.order} ({axis.score:.1%})"
        for axis in found.axes
    ]
    return ", ".join(parts) or "none"


def _name(direction: np.ndarray) -> str:
    """X, y or z where it is within 2 degrees of one, else three numbers."""
    k = int(np.argmax(np.abs(direction)))
    if abs(direction[k]) > np.cos(np.radians(2.0)):
        return "xyz"[k]
    return "(" + " ".join(f"{value:.2f}" for value in direction) + ")"
