"""Rendering models into a store of views, in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keypointnet.views.cameras import sample_cameras
from keypointnet.views.crew import Outcome, Work, WorkerError, one_line, run_jobs
from keypointnet.views.generate import RenderJob, RenderSettings, model_rng, variant_id
from keypointnet.views.lights import Lights, random_lights
from keypointnet.views.storage import write_model_views

if TYPE_CHECKING:
    from keypointnet.views.rendering import ViewRenderer

__all__ = ["Outcome", "WorkerError", "over_background", "render_jobs"]


def render_jobs(
    jobs: list[RenderJob],
    out: Path,
    settings: RenderSettings,
    workers: int = 1,
    timeout_s: float = 600.0,
) -> Iterator[Outcome]:
    """Render in spawned processes; yields an outcome for each view file, as they come.

    Args:    workers: processes.  timeout_s: without a view file finished, a model's worker is
             ended and the model has failed.
    Raises:  WorkerError: a worker could not even start (no graphics system, for one).
    """
    return run_jobs(jobs, partial(_opened, out, settings), workers, timeout_s, "view file")


@contextmanager
def _opened(out: Path, settings: RenderSettings) -> Iterator[Work]:
    from keypointnet.views.rendering import ViewRenderer

    with ViewRenderer(*settings.size, supersample=settings.supersample) as renderer:
        yield partial(_render_job, out=out, settings=settings, renderer=renderer)


def _render_job(
    job: RenderJob, out: Path, settings: RenderSettings, renderer: ViewRenderer
) -> Iterator[Outcome]:
    try:
        model = job.source.make()
    except Exception as error:  # whatever a reader makes of a broken file, the run goes on
        for variant in job.variants:
            yield Outcome(variant_id(job.source.id, variant), one_line(error))
        return
    for variant in job.variants:
        model_id = variant_id(job.source.id, variant)
        try:
            varied = model
            if variant:
                from keypointnet.views.variation import variant_of

                varied = variant_of(model, variant, settings.seed, settings.variation)
            _render_model(varied, out, settings, renderer)
        except Exception as error:  # as above
            yield Outcome(model_id, one_line(error))
        else:
            yield Outcome(model_id, notes=tuple(model.notes))


def _render_model(model: Any, out: Path, settings: RenderSettings, renderer: ViewRenderer) -> None:
    rng = model_rng(settings.seed, model.id, "cameras")
    T_world2cam, K_px = sample_cameras(settings.views, rng, settings.cameras, settings.size)
    rng = model_rng(settings.seed, model.id, "lights")
    pictures = []
    with renderer.upload(model) as uploaded:
        for T, K in zip(T_world2cam, K_px, strict=True):
            lights = random_lights(rng) if settings.lights == "random" else Lights()
            pictures.append(uploaded.render(T, K, lights))
    if not any(picture[..., 3].any() for picture in pictures):
        raise ValueError(f"{model.id}: no view shows anything of it")
    if settings.background is not None:
        pictures = [over_background(picture, settings.background) for picture in pictures]
    write_model_views(out, model.id, pictures, T_world2cam, K_px)


def over_background(rgba: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Lay a premultiplied picture over one colour.

    Args:    rgba: (h, w, 4) uint8.  colour: RGB 0..255.
    Returns: (h, w, 4) uint8, opaque.
    """
    rest = 1.0 - rgba[..., 3:] / 255.0
    rgb = np.rint(rgba[..., :3] + rest * np.asarray(colour, dtype=np.float64))
    opaque = np.full_like(rgba, 255)
    opaque[..., :3] = np.clip(rgb, 0, 255).astype(np.uint8)
    return opaque
