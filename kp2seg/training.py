"""Training of a mask model with Detectron2's hooks: one process, or one for each GPU.

OUT/ gets config.yaml, metrics.jsonl, TensorBoard files, pictures of masks, and
checkpoints/{last,best}.safetensors. Everything random is a function of (seed, step): weights,
optimiser and step are all that a checkpoint holds, and on one CPU process a resumed run ends with
the weights of an uninterrupted one.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.engine import HookBase, TrainerBase, hooks
from detectron2.engine.defaults import create_ddp_model
from detectron2.utils import comm
from detectron2.utils.events import (
    CommonMetricPrinter,
    EventStorage,
    JSONWriter,
    TensorboardXWriter,
)
from fvcore.common.param_scheduler import ParamScheduler
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from keypointnet.checkpoints import load_optimizer, optimizer_tensors
from keypointnet.drawing import save_picture
from keypointnet.schedules import moving_average
from keypointnet.tensor_files import CheckpointError, load_weights, what_is_left
from kp2seg.checkpoints import read_seg_checkpoint, save_seg_checkpoint

logger = logging.getLogger(__name__)

MIN_FREE_BYTES = 200e6
"""A run is not begun on a disk with less."""


class SegTrainingError(RuntimeError):
    """Training cannot go on; the message names the step and the pictures of its batch."""


class SegTrainer(TrainerBase):
    """Trains a `Pose2Seg` (or anything whose forward returns losses) step by step.

    Args:    model: on its device.  optimizer: over its parameters.
             batches: first step → batches from there on, without end.
             schedule: multiplies the learning rate, from 0 to 1 of the steps.
             out: folder.  config: text, stored in the checkpoints.
             evaluate: model → figures, the first of which decides which weights are the best.
             draw: model → a picture (h, w, 3) uint8 RGB, made after each evaluation.
             steps, eval_every, checkpoint_every, log_every: in steps; eval_every 0 is never.
             seed: of all that is random in the model.  amp: bf16 autocast.
             ema_decay: of averaged weights, 0 for none.  clip_norm: of the gradient, 0 for none.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: Callable[[int], Iterable[list[dict[str, Any]]]],
        schedule: ParamScheduler,
        *,
        out: str | Path,
        config: str,
        steps: int,
        evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
        draw: Callable[[nn.Module], np.ndarray] | None = None,
        eval_every: int = 0,
        checkpoint_every: int = 500,
        log_every: int = 20,
        seed: int = 0,
        amp: bool = False,
        ema_decay: float = 0.0,
        clip_norm: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.optimizer = optimizer
        self.batches = batches
        self.schedule = schedule
        self.base_rates = [group["lr"] for group in optimizer.param_groups]
        self.out = Path(out)
        self.last, self.best = checkpoint_files(out)
        self.config, self.steps, self.seed = config, steps, seed
        self.evaluate_with, self.draw_with = evaluate, draw
        self.eval_every, self.checkpoint_every, self.log_every = (
            eval_every,
            checkpoint_every,
            log_every,
        )
        self.amp, self.clip_norm = amp, clip_norm
        self.best_figure = -math.inf
        self.latest: dict[str, float] = {}
        # The published pyramid has levels that the masks do not use.
        self.ddp = create_ddp_model(model, broadcast_buffers=False, find_unused_parameters=True)
        self.averaged: AveragedModel | None = None
        if ema_decay > 0:
            self.averaged = AveragedModel(
                model, multi_avg_fn=moving_average(ema_decay), use_buffers=True
            )

    def fit(self) -> dict[str, float]:
        """Trains to the end. Returns the figures of the last evaluation, empty without one.

        Raises: SegTrainingError: a loss that is not finite.
                CheckpointError: a checkpoint that could not be written.
                OSError: OUT cannot be written, or its disk is nearly full.
        """
        if self.start_iter >= self.steps:
            logger.info("%s: all %d steps are done", self.last, self.steps)
            return {}
        main = comm.is_main_process()
        own: list[HookBase] = [hooks.IterationTimer(), _EvaluateHook()]
        if main:
            _check_disk(self.out)
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / "config.yaml").write_text(self.config)
            metrics = self.out / "metrics.jsonl"
            drop_lines_after(metrics, self.start_iter)
            writers = [
                CommonMetricPrinter(self.steps),
                JSONWriter(str(metrics)),
                TensorboardXWriter(str(self.out / "tensorboard"), purge_step=self.start_iter),
            ]
            own += [_SaveHook(), hooks.PeriodicWriter(writers, period=self.log_every)]
        self.register_hooks(own)
        self.train(self.start_iter, self.steps)
        return self.latest

    def train(self, start_iter: int, max_iter: int) -> None:
        """Detectron2's loop; unlike there, an error is raised and not printed as well."""
        self.iter = self.start_iter = start_iter
        self.max_iter = max_iter
        self._batches = iter(self.batches(start_iter))
        with EventStorage(start_iter) as self.storage:
            try:
                self.before_train()
                for self.iter in range(start_iter, max_iter):
                    self.before_step()
                    self.run_step()
                    self.after_step()
                self.iter += 1
            finally:
                self.after_train()

    def run_step(self) -> None:
        """One step: called by the loop."""
        started = time.perf_counter()
        batch = next(self._batches)
        waited = time.perf_counter() - started
        self.ddp.train()
        rate = float(self.schedule(self.iter / self.steps))
        for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = base * rate
        words = np.random.SeedSequence([self.seed, self.iter, comm.get_rank()])
        torch.manual_seed(int(words.generate_state(1, np.uint64)[0] >> 1))
        device = next(self.model.parameters()).device
        context = torch.autocast(device.type, torch.bfloat16) if self.amp else nullcontext()
        with context:
            losses: dict[str, Tensor] = self.ddp(batch)
        total = torch.stack([loss.float() for loss in losses.values()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm or math.inf)
        if not (torch.isfinite(total) and torch.isfinite(norm)):
            names = ", ".join(str(row.get("file_name", "?")) for row in batch)
            values = ", ".join(f"{name} {loss.item():.4g}" for name, loss in losses.items())
            raise SegTrainingError(
                f"step {self.iter + 1}: {values}, gradient norm {float(norm):.4g}: not finite; "
                f"pictures of the batch: {names}. {what_is_left(self.last)}"
            )
        self.optimizer.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        self.storage.put_scalars(
            total_loss=total.item(),
            data_time=waited,
            **{name: loss.item() for name, loss in losses.items()},
        )
        self.storage.put_scalar("lr", self.optimizer.param_groups[0]["lr"], smoothing_hint=False)

    @property
    def evaluated_model(self) -> nn.Module:
        """The network whose figures count: the averaged one where there is one."""
        if self.averaged is None:
            return self.model
        module: nn.Module = self.averaged.module
        return module

    def evaluate(self) -> None:
        """Figures and a picture of the masks so far, on the main process; keeps the best weights.

        Called every eval_every steps and after the last.
        """
        if comm.is_main_process() and self.evaluate_with is not None:
            model = self.evaluated_model.eval()
            self.latest = figures = self.evaluate_with(model)
            self.storage.put_scalars(**figures, smoothing_hint=False)
            if self.draw_with is not None:
                sheet = self.draw_with(model)
                self.storage.put_image("masks", sheet.transpose(2, 0, 1))
                save_picture(self.out / "pictures" / f"masks-{self.iter + 1:07d}.png", sheet)
            first = next(iter(figures.values()), -math.inf)
            if first > self.best_figure:
                self.best_figure = first
                save_seg_checkpoint(
                    self.best,
                    {"model": model.state_dict()},
                    step=self.iter + 1,
                    config=self.config,
                    metrics=figures,
                )
        comm.synchronize()

    def save(self, step: int) -> None:
        """Writes the last checkpoint: all that `resume` needs."""
        groups = {
            "model": self.model.state_dict(),
            # An optimiser may have no state of its own: the step says that this is a training run.
            "optimizer": {
                "step": torch.tensor(step),
                **optimizer_tensors(self.optimizer, self.model),
            },
        }
        if self.averaged is not None:
            groups["ema"] = self.averaged.module.state_dict()
        metrics = {"best_figure": self.best_figure} if math.isfinite(self.best_figure) else {}
        save_seg_checkpoint(self.last, groups, step=step, config=self.config, metrics=metrics)

    def resume(self) -> bool:
        """Goes on from the last checkpoint. Returns whether there was one.

        Raises: CheckpointError: it is broken, of another model, or lacks what the run needs.
        """
        if not self.last.exists():
            return False
        checkpoint = read_seg_checkpoint(self.last)
        for group, name in (("model", "weights"), ("optimizer", "optimiser state")):
            if group not in checkpoint.groups:
                raise CheckpointError(f"{self.last}: has no {name} to resume with")
        load_weights(self.model, checkpoint.groups["model"], self.last)
        load_optimizer(self.optimizer, self.model, checkpoint.groups["optimizer"])
        if self.averaged is not None:
            if "ema" not in checkpoint.groups:
                raise CheckpointError(
                    f"{self.last}: has no averaged weights to go on with; resume with "
                    "train.ema_decay=0, or start anew"
                )
            load_weights(self.averaged.module, checkpoint.groups["ema"], self.last)
            self.averaged.n_averaged.fill_(checkpoint.step)
        self.start_iter = self.iter = checkpoint.step
        self.best_figure = float(checkpoint.metrics.get("best_figure", -math.inf))
        return True


def checkpoint_files(out: str | Path) -> tuple[Path, Path]:
    """Where a run keeps its last and its best checkpoint. Args: out: its folder."""
    folder = Path(out) / "checkpoints"
    return folder / "last.safetensors", folder / "best.safetensors"


def drop_lines_after(path: Path, step: int) -> None:
    """Drops the lines of metrics.jsonl that a killed run wrote past its last checkpoint.

    Args:    step: how many steps the checkpoint has; lines count them from 0 ("iteration").
    """
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    kept = [line for line in whole if _iteration(line) < step]
    # Written beside and moved: a kill in between must not cost the log of a long run.
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text("".join(kept))
    beside.replace(path)


def _iteration(line: str) -> float:
    """Of a line of metrics.jsonl; infinite for one that a crash has damaged."""
    try:
        return float(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _check_disk(out: Path) -> None:
    out = out.absolute()
    free = shutil.disk_usage(next(path for path in (out, *out.parents) if path.exists())).free
    if free < MIN_FREE_BYTES:
        raise OSError(f"train.out: only {free / 1e6:.0f} MB are free on the disk of {out}")


class _EvaluateHook(HookBase):
    """Evaluates before the checkpoint is saved, which notes the best figure so far."""

    def after_step(self) -> None:
        """Called by the trainer."""
        step, every = self.trainer.iter + 1, self.trainer.eval_every
        if every and (step % every == 0 or step == self.trainer.max_iter):
            self.trainer.evaluate()


class _SaveHook(HookBase):
    """Saves every so many steps, and at the end."""

    def after_step(self) -> None:
        """Called by the trainer."""
        step = self.trainer.iter + 1
        if step % self.trainer.checkpoint_every == 0 or step == self.trainer.max_iter:
            self.trainer.save(step)
