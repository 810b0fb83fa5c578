"""Small collections in ShapeNet's layout, and a WordNet of a few nouns, written by hand."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

BOX = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"

CHAIR, SWIVEL, ARMCHAIR, TABLE = "03001627", "04373704", "02738535", "04379243"
TAXONOMY = [
    {"synsetId": CHAIR, "name": "chair", "children": [ARMCHAIR, SWIVEL], "numInstances": 6778},
    {"synsetId": ARMCHAIR, "name": "armchair", "children": [], "numInstances": 1995},
    {"synsetId": SWIVEL, "name": "swivel chair", "children": ["20000027"], "numInstances": 521},
    {"synsetId": "20000027", "name": "drafting_chair,high one", "children": []},
    {"synsetId": TABLE, "name": "table,board", "children": [], "numInstances": 8443},
]
COLUMNS = ["fullId", "wnsynset", "wnlemmas", "up", "front", "name", "tags"]


def write_models(root: Path, ids: Sequence[str], v2: bool = True) -> Path:
    for name in ids:
        path = root / name / ("models/model_normalized.obj" if v2 else "model.obj")
        path.parent.mkdir(parents=True)
        path.write_text(BOX)
    return root


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def write_core(root: Path, v2: bool = True, taxonomy: object = TAXONOMY) -> Path:
    """Four chairs, two of them swivel chairs by all.csv and one by a tag, and a table."""
    write_models(root, [f"{CHAIR}/{name}" for name in "abcd"] + [f"{TABLE}/t"], v2)
    (root / "taxonomy.json").write_text(json.dumps(taxonomy))
    rows = [
        ["000001", CHAIR, SWIVEL, "a", "train"],
        ["000002", CHAIR, "20000027", "b", "train"],
        ["000003", CHAIR, CHAIR, "c", "test"],
        ["000004", CHAIR, ARMCHAIR, "d", "train"],
        ["000005", TABLE, TABLE, "t", "train"],
        ["000006", TABLE, TABLE, "not here", "train"],
    ]
    write_csv(root / "all.csv", ["id", "synsetId", "subSynsetId", "modelId", "split"], rows)
    up = r"0.0\,0.0\,1.0"
    described = [
        ["3dw.c", CHAIR, "chair", up, up, "Aeron", "swivel chair,office,mesh"],
        ["3dw.d", CHAIR, "chair", up, up, "*", ""],
    ]
    write_csv(root / f"{CHAIR}.csv", COLUMNS, described)
    return root


NOUNS = {
    # name: (gloss, hypernym, parts); "artifact" gets WordNet's own offset
    "entity": ("that which is", None, []),
    "artifact": ("a man-made object", "entity", ["cut"]),
    "cut": ("a piece cut off", "artifact", []),
    "seat": ("furniture for sitting on", "artifact", ["cushion"]),
    "cushion": ("a soft bag", "artifact", []),
    "base": ("a flat bottom", "artifact", []),
    "backrest": ("a support", "artifact", []),
    "chair": ("a seat for one person", "seat", ["backrest"]),
    "office_chair": ('a chair that turns on its wide base; "its cushion is new"', "chair", []),
    "glass_chair": ("a chair of glass", "chair", []),
}


def write_wordnet(folder: Path, version: str = "3.0") -> dict[str, str]:
    """The nouns above in WordNet's format. Returns: name -> id."""
    folder.mkdir(parents=True)
    head = f"  1 WordNet {version} Copyright 2006 by nobody\n"
    width = 400
    ids = {name: 21939 + width * i for i, name in enumerate(n for n in NOUNS if n != "entity")}
    ids["entity"] = 1740
    kinds = {name: [k for k, v in NOUNS.items() if v[1] == name] for name in NOUNS}
    data = bytearray(b" " * (21939 + width * len(NOUNS)))
    data[: len(head)] = head.encode()
    for name, (gloss, hypernym, parts) in NOUNS.items():
        pointers = [("@", hypernym)] if hypernym else []
        pointers += [("~", kind) for kind in kinds[name]] + [("%p", part) for part in parts]
        written = " ".join(f"{sign} {ids[to]:08d} n 0000" for sign, to in pointers)
        line = f"{ids[name]:08d} 06 n 01 {name} 0 {len(pointers):03d} {written} | {gloss}  \n"
        assert len(line) <= width
        data[ids[name] : ids[name] + len(line)] = line.encode()
    (folder / "data.noun").write_bytes(bytes(data))
    index = [f"{name} n 1 1 @ 1 0 {ids[name]:08d}  \n" for name in sorted(NOUNS)]
    (folder / "index.noun").write_text("".join(index))
    (folder / "noun.exc").write_text("glasses_chair glass_chair\n")
    return {name: f"{offset:08d}" for name, offset in ids.items()}
