"""Free models of chairs, aeroplanes and cars, fetched and converted to ShapeNetCore's v2 layout.

OUT/<synset>/<model id>/models/model_normalized.obj, OUT/attribution.json, OUT/ATTRIBUTION.md,
OUT/split.json, and OUT/report.json with what was left out and why.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keypointnet.files import write_json
from keypointnet.progress import progress_bar
from keypointnet.shapenet import aeroplanes, cars, chairs, sweethome3d
from keypointnet.shapenet.debian_packages import unpacked_package
from keypointnet.shapenet.models import Model, ModelError, ModelRef, load_model, normalise_model
from keypointnet.shapenet.near_duplicates import NEAR_DUPLICATE, shape_distance, shape_signature
from keypointnet.shapenet.splits import split_models
from keypointnet.shapenet.writing import write_shapenet_model

SALT = "kp2seg"
DUPLICATES = "left out of training as near-duplicates of test models"


@dataclass(frozen=True)
class Candidate:
    """A model that a package offers. read() gives it in the object frame, in a scratch folder."""

    id: str
    read: Callable[[Path], Model]
    attribution: dict[str, str]
    train_only: bool = False
    family: str = ""  # models of one family are on one side of the split


@dataclass(frozen=True)
class FreeClass:
    """A class of free models: where they come from and how many are kept for testing."""

    name: str
    synset: str
    packages: tuple[str, ...]
    candidates: Callable[[dict[str, Path], bool], list[Candidate]]
    n_test: int
    left_out: dict[str, str]  # what the packages offer and the class does not take, with reasons


def fetch_free_models(
    name: str,
    out: Path,
    cache: Path | None = None,
    debs: Sequence[Path] = (),
    more: bool = False,
) -> dict[str, object]:
    """Fetch, convert and split one class; what a former call finished is kept.

    Args:    name: a key of CLASSES.  out: the folder to write.  cache: for packages (OUT/.cache).
             debs: packages fetched by hand.  more: also what is good for training only.
    Returns: the content of OUT/report.json: counts, and each model left out with its reason.
    Raises:  ValueError: unknown class.  PackageError: a package cannot be had.
    """
    if name not in CLASSES:
        raise ValueError(f"unknown class {name}: expected one of {', '.join(sorted(CLASSES))}")
    wanted = CLASSES[name]
    cache = cache or out / ".cache"
    folders = {package: unpacked_package(package, cache, debs) for package in wanted.packages}
    offered = wanted.candidates(folders, more)
    kept, failed = _convert(offered, out / wanted.synset, cache / "scratch")
    attribution = {f"{wanted.synset}/{c.id}": c.attribution for c in kept}
    rule = f"{SALT}-{name}, {wanted.n_test} for test, near-duplicates within {NEAR_DUPLICATE}"
    known = _known_split(out, rule, set(attribution))
    split, duplicates = known or _split(wanted, kept, out)
    write_json(out / "attribution.json", attribution)
    (out / "ATTRIBUTION.md").write_text(attribution_page(name, attribution), encoding="utf-8")
    write_json(out / "split.json", split)
    report: dict[str, object] = {
        "models": len(kept),
        "train": len(split["train"]),
        "test": len(split["test"]),
        "failed": failed,
        "left out": wanted.left_out,
        DUPLICATES: duplicates,
        "split rule": rule,
    }
    write_json(out / "report.json", report)
    return report


def _convert(
    offered: Sequence[Candidate], folder: Path, scratch: Path
) -> tuple[list[Candidate], dict[str, str]]:
    kept, failed = [], {}
    for candidate in progress_bar(offered, desc="models", unit="model"):
        target = folder / candidate.id
        if not (target / "models" / "model_normalized.obj").is_file():
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            try:
                model = candidate.read(scratch)
            except ModelError as error:
                failed[candidate.id] = str(error)
                continue
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
            write_shapenet_model(model, target)
        kept.append(candidate)
    return kept, failed


def _known_split(
    out: Path, rule: str, ids: set[str]
) -> tuple[dict[str, list[str]], list[str]] | None:
    """The split that a former call wrote, if it was made by the same rule for the same models."""
    try:
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        split = json.loads((out / "split.json").read_text(encoding="utf-8"))
        covered = {*split["train"], *split["test"], *report[DUPLICATES]}
        same = report["split rule"] == rule and covered == ids
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (split, report[DUPLICATES]) if same else None


def _split(
    wanted: FreeClass, kept: Sequence[Candidate], out: Path
) -> tuple[dict[str, list[str]], list[str]]:
    """The split; models for training only never change it, and none resembles a test model."""
    signatures = {}
    for candidate in progress_bar(kept, desc="comparing shapes", unit="model"):
        name = f"{wanted.synset}/{candidate.id}"
        path = out / name / "models" / "model_normalized.obj"
        signatures[name] = shape_signature(load_model(ModelRef(name, path)))
    families = {f"{wanted.synset}/{c.id}": c.family for c in kept if c.family}
    main = [f"{wanted.synset}/{c.id}" for c in kept if not c.train_only]
    salt = f"{SALT}-{wanted.name}"
    split = split_models(main, signatures, wanted.n_test, salt, families=families)
    test_families = {families[name] for name in split["test"] if name in families}
    duplicates = []
    for candidate in kept:
        name = f"{wanted.synset}/{candidate.id}"
        if not candidate.train_only:
            continue
        to_test = [shape_distance(signatures[name], signatures[t]) for t in split["test"]]
        if min(to_test) <= NEAR_DUPLICATE or families.get(name) in test_families:
            duplicates.append(name)
        else:
            split["train"].append(name)
    return {"train": sorted(split["train"]), "test": split["test"]}, duplicates


def attribution_page(name: str, attribution: dict[str, dict[str, str]]) -> str:
    """The attribution as a Markdown table."""
    lines = [
        f"# Free models: {name}",
        "",
        "Converted from the packages named below: turned, scaled, colours and textures kept,",
        "textures reduced in size. Each model stays under its own licence.",
        "",
        "| model | title | creator | licence | package | file |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for model, entry in sorted(attribution.items()):
        cells = [entry[key] for key in ("title", "creator", "licence", "package", "file")]
        lines.append("| " + " | ".join([model, *(c.replace("|", "/") for c in cells)]) + " |")
    return "\n".join(lines) + "\n"


def transformed(model: Model, matrix: np.ndarray) -> Model:
    """The model with a (3, 3) matrix applied to its points, normalised.

    Its normals are not turned: they are not written, and the reader makes its own.
    """
    for mesh in model.meshes:
        mesh.vertices = np.asarray(mesh.vertices) @ matrix.T
    return normalise_model(model)


def _furniture_candidate(item: sweethome3d.Furniture, train_only: bool) -> Candidate:
    def read(scratch: Path) -> Model:
        try:
            path = sweethome3d.extract_model(item, scratch)
        except ValueError as error:
            raise ModelError(str(error)) from error
        model = load_model(ModelRef(item.slug, path))
        points = np.concatenate([np.asarray(mesh.vertices) for mesh in model.meshes])
        return transformed(model, sweethome3d.shapenet_matrix(item, points))

    attribution = {
        "title": item.name,
        "creator": item.creator,
        "licence": item.license,
        "package": "sweethome3d-furniture",
        "file": f"{item.library.name}:{item.model}",
    }
    return Candidate(item.slug, read, attribution, train_only)


def _catalogue(folders: dict[str, Path]) -> Iterator[sweethome3d.Furniture]:
    libraries = folders["sweethome3d-furniture"] / "usr" / "share" / "sweethome3d" / "furniture"
    for path in sorted(libraries.glob("*.sh3f")):
        yield from sweethome3d.read_library(path)


def _chair_candidates(folders: dict[str, Path], more: bool) -> list[Candidate]:
    catalogue = list(_catalogue(folders))
    offered = [_furniture_candidate(item, False) for item in chairs.chairs_of(catalogue)]
    if more:
        offered += [_furniture_candidate(item, True) for item in chairs.more_seats_of(catalogue)]
    return offered


def _aeroplane_candidates(folders: dict[str, Path], more: bool) -> list[Candidate]:
    ai = folders["flightgear-data-ai"] / "usr" / "share" / "games" / "flightgear" / "AI"
    main, extra = [], []
    for liveries in aeroplanes.aeroplanes_of(ai / "Aircraft"):
        main.append(_livery_candidate(liveries[0], False))
        more_of_it = liveries[1 : 1 + aeroplanes.MORE_LIVERIES] if more else []
        extra += [_livery_candidate(livery, True) for livery in more_of_it]
    return main + extra


def _livery_candidate(livery: aeroplanes.Livery, train_only: bool) -> Candidate:
    attribution = {
        "title": livery.id,
        "creator": "the FlightGear contributors, copyright 1999-2017 Curtis L. Olson and others",
        "licence": "GPL-2+",
        "package": "flightgear-data-ai",
        "file": f"AI/Aircraft/{livery.path.relative_to(livery.aircraft.parent).as_posix()}",
    }

    def read(scratch: Path) -> Model:
        return aeroplanes.read_aeroplane(livery)

    return Candidate(livery.id, read, attribution, train_only, livery.aircraft.name)


def _car_candidates(folders: dict[str, Path], more: bool) -> list[Candidate]:
    offered = [_furniture_candidate(item, False) for item in cars.cars_of(_catalogue(folders))]
    bodies = folders["torcs-data"] / "usr" / "share" / "games" / "torcs" / "cars"
    for body in cars.torcs_cars_of(bodies):
        offered.append(_torcs_candidate(body))
    return [replace(c, family=cars.FAMILIES.get(c.id, "")) for c in offered]


def _torcs_candidate(body: Path) -> Candidate:
    def read(scratch: Path) -> Model:
        return cars.read_torcs_car(body)

    return Candidate(f"torcs-{body.stem}", read, cars.torcs_attribution(body))


CLASSES = {
    "chairs": FreeClass(
        "chairs",
        "03001627",
        ("sweethome3d-furniture",),
        _chair_candidates,
        n_test=12,
        left_out=chairs.NOT_CHAIRS | chairs.NOT_SEATS,
    ),
    "aeroplanes": FreeClass(
        "aeroplanes",
        "02691156",
        ("flightgear-data-ai",),
        _aeroplane_candidates,
        n_test=14,
        left_out=aeroplanes.NOT_AEROPLANES,
    ),
    "cars": FreeClass(
        "cars",
        "02958343",
        ("sweethome3d-furniture", "torcs-data"),
        _car_candidates,
        n_test=6,
        left_out=cars.NOT_CARS,
    ),
}
