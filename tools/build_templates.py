#!/usr/bin/env python3
"""Builds pose templates from a COCO keypoint JSON, and draws them.

    tools/build_templates.py person_keypoints_train2017.json templates.json
    tools/build_templates.py chairs.json chair_templates.json --k auto --k-max 6

Writes OUT and, beside it, a picture of the templates (OUT with .png).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from keypointnet.command_line import Parser, at_least_one, errors_in_one_line
from keypointnet.drawing import save_picture
from kp2seg.template_drawing import draw_templates
from kp2seg.templates import (
    TemplateError,
    best_k,
    fit_templates,
    read_poses,
    save_templates,
    silhouette_by_k,
)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser("build_templates", __doc__)
    add = parser.add_argument
    add("dataset", type=Path, help="COCO keypoint JSON, annotated or discovered")
    add("out", type=Path, help="templates.json to write")
    add(
        "--k",
        type=count_or_auto,
        default=3,
        help="how many clusters, or auto: by silhouette score (3)",
    )
    add("--k-max", type=int, default=8, help="auto tries 2 to this (8)")
    add(
        "--min-points",
        type=int,
        help="visible keypoints that a pose needs (8; for few keypoints half, at least 3)",
    )
    add(
        "--vis-threshold",
        type=float,
        default=0.4,
        help="a template lacks the points of a lower mean visibility (0.4)",
    )
    add(
        "--mirror",
        choices=("true", "labels", "none"),
        default="true",
        help="true: cluster the mirror images too; labels: besides, double the templates by "
        "exchanging left and right names; none (true)",
    )
    add("--category", help="category to take, where several have keypoints")
    add("--seed", type=int, default=0, help="of the K-means (0)")
    restarts = "restarts of the K-means; the best is kept (10)"
    add("--n-init", type=at_least_one, default=10, help=restarts)
    args = parser.parse_args(arguments)
    if args.out.suffix.lower() == ".png":
        parser.error(f"{args.out}: is where the picture would go; name the JSON")
    if args.seed < 0:
        parser.error(f"--seed: expected 0 or more, got {args.seed}")
    if not 0 <= args.vis_threshold <= 2:
        parser.error(f"--vis-threshold: expected 0 to 2, got {args.vis_threshold}")
    return args


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    with errors_in_one_line("build_templates", TemplateError):
        found = read_poses(args.dataset, category=args.category, min_points=args.min_points)
        print(f"{args.dataset}: {len(found.poses)} poses of {len(found.names)} keypoints")
        for reason, n in found.left_out.items():
            print(f"  left out: {n} ({reason})")
        pairs = ", ".join(f"{left} - {right}" for left, right in found.flip_map.items())
        print(f"  left and right: {pairs or 'none, mirrored geometrically'}")
        same = {"min_points": found.min_points, "mirror": args.mirror}
        same |= {"seed": args.seed, "n_init": args.n_init}
        k = args.k
        if k == "auto":
            scores = silhouette_by_k(
                found.poses, found.names, found.flip_map, k_max=args.k_max, **same
            )
            k = best_k(scores)
            for candidate, score in scores.items():
                print(f"  k {candidate}: silhouette {score:.3f}{' <-' if candidate == k else ''}")
        templates = fit_templates(
            found.poses,
            found.names,
            found.connections,
            found.flip_map,
            k=k,
            vis_threshold=args.vis_threshold,
            **same,
        )
        picture = args.out.with_suffix(".png")
        args.out.parent.mkdir(parents=True, exist_ok=True)
        save_templates(args.out, templates)
        save_picture(picture, draw_templates(templates))
    print(f"{args.out}: {len(templates.templates)} templates; drawn in {picture}")


def count_or_auto(text: str) -> int | str:
    return text if text == "auto" else at_least_one(text)


if __name__ == "__main__":
    main()
