#!/usr/bin/env python3
"""Writes what a keypoint detector might find: a data set's true keypoints with mistakes.

    tools/imitate_detector.py syncrowd/val/annotations.json detected.json
    tools/imitate_detector.py person_keypoints_val2017.json detected.json --jitter 1 --swap 0.1
    tools/eval_seg.py WEIGHTS --dataset syncrowd_val --keypoints detected.json

OUT is a COCO keypoint results JSON. Joints are jittered, lost, taken for the other side's or for a
neighbour's, and people are missed (kp2seg/keypoint_sources/imitated.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keypointnet.command_line import Parser, errors_in_one_line
from keypointnet.files import write_json
from kp2seg.command_line import check_outputs
from kp2seg.data.coco_json import check_coco, read_json
from kp2seg.keypoint_sources.imitated import Mistakes, imitated_results

_ABOUT = {
    "jitter": "spread of joints, in widths of OKS",
    "drop_visible": "share of visible joints that are lost",
    "drop_hidden": "share of hidden joints that are lost",
    "invert": "share of left-right pairs that change sides",
    "swap": "share of joints taken from a neighbour who has one near",
    "miss": "share of people who are not found",
}


def main(words: Sequence[str] | None = None) -> None:
    parser = Parser("imitate_detector", __doc__)
    parser.add_argument("annotations", type=Path, help="COCO keypoint JSON")
    parser.add_argument("out", type=Path, help="COCO results JSON to write")
    for name, value in vars(Mistakes()).items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=float, default=value, help=f"{_ABOUT[name]} ({value:g})")
    parser.add_argument("--seed", type=int, default=0, help="of the mistakes (0)")
    args = parser.parse_args(words)
    with errors_in_one_line("imitate_detector"):
        check_outputs([args.out], [args.annotations])
        mistakes = Mistakes(**{name: getattr(args, name) for name in vars(Mistakes())})
        file = args.annotations
        data = check_coco(read_json(file), file, file.parent, check_images=False)
        data.report.log()
        rows = list(imitated_results(data.coco, data.keypoint_names, mistakes, args.seed))
        write_json(args.out, rows)
    people = len(data.coco["annotations"])
    print(f"{args.out}: {len(rows)} of {people} people")


if __name__ == "__main__":
    main()
