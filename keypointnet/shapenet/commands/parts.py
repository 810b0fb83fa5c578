"""Prints a model's tree of parts; finds which are the same in another model.

    tools/shapenet.py parts model.obj
    tools/shapenet.py parts chair:7-8 --other chair:9-10 --picture parts.png
    tools/shapenet.py parts chair:7-8 --class armchair

MODEL is a mesh or the folder of one (an OBJ's groups are its parts, or else what hangs together), a
PartNet folder with result.json, a ShapeNetPart cloud (.pts with its .seg, or .txt), or a parametric
model. Lengths are those of the object frame, whose longest side is 2; centimetres, kilograms and
materials come from ShapeNetSem's metadata.csv, which --metadata names or which lies above a model.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keypointnet.command_line import at_least_one, output_file, output_picture
from keypointnet.files import write_json
from keypointnet.listing import listed
from keypointnet.shapenet.part_correspondence import Correspondence, correspond
from keypointnet.shapenet.part_meronyms import link_lines, link_meronyms, wordnet_meronyms
from keypointnet.shapenet.parts import tree_json, tree_lines
from keypointnet.shapenet.parts_metadata import KG_PER_UNIT
from keypointnet.shapenet.parts_obj import WAYS
from keypointnet.shapenet.parts_reading import read_parts
from keypointnet.shapenet.wordnet import open_wordnet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODEL, and what to compare, draw and write."""
    parser.add_argument("model", help="whose parts")
    parser.add_argument("--other", metavar="MODEL", help="another of its class, to be compared")
    parser.add_argument("--by", choices=WAYS, default="auto", help="how a mesh is taken apart")
    parser.add_argument("--labels", type=Path, metavar="SEG", help="of a .pts, if not beside it")
    parser.add_argument("--metadata", type=Path, metavar="CSV", help="ShapeNetSem's metadata.csv")
    parser.add_argument(
        "--weight-unit", choices=KG_PER_UNIT, default="N", help="of its column weight (default: N)"
    )
    parser.add_argument(
        "--class", dest="word", metavar="WORD", help="say which names are WordNet's parts of WORD"
    )
    parser.add_argument("--wordnet", type=Path, metavar="DIR", help="where its database is")
    parser.add_argument("--leaves", action="store_true", help="compare leaves, not level by level")
    parser.add_argument("--no-names", action="store_true", help="compare by shape alone")
    parser.add_argument(
        "--most", type=at_least_one, default=24, metavar="N", help="children shown of one part"
    )
    parser.add_argument(
        "--picture", type=output_picture, metavar="PNG", help="draw the parts in colours"
    )
    parser.add_argument(
        "--json", type=output_file, metavar="OUT", help="write the tree, and the matches"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the tree, then the matches with --other."""
    read = {"by": args.by, "metadata": args.metadata, "weight_unit": args.weight_unit}
    root = read_parts(args.model, labels=args.labels, **read)
    print("\n".join(tree_lines(root, args.most)))
    for note in root.notes:
        print(f"  {note}")
    value: dict[str, Any] = {"model": tree_json(root)}
    if args.word is not None:
        wordnet = open_wordnet(args.wordnet)
        if not wordnet.senses(args.word):
            raise ValueError(f"--class {args.word}: WordNet has no such noun")
        links = link_meronyms(root, [args.word], wordnet_meronyms(wordnet))
        print("\n".join(link_lines(links)))
        value["meronyms"] = asdict(links)
    other, found = None, None
    if args.other is not None:
        other = read_parts(args.other, **read)
        found = correspond(root, other, leaves=args.leaves, names=not args.no_names)
        print()
        print("\n".join(tree_lines(other, args.most)))
        for note in other.notes:
            print(f"  {note}")
        print()
        print("\n".join(_match_lines(found, args.most)))
        value |= {"other": tree_json(other), "correspondence": _match_json(found)}
    if args.json is not None:
        write_json(args.json, value)
        print(f"wrote {args.json}")
    if args.picture is not None:
        # The drawing needs a graphics system and torch, which other uses of this tool do not.
        from keypointnet.drawing import save_picture
        from keypointnet.shapenet.part_drawing import draw_correspondence, draw_parts

        if other is not None and found is not None:
            save_picture(args.picture, draw_correspondence(root, other, found))
        else:
            save_picture(args.picture, draw_parts(root))
        print(f"wrote {args.picture}")
    return 0


def _match_lines(found: Correspondence, most: int) -> list[str]:
    lines = [
        f"{match.first.name} = {match.second.name} ({match.by}, {match.score:.2f})"
        for match in found.matches[:most]
    ]
    if len(found.matches) > most:
        lines.append(f"and {len(found.matches) - most} more")
    for title, parts in (("first", found.only_first), ("other", found.only_second)):
        if parts:
            names = listed([part.name for part in parts], most)
            lines.append(f"only in the {title}: {names}")
    return lines or ["no parts to compare"]


def _match_json(found: Correspondence) -> dict[str, Any]:
    return {
        "matches": [
            {
                "first": match.first.name,
                "second": match.second.name,
                "score": round(match.score, 6),
                "by": match.by,
            }
            for match in found.matches
        ],
        "only_first": [part.name for part in found.only_first],
        "only_second": [part.name for part in found.only_second],
    }
