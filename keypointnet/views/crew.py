"""Spawned processes that render, and that may die without harm.

Each worker gets one job at a time over its own pipe, so that a crash in the graphics driver or a
model that takes for ever is known by name: its worker is replaced and the run goes on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol, Self

from keypointnet.files import write_json

_START_S = 120.0  # a worker imports what it needs and opens the graphics system; that is no job's


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        id: of the model, variant or picture in it.
        error: why there is no file; None if there is.
        notes: what was repaired or left out of a model when it was read.
    """

    id: str
    error: str | None = None
    notes: tuple[str, ...] = ()


class WorkerError(RuntimeError):
    """Workers cannot start rendering at all; the message says why."""


class Job(Protocol):
    """What a worker is given at a time: some files that are best made together."""

    @property
    def names(self) -> list[str]:
        """The ids of its outcomes, in their order."""

    def without(self, n: int) -> Self | None:
        """What is left of it after the first n; None where nothing is."""


Work = Callable[[Any], Iterator[Outcome]]
"""Does a job, in a worker; yields an outcome for each of its names."""

Opener = Callable[[], AbstractContextManager[Work]]
"""What a worker calls first, and closes at its end; it travels to the worker by pickle."""


def run_jobs(
    jobs: Sequence[Job],
    opener: Opener,
    workers: int = 1,
    timeout_s: float = 600.0,
    product: str = "file",
) -> Iterator[Outcome]:
    """Do jobs in spawned processes; yields an outcome for each name, as they come.

    Args:    workers: processes.  timeout_s: without an outcome, a job's worker is ended and the
             name that was due has failed.  product: what one name stands for, for messages.
    Raises:  WorkerError: a worker could not even start (no graphics system, for one).
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(jobs))
    crew: list[_Worker] = []
    try:
        while waiting or crew:
            while waiting and len(crew) < workers:
                crew.append(_Worker(context, opener, workers))
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
                    yield Outcome(worker.left[0], f"no {product} within {timeout_s:g} s")
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

    def __init__(self, context: Any, opener: Opener, workers: int) -> None:
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_work, args=(theirs, opener, _thread_settings(workers)), daemon=True
        )
        self.process.start()
        theirs.close()
        self.job: Job
        self.left: list[str] = []
        self.started = False
        self.since = time.monotonic()

    def give(self, job: Job) -> None:
        """Hand over one job. Its outcomes come in the order of its names."""
        self.job = job
        self.left = job.names
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

    def close(self) -> list[Job]:
        """What is left to do after the name that failed."""
        self.pipe.close()
        rest = self.job.without(len(self.job.names) - len(self.left) + 1)
        return [] if rest is None else [rest]

    def dismiss(self) -> None:
        """Let it end."""
        self.pipe.close()
        self.process.join(timeout=10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _work(pipe: Connection, opener: Opener, environment: dict[str, str]) -> None:
    """A worker process: do what comes through the pipe until it is closed."""
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers when interrupted
    import cv2

    from keypointnet.views.drawing import RenderingError

    cv2.setNumThreads(1)
    # the pipe ends when the parent is done, or gone
    with contextlib.suppress(EOFError, ConnectionError), contextlib.ExitStack() as stack:
        try:
            work = stack.enter_context(opener())
        except (RenderingError, ValueError) as error:
            pipe.send(str(error))
            return
        pipe.send(None)
        while True:
            for outcome in work(pipe.recv()):
                pipe.send(outcome)


def _thread_settings(workers: int) -> dict[str, str]:
    """With several processes, each should keep to one thread."""
    if workers == 1:
        return {}
    return {"LP_NUM_THREADS": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _exit_reason(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"signal {-exit_code}"
    return f"exit code {exit_code}"


def shard_file(out: Path, name: str, shard: tuple[int, int]) -> Path:
    """OUT/name.json, of a run in n parts OUT/name-IofN.json."""
    index, n = shard
    return out / (f"{name}.json" if n == 1 else f"{name}-{index}of{n}.json")


def failure_report(
    out: Path,
    shard: tuple[int, int],
    done: int,
    failed: Sequence[Outcome],
    what: str = "rendered",
) -> list[str]:
    """Write OUT/failures.json, {id: why}, or remove it where nothing failed.

    Args:    done: how many files were made.  what: was done to them.
    Returns: what to print, line by line.
    """
    path = shard_file(out, "failures", shard)
    if not failed:
        path.unlink(missing_ok=True)
        return [f"{done} {what}, none failed"]
    failures = {outcome.id: outcome.error for outcome in sorted(failed, key=lambda o: o.id)}
    write_json(path, failures)
    lines = [f"  {name}: {reason}" for name, reason in failures.items()]
    return [f"{done} {what}, {len(failures)} failed, see {path}:", *lines]


def one_line(error: Exception) -> str:
    """Why a file could not be made, with the kind of error where it is not the user's."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    if isinstance(error, ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
