"""Flags that several tools share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from kp2seg import zoo
from kp2seg.keypoint_sources.discovered import Finding

_ABOUT = {
    "context": "side of a crop, in longer sides of the box",
    "min_confidence": "of a point that counts",
    "min_on_object": "share of a point's probability on the object",
    "corners": "add the corners of the box to the keypoints",
}


def add_finding(parser: argparse.ArgumentParser) -> None:
    """--context, --min-confidence, --min-on-object, --corners; read by `finding_of`."""
    for name, value in vars(Finding()).items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            parser.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=value, help=_ABOUT[name]
            )
            continue
        parser.add_argument(flag, type=float, default=value, help=f"{_ABOUT[name]} ({value:g})")


def finding_of(args: argparse.Namespace) -> Finding:
    """What `add_finding`'s flags say. Raises: ValueError: a value that cannot be."""
    return Finding(**{name: getattr(args, name) for name in vars(Finding())})


def add_network(parser: argparse.ArgumentParser, *others: str) -> None:
    """CHECKPOINT and the paths after it, and --model in its place; read by `network_of`.

    Args:    others: names of the other paths.
    """
    names = " ".join(["CHECKPOINT", *others])
    parser.add_argument("paths", nargs="+", type=Path, metavar=names, help="or --model without it")
    known = ", ".join(zoo.names("keypoints"))
    parser.add_argument("--model", help=f"weights that come with kp2seg: {known}")
    parser.set_defaults(path_names=others)


def network_of(args: argparse.Namespace) -> list[Path]:
    """The checkpoint and the other paths that `add_network`'s flags name.

    Raises: ValueError: too few or too many.  ValueError, CheckpointError: of `zoo.path`.
    """
    names = " ".join(args.path_names)
    if len(args.paths) != len(args.path_names) + (args.model is None):
        expected = names if args.model else f"CHECKPOINT {names}, or --model"
        raise ValueError(f"expected {expected}; got {' '.join(map(str, args.paths))}")
    first = [zoo.path(args.model, "keypoints")] if args.model else []
    return [*first, *args.paths]


def add_masks(parser: argparse.ArgumentParser) -> None:
    """--model: masks' weights that come with kp2seg, for `zoo.path(args.model, "masks")`."""
    known = ", ".join(zoo.names("masks"))
    parser.add_argument("--model", help=f"weights that come with kp2seg: {known}")


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path | None]) -> None:
    """Raises ValueError if a result would replace what it is made of."""
    given = {path.resolve() for path in inputs if path is not None}
    for path in outputs:
        if path.resolve() in given:
            raise ValueError(f"{path}: would be replaced by the result; choose another name for it")
