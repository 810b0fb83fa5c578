"""Processes that render models into a store, and that may die without harm.

Each worker gets one model at a time over its own pipe, so that a crash in the graphics driver or a
model that takes for ever is known by name: its worker is replaced and the run goes on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from keypointnet.views.cameras import sample_cameras
from keypointnet.views.generate import RenderJob, RenderSettings, model_rng, variant_id
from keypointnet.views.lights import Lights, random_lights
from keypointnet.views.storage import write_model_views

_START_S = 120.0  # a worker imports what it needs and opens the graphics system; that is no model's


@dataclass(frozen=True)
class Outcome:
    """What became of one view file.

    Attributes:
        id: of the model or variant.
        error: why there is no view file; None if there is.
        notes: what was repaired or left out of a model when it was read.
    """

    id: str
    error: str | None = None
    notes: tuple[str, ...] = ()


class WorkerError(RuntimeError):
    """Workers cannot start rendering at all; the message says why."""


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
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(jobs))
    crew: list[_Worker] = []
    try:
        while waiting or crew:
            while waiting and len(crew) < workers:
                crew.append(_Worker(context, out, settings, workers))
                crew[-1].give(waiting.pop())
            soonest = min(worker.deadline(timeout_s) for worker in crew)
            ready = wait([w.pipe for w in crew], timeout=max(0.0, soonest - time.monotonic()))
            for worker in list(crew):
                outcome = None
                if worker.pipe in ready:
                    try:
                        outcome = worker.receive()
                    except (EOFError, ConnectionError):
                        worker.process.join()
                        reason = f"its worker died ({_exit_reason(worker.process.exitcode)})"
                        if not worker.started:
                            raise WorkerError(f"a worker died while starting: {reason}") from None
                        yield Outcome(worker.left[0], reason)
                        waiting += worker.close()
                        crew.remove(worker)
                        continue
                    if outcome is not None:
                        yield outcome
                elif time.monotonic() >= worker.deadline(timeout_s):
                    worker.process.kill()
                    worker.process.join()
                    if not worker.started:
                        raise WorkerError("a worker did not start; is the machine overloaded?")
                    yield Outcome(worker.left[0], f"no view file within {timeout_s:g} s")
                    waiting += worker.close()
                    crew.remove(worker)
                    continue
                if not worker.left:
                    if waiting:
                        worker.give(waiting.pop())
                    else:
                        worker.dismiss()
                        crew.remove(worker)
    finally:
        for worker in crew:
            worker.process.kill()
            worker.process.join()


class _Worker:
    """A worker process as its parent sees it."""

    def __init__(self, context: Any, out: Path, settings: RenderSettings, workers: int) -> None:
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_work, args=(theirs, out, settings, _thread_settings(workers)), daemon=True
        )
        self.process.start()
        theirs.close()
        self.job: RenderJob
        self.left: list[str] = []
        self.started = False
        self.since = time.monotonic()

    def give(self, job: RenderJob) -> None:
        """Hand over one model. Its outcomes come in the order of its variants."""
        self.job = job
        self.left = [variant_id(job.source.id, k) for k in job.variants]
        self.since = time.monotonic()
        try:
            self.pipe.send(job)
        except (BrokenPipeError, ConnectionError):
            return  # it died idle: reading from it will say so

    def receive(self) -> Outcome | None:
        """The next outcome, or None where it says that it has started.

        Raises:  EOFError: the process has ended.  WorkerError: it says that it cannot start.
        """
        message: Outcome | str | None = self.pipe.recv()
        self.since = time.monotonic()
        if isinstance(message, str):
            raise WorkerError(message)
        if message is None:
            self.started = True
        else:
            self.left.remove(message.id)
        return message

    def deadline(self, timeout_s: float) -> float:
        """When to lose patience, in time.monotonic()'s seconds."""
        return self.since + (timeout_s if self.started else max(timeout_s, _START_S))

    def close(self) -> list[RenderJob]:
        """What is left to do after the view file that failed: the other variants, if any."""
        self.pipe.close()
        rest = self.job.variants[len(self.job.variants) - len(self.left) + 1 :]
        return [replace(self.job, variants=rest)] if rest else []

    def dismiss(self) -> None:
        """Let it end."""
        self.pipe.close()
        self.process.join(timeout=10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _work(
    pipe: Connection, out: Path, settings: RenderSettings, environment: dict[str, str]
) -> None:
    """A worker process: render what comes through the pipe until it is closed."""
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers when interrupted
    import cv2

    from keypointnet.views.rendering import RenderingError, ViewRenderer

    cv2.setNumThreads(1)
    with contextlib.suppress(EOFError, ConnectionError):  # the parent is done, or gone
        try:
            renderer = ViewRenderer(*settings.size, supersample=settings.supersample)
        except (RenderingError, ValueError) as error:
            pipe.send(str(error))
            return
        pipe.send(None)
        with renderer:
            while True:
                job: RenderJob = pipe.recv()
                for outcome in _render_job(job, out, settings, renderer):
                    pipe.send(outcome)


def _render_job(
    job: RenderJob, out: Path, settings: RenderSettings, renderer: Any
) -> Iterator[Outcome]:
    try:
        model = job.source.make()
    except Exception as error:  # whatever a reader makes of a broken file, the run goes on
        for variant in job.variants:
            yield Outcome(variant_id(job.source.id, variant), _one_line(error))
        return
    for variant in job.variants:
        model_id = variant_id(job.source.id, variant)
        try:
            varied = model
            if variant:
                from keypointnet.views.variation import vary_model

                rng = model_rng(settings.seed, model_id, "variation")
                varied = vary_model(model, rng, settings.variation)
            _render_model(replace(varied, id=model_id), out, settings, renderer)
        except Exception as error:  # as above
            yield Outcome(model_id, _one_line(error))
        else:
            yield Outcome(model_id, notes=tuple(model.notes))


def _render_model(model: Any, out: Path, settings: RenderSettings, renderer: Any) -> None:
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


def _thread_settings(workers: int) -> dict[str, str]:
    """With several processes, each should keep to one thread."""
    if workers == 1:
        return {}
    return {"LP_NUM_THREADS": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _exit_reason(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"signal {-exit_code}"
    return f"exit code {exit_code}"


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    if isinstance(error, ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
