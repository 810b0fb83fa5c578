#!/usr/bin/env python3
r"""Says how well discovered keypoints predict annotated ones, by a linear map between them.

    tools/regress_landmarks.py found_train.json train.json found_test.json test.json
    tools/regress_landmarks.py found_train.json train.json found_test.json test.json \
        --out results.json --pictures sheets --images data/scenes/test/images
    tools/regress_landmarks.py --direct found_test.json test.json

FOUND is of tools/discover.py, TRUE the data set with annotated keypoints that it was given. Use
--min-confidence 0 --min-on-object 0 there, for a point that does not count tells nothing here, and
for FOUND_TEST --like FOUND_TRAIN. The map is fitted to TRAIN and scored on TEST: for each joint
that is annotated (visibility above 0), the share within 0.1 of the longer side of the object's box,
and the mean distance in longer sides. Beside it: the mean place in the box, without looking.

--direct takes the points of FOUND as the joints of the same names, without a map.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keypointnet.command_line import Parser, errors_in_one_line, output_file
from keypointnet.drawing import contact_sheet, read_picture, save_picture
from keypointnet.files import write_json
from kp2seg.command_line import check_outputs
from kp2seg.drawing import cut_out_object, draw_people
from kp2seg.evaluation.landmarks import (
    PCK,
    LandmarkMap,
    Landmarks,
    check_names,
    in_picture,
    matched,
    mean_places,
    only_points,
    read_landmarks,
    score,
)

_NAMES = ("FOUND_TRAIN", "TRUE_TRAIN", "FOUND_TEST", "TRUE_TEST")
_TILES, _COLUMNS, _TILE_PX = 32, 8, 192


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("regress_landmarks", __doc__)
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar=" ".join(_NAMES), help="or, with --direct, TEST's")
    add("--direct", action="store_true", help="FOUND's points are called as TRUE's; no map")
    add("--out", type=output_file, help="JSON to write")
    add("--pictures", type=Path, metavar="FOLDER", help="draw some test objects: the true joints "
        "dark red, the predicted ones cyan")  # fmt: skip
    add("--images", type=Path, help="folder of the test pictures (images/ beside TRUE_TEST)")
    args = parser.parse_intermixed_args(words)
    wanted = _NAMES[2:] if args.direct else _NAMES
    if len(args.files) != len(wanted):
        parser.error(f"expected {' '.join(wanted)}; got {' '.join(map(str, args.files))}")
    return args


def run(args: argparse.Namespace) -> None:
    check_outputs([args.out] if args.out else [], args.files)
    found_test, true_test = map(read_landmarks, args.files[-2:])
    about: dict[str, Any] = {"files": list(map(str, args.files)), "direct": args.direct}
    trivial = None
    if args.direct:
        found, true, missing = matched(only_points(found_test, true_test.names), true_test)
        predicted = found.in_box
        note = f"of {share(np.isfinite(predicted[..., 0]))} of the points, which count"
    else:
        found_train, true_train = map(read_landmarks, args.files[:2])
        check_names(found_train, found_test, "make it with discover.py --like FOUND_TRAIN")
        check_names(true_train, true_test, "both are to be annotated alike")
        first, truth, left_out = matched(found_train, true_train)
        found, true, missing = matched(found_test, true_test)
        predicted = LandmarkMap(first, truth)(found)
        trivial = score(np.broadcast_to(mean_places(truth), predicted.shape), true)
        both = np.concatenate([first.points, found.points])[..., 0]
        note = (
            f"fitted to {len(first)} objects ({left_out} were not found) from "
            f"{len(found.names)} points, of which {share(np.isfinite(both))} count"
        )
    scores = score(predicted, true)
    print(f"{len(true)} test objects ({missing} were not found); {note}")
    print(table(scores, trivial))
    if args.out:
        write_json(args.out, {**about, "pck_within": PCK, "scores": scores, "trivial": trivial})
    if args.pictures:
        images = args.images or args.files[-1].parent / "images"
        args.pictures.mkdir(parents=True, exist_ok=True)
        sheet = args.pictures / "joints.png"
        save_picture(sheet, drawn(in_picture(predicted, true.boxes), true, images))
        print(sheet)


def table(scores: dict[str, Any], trivial: dict[str, Any] | None) -> str:
    """For each joint, and for all: PCK and error, those of the trivial predictor, how many."""
    head = ["", f"PCK@{PCK:g}", "error", *(["mean: PCK", "error"] if trivial else []), "objects"]
    rows = [head]
    for name, one in scores.items():
        both = [one, *([trivial[name]] if trivial else [])]
        figures = [text for each in both for text in (percent(each["pck"]), part(each["error"]))]
        rows.append([name, *figures, str(one["objects"])])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *figures in rows:
        cells = [value.rjust(width) for value, width in zip(figures, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *cells]))
    return "\n".join(lines)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def part(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def share(counts: np.ndarray) -> str:
    return percent(float(counts.mean()))


def drawn(predicted_px: np.ndarray, true: Landmarks, images: Path) -> np.ndarray:
    """A sheet of objects from the whole data set with true and predicted joints."""
    tiles = []
    for i in range(0, len(true), max(1, len(true) // _TILES)):
        picture = read_picture(images / true.images[int(true.image_ids[i])])
        poses = np.stack([true.points[i], predicted_px[i]])
        # a joint that is not annotated is not drawn, nor is its prediction
        there = np.isfinite(poses).all(axis=-1) & np.isfinite(true.points[i, :, 0])
        if not there[0].any():
            continue
        poses = np.concatenate([poses + 0.5, there[..., None]], axis=-1)  # from COCO's pixels
        masks = np.zeros((2, *picture.shape[:2]), bool)
        both = draw_people(picture, masks, poses, true.connections)
        tiles.append(cut_out_object(both, poses[0], _TILE_PX))
    tiles = tiles[:_TILES]
    return contact_sheet(tiles, min(_COLUMNS, len(tiles)))


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    with errors_in_one_line("regress_landmarks"):
        run(args)


if __name__ == "__main__":
    main()
