"""Models seen from given cameras, rendered in processes of their own.

The pictures come through a folder of passing files: at most one of each worker lies there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from keypointnet.shapenet.models import ModelRef, load_model
from keypointnet.views.cameras import intrinsics, look_at
from keypointnet.views.crew import Outcome, Work, one_line, run_jobs
from keypointnet.views.lights import Lights

if TYPE_CHECKING:
    from keypointnet.views.rendering import ViewRenderer


@dataclass(frozen=True)
class ModelViews:
    """A model, and where it is seen from.

    Attributes:
        ref: the model.
        T_world2cam: (v, 4, 4).  K_px: (3, 3), of all of them.
        lights: of all of them.
    """

    ref: ModelRef
    T_world2cam: np.ndarray
    K_px: np.ndarray
    lights: Lights = field(default_factory=Lights)

    @property
    def names(self) -> list[str]:
        """The model's id."""
        return [self.ref.id]

    def without(self, n: int) -> ModelViews | None:
        """What is left after the first n models; None where nothing is."""
        return None if n else self


def cameras_at(
    azimuth_deg: Sequence[float],
    elevation_deg: Sequence[float],
    distance: float,
    fov_deg: float,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Cameras that look at the origin from given directions.

    Convention: as `keypointnet.views.cameras`: azimuth 0 looks from +Z, at the object's back.
    Args:    azimuth_deg, elevation_deg: v of each.  distance: world units.  size: (h, w) px.
    Returns: T_world2cam (v, 4, 4) and K_px (3, 3), float64.
    """
    azimuth, elevation = np.radians(azimuth_deg), np.radians(elevation_deg)
    ground = np.cos(elevation)
    direction = [ground * np.sin(azimuth), np.sin(elevation), ground * np.cos(azimuth)]
    eye = distance * np.stack(direction, axis=1)
    T_world2cam = np.tile(np.eye(4), (len(eye), 1, 1))
    T_world2cam[:, :3, :3] = look_at(eye)
    T_world2cam[:, 2, 3] = distance
    return T_world2cam, intrinsics(fov_deg, size)


def rendered_views(
    jobs: Sequence[ModelViews], size: tuple[int, int], workers: int = 1
) -> Iterator[tuple[str, np.ndarray | str]]:
    """Read and render models.

    Args:    jobs: with ids that differ.  size: (h, w) px.  workers: processes.
    Returns: for each model, as they come, its id and its views (v, h, w, 4) uint8, premultiplied
             by alpha, or why there are none.
    Raises:  WorkerError: a worker could not even start (no graphics system, for one).
    """
    numbers = {job.ref.id: number for number, job in enumerate(jobs)}
    if len(numbers) != len(jobs):
        raise ValueError("rendered_views: expected ids that differ")
    with TemporaryDirectory(prefix="views-") as folder:
        numbered = [_Numbered(number, job) for number, job in enumerate(jobs)]
        opener = partial(_opened, Path(folder), size)
        for outcome in run_jobs(numbered, opener, workers, product="views"):
            if outcome.error is not None:
                yield outcome.id, outcome.error
                continue
            path = _file(Path(folder), numbers[outcome.id])
            views = np.load(path)
            path.unlink()
            yield outcome.id, views


@dataclass(frozen=True)
class _Numbered:
    number: int
    views: ModelViews

    @property
    def names(self) -> list[str]:
        return self.views.names

    def without(self, n: int) -> _Numbered | None:
        return None if n else self


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number}.npy"


@contextmanager
def _opened(folder: Path, size: tuple[int, int]) -> Iterator[Work]:
    from keypointnet.views.rendering import ViewRenderer

    with ViewRenderer(*size) as renderer:
        yield partial(_render, folder=folder, renderer=renderer)


def _render(job: _Numbered, folder: Path, renderer: ViewRenderer) -> Iterator[Outcome]:
    seen = job.views
    try:
        with renderer.upload(load_model(seen.ref)) as uploaded:
            views = [uploaded.render(T, seen.K_px, seen.lights) for T in seen.T_world2cam]
        if not any(view[..., 3].any() for view in views):
            raise ValueError(f"{seen.ref.id}: no view shows anything of it")
        np.save(_file(folder, job.number), np.stack(views))
    except Exception as error:  # whatever a reader makes of a broken file, the run goes on
        yield Outcome(seen.ref.id, one_line(error))
    else:
        yield Outcome(seen.ref.id)
