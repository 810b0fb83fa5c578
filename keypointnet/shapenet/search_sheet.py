"""A picture of a query and its answers side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keypointnet.drawing import BACKGROUND, caption, contact_sheet
from keypointnet.shapenet.model_views import ModelViews, cameras_at, rendered_views
from keypointnet.shapenet.models import ModelRef
from keypointnet.shapenet.picture_search import (
    ObjectPicture,
    PictureSettings,
    object_square,
    of_view,
)
from keypointnet.shapenet.search import Answers, Query

_SHOWN = (145.0, 18.0)  # azimuth, elevation: the front, a little from the side and from above


def answer_sheet(refs: Sequence[ModelRef], query: Query, answers: Answers) -> np.ndarray:
    """The query, then the answers, best first, each over its distance and its id.

    Models stand as they are in their files, all seen from one direction; the answers to a picture
    from the direction from which they are most like it.

    Args:    refs: the collection.
    Returns: (H, W, 3) uint8 RGB.
    Raises:  WorkerError: rendering cannot start.  ValueError: an answer cannot be rendered.
    """
    settings = PictureSettings(side=192)
    by_id = {ref.id: ref for ref in refs}
    directions = list(zip(settings.azimuth_deg, settings.elevation_deg, strict=True))
    shown = [directions[view] for view in answers.views] or [_SHOWN] * len(answers.nearest)
    jobs = []
    if query.ref is not None:
        jobs.append(_job(ModelRef("query", query.ref.path), _SHOWN, settings))
    for number, (answer, direction) in enumerate(zip(answers.nearest, shown, strict=True)):
        path = by_id[answer.id].path
        jobs.append(_job(ModelRef(f"answer {number}", path), direction, settings))
    seen: dict[str, np.ndarray] = {}
    for name, views in rendered_views(jobs, settings.size):
        if isinstance(views, str):
            raise ValueError(f"{name} cannot be drawn: {views}")
        seen[name] = views[0]
    first = query.picture if query.picture is not None else of_view(seen["query"])
    title = query.own_id or (query.ref.id if query.ref is not None else "picture")
    tiles = [_tile(first, "query", title, settings)]
    for number, answer in enumerate(answers.nearest):
        picture = of_view(seen[f"answer {number}"])
        head = f"{number + 1}: distance {answer.distance:.3f}"
        tiles.append(_tile(picture, head, answer.id, settings))
    return contact_sheet(tiles, columns=min(6, len(tiles)))


def _job(ref: ModelRef, direction: tuple[float, float], settings: PictureSettings) -> ModelViews:
    azimuth, elevation = direction
    T_world2cam, K_px = cameras_at(
        [azimuth], [elevation], settings.distance, settings.fov_deg, settings.size
    )
    return ModelViews(ref, T_world2cam, K_px)


def _tile(picture: ObjectPicture, head: str, name: str, settings: PictureSettings) -> np.ndarray:
    square = object_square(picture, settings)
    share = square.coverage[..., None] / 255.0
    rgb = square.rgb - (1 - share) * settings.grey + (1 - share) * np.array(BACKGROUND)
    drawn = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    last = name.rpartition("/")[2]
    return np.concatenate([drawn, caption(head, settings.side), caption(last, settings.side)])
