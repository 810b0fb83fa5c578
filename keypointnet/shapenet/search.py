"""What a query is, and the models of a collection that are nearest to it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from keypointnet.listing import listed
from keypointnet.shapenet.models import (
    SUFFIXES,
    ModelError,
    ModelRef,
    find_models,
    load_model,
)
from keypointnet.shapenet.picture_search import (
    ObjectPicture,
    PictureSettings,
    view_distances,
)
from keypointnet.shapenet.query_pictures import Box, read_object_picture
from keypointnet.shapenet.shape_descriptor import DescriptorSettings, describe_shape
from keypointnet.shapenet.shape_index import Described, Neighbour, Table, nearest, update_table

VERSION = 1
"""Of what the vectors mean; a change of the code that changes them counts it up."""


@dataclass(frozen=True)
class Query:
    """What to look for. Either ref or picture is set.

    Attributes:
        ref: a model, with its id where it is one of the collection.
        own_id: the id that is no answer; "" where the query is not of the collection.
    """

    ref: ModelRef | None = None
    picture: ObjectPicture | None = None
    own_id: str = ""


@dataclass(frozen=True)
class Answers:
    """The nearest models.

    Attributes:
        nearest: best first.
        views: of a picture query: which of the settings' cameras saw each answer so.
        left_out: id -> why, of models that cannot be searched.
    """

    nearest: list[Neighbour]
    views: list[int] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def find_query(
    refs: Sequence[ModelRef], text: str, box: Box | None = None, mask: Path | None = None
) -> Query:
    """What a QUERY argument means.

    Args:    text: a model's id, or its last part where only one ends so; a mesh file, or a folder
             with one model; a picture.  box, mask: of the object in a picture.
    Raises:  ValueError (ModelError is one): nothing of these, or a picture that cannot be read.
    """
    path = Path(text)
    named = [ref for ref in refs if ref.id == text]
    if not named and not path.exists():
        named = [ref for ref in refs if ref.id.rpartition("/")[2] == text]
    if len(named) > 1:
        several = listed([ref.id for ref in named])
        raise ValueError(f"{text}: {len(named)} models are called so: {several}; give one's id")
    if not named and path.exists():
        if path.is_file() and path.suffix.lower() not in SUFFIXES:
            try:
                return Query(picture=read_object_picture(path, box, mask))
            except ValueError as error:
                kinds = f"neither a mesh ({', '.join(SUFFIXES)}) nor a model's id"
                raise ValueError(f"{error}; and it is {kinds}") from error
        named = find_models(path)
        if len(named) > 1:
            raise ValueError(f"{text}: a folder of {len(named)} models; expected one as the query")
    if not named:
        close = difflib.get_close_matches(text, [ref.id for ref in refs], n=3, cutoff=0.4)
        similar = f"; similar ids: {', '.join(close)}" if close else ""
        raise ValueError(f"{text}: neither a model's id nor a mesh or picture file{similar}")
    if box is not None or mask is not None:
        raise ValueError(f"{text}: is a model; a box or a mask belongs to a picture")
    real = named[0].path.resolve()
    own = next((ref.id for ref in refs if ref.path.resolve() == real), "")
    return Query(ref=named[0], own_id=own)


def shape_table(
    refs: Sequence[ModelRef], settings: DescriptorSettings, index: Path | None = None
) -> tuple[Table, dict[str, str]]:
    """The shape descriptors of a collection, as `update_table`."""

    def described(missing: list[ModelRef]) -> Described:
        return ((ref.id, _described(ref, settings)) for ref in missing)

    info = {"version": VERSION, **asdict(settings)}
    return update_table(refs, "shapes", info, described, index)


def picture_table(
    refs: Sequence[ModelRef],
    settings: PictureSettings,
    index: Path | None = None,
    workers: int = 1,
) -> tuple[Table, dict[str, str]]:
    """The vectors of a collection's views, as `update_table`. Raises also: WorkerError."""
    from keypointnet.shapenet.picture_vectors import describe_views  # loads torch

    def described(missing: list[ModelRef]) -> Described:
        return describe_views(missing, settings, workers)

    info = {"version": VERSION, **settings.info()}
    return update_table(refs, "pictures", info, described, index)


def search(
    refs: Sequence[ModelRef], query: Query, n: int = 5, index: Path | None = None, workers: int = 1
) -> Answers:
    """The n models nearest to a query, which is not among them.

    Args:    refs: the collection.  index: the file that keeps what is known of it; None for none.
             workers: processes that render, for a picture.
    Raises:  ValueError (ModelError, IndexFileError are): the collection is empty or holds only the
             query, the query cannot be read, or the index is stale or broken.
             WorkerError: rendering cannot start.
    """
    others = [ref for ref in refs if ref.id != query.own_id]
    if n < 1 or not others:
        raise ValueError(
            f"search: expected n >= 1 and models beside the query, got n = {n} and "
            f"{len(others)} other models"
        )
    if query.picture is not None:
        from keypointnet.shapenet.picture_vectors import picture_vectors  # loads torch

        pictures = PictureSettings()
        vector = picture_vectors([query.picture], pictures)[0]
        table, left_out = picture_table(refs, pictures, index, workers)
        distances, best = view_distances(vector, table.vectors)
        found = nearest(distances, table.ids, n)
        views = [int(best[table.ids.index(answer.id)]) for answer in found]
        return Answers(found, views, left_out)
    assert query.ref is not None
    settings = DescriptorSettings()
    model = load_model(query.ref)
    table, left_out = shape_table(refs, settings, index)
    vector = describe_shape(model, settings)
    distances = np.linalg.norm(table.vectors - vector, axis=1)
    return Answers(nearest(distances, table.ids, n, query.own_id), [], left_out)


def _described(ref: ModelRef, settings: DescriptorSettings) -> np.ndarray | str:
    try:
        return describe_shape(load_model(ref), settings)
    except (ModelError, ValueError) as error:
        return str(error)
