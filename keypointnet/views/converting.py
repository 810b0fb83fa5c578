"""Published tfrecords into a view store, a file for each model, in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from keypointnet.files import write_json
from keypointnet.views.crew import Outcome, Work, one_line, run_jobs
from keypointnet.views.generate import keep_settings
from keypointnet.views.published_records import PublishedStore
from keypointnet.views.storage import (
    FORMAT_VERSION,
    StorageError,
    is_whole,
    read_store_info,
    write_model_views,
)


@dataclass(frozen=True)
class ConvertJob:
    """One model to convert."""

    model: str

    @property
    def names(self) -> list[str]:
        """The id of its view file."""
        return [self.model]

    def without(self, n: int) -> ConvertJob | None:
        """What is left of it after the first n files; None where nothing is."""
        return None if n else self


def prepare_converted(source: PublishedStore, out: Path) -> list[ConvertJob]:
    """Makes the store's folder with its store.json and split.json.

    Returns: what is left to convert: models without a whole view file.
    Raises:  StorageError: the folder was made from other tfrecords, or by rendering; or it is that
             of the tfrecords, which would then be taken for a store.
    """
    if out.resolve() == source.root.resolve():
        raise StorageError(f"{out}: is the folder of the tfrecords; give the store one of its own")
    info = {
        "version": FORMAT_VERSION,
        "size": list(source.size),
        "source": f"published tfrecords: {source.root.resolve().name}",
        "K_px": source.K_px.tolist(),
    }
    keep_settings(out / "store.json", info, read_store_info(out))
    if source.split is not None:
        write_json(out / "split.json", source.split)
    return [ConvertJob(model) for model in source.models if not is_whole(out, model)]


def convert_jobs(
    jobs: list[ConvertJob], source: PublishedStore, out: Path, workers: int = 1
) -> Iterator[Outcome]:
    """Convert in spawned processes; yields an outcome for each model, as they come.

    Raises:  WorkerError: a worker could not even start.
    """
    return run_jobs(jobs, partial(_opened, source, out), workers, product="view file")


def convert_model(source: PublishedStore, out: Path, model: str) -> None:
    """Writes the view file of one model; its pairs' views stand side by side in it.

    Raises:  StorageError: a record is damaged or foreign.  OSError: a full disk, and the like.
    """
    views = [source.view(model, i) for i in range(source.n_views(model))]
    T_world2cam = np.stack([view.T_world2cam for view in views])
    write_model_views(out, model, [view.rgba for view in views], T_world2cam, source.K_px)


@contextmanager
def _opened(source: PublishedStore, out: Path) -> Iterator[Work]:
    yield partial(_convert, source=source, out=out)


def _convert(job: ConvertJob, source: PublishedStore, out: Path) -> Iterator[Outcome]:
    try:
        convert_model(source, out, job.model)
    except Exception as error:  # whatever is wrong with one model, the run goes on
        yield Outcome(job.model, one_line(error))
    else:
        yield Outcome(job.model)
