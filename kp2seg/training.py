"""Training of a mask model with Detectron2's hooks: one process, or one for each GPU.

OUT/ gets config.yaml, metrics.jsonl (metrics.json by Detectron2's name), TensorBoard files,
pictures of masks, and checkpoints/{last,best}.safetensors.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from detectron2.engine import HookBase, TrainerBase, hooks
from detectron2.engine.defaults import create_ddp_model
from detectron2.utils import comm
from detectron2.utils.events import CommonMetricPrinter, JSONWriter, TensorboardXWriter
from fvcore.common.param_scheduler import ParamScheduler
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from keypointnet.checkpoints import load_optimizer, optimizer_tensors
from keypointnet.tensor_files import CheckpointError
from kp2seg.checkpoints import load_seg_weights, read_seg_checkpoint, save_seg_checkpoint

logger = logging.getLogger(__name__)


class SegTrainingError(RuntimeError):
    """Training cannot go on; the message names the step and the pictures of its batch."""


class SegTrainer(TrainerBase):
    """Trains a `Pose2Seg` (or anything whose forward returns losses) step by step.

    Args:    model: on its device.  optimizer: over its parameters.  loader: batches without end.
             schedule: multiplies the learning rate, from 0 to 1 of the steps.
             out: folder.  config: text, stored in the checkpoints.
             evaluate: model → figures, the first of which decides which weights are the best.
             steps, eval_every, checkpoint_every, log_every: in steps.
             amp: bf16 autocast.  ema_decay: of averaged weights, 0 for none.
             clip_norm: of the gradient, 0 for none.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loader: Iterable[list[dict[str, Any]]],
        schedule: ParamScheduler,
        *,
        out: str | Path,
        config: str,
        steps: int,
        evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
        eval_every: int = 0,
        checkpoint_every: int = 500,
        log_every: int = 20,
        amp: bool = False,
        ema_decay: float = 0.0,
        clip_norm: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.base_rates = [group["lr"] for group in optimizer.param_groups]
        self.out = Path(out)
        self.last = self.out / "checkpoints" / "last.safetensors"
        self.best = self.out / "checkpoints" / "best.safetensors"
        self.config, self.steps = config, steps
        self.evaluate_with = evaluate
        self.amp, self.clip_norm = amp, clip_norm
        self.best_figure = -math.inf
        self.ddp = create_ddp_model(model, broadcast_buffers=False)
        self.averaged: AveragedModel | None = None
        if ema_decay > 0:
            self.averaged = AveragedModel(
                model, multi_avg_fn=get_ema_multi_avg_fn(ema_decay), use_buffers=True
            )
        self._batches = iter(loader)
        self._register(eval_every, checkpoint_every, log_every)

    def _register(self, eval_every: int, checkpoint_every: int, log_every: int) -> None:
        main = comm.is_main_process()
        steps: list[HookBase | None] = [hooks.IterationTimer()]
        if eval_every and self.evaluate_with is not None:
            steps.append(hooks.EvalHook(eval_every, self._evaluate))
        if main:
            self.out.mkdir(parents=True, exist_ok=True)
            steps.append(_SaveHook(checkpoint_every))
            writers = [
                CommonMetricPrinter(self.steps),
                JSONWriter(str(self.out / "metrics.jsonl")),
                TensorboardXWriter(str(self.out / "tensorboard")),
            ]
            steps.append(hooks.PeriodicWriter(writers, period=log_every))
        self.register_hooks(steps)

    def fit(self) -> dict[str, float]:
        """Trains to the end. Returns the figures of the last evaluation.

        Raises: SegTrainingError: a loss that is not finite.
        """
        if self.start_iter >= self.steps:
            logger.info("%s: all %d steps are done", self.last, self.steps)
        self.latest: dict[str, float] = {}
        self.train(self.start_iter, self.steps)
        return self.latest

    def run_step(self) -> None:
        """One step: called by Detectron2's loop."""
        started = time.perf_counter()
        batch = next(self._batches)
        waited = time.perf_counter() - started
        self.ddp.train()
        rate = float(self.schedule(self.iter / self.steps))
        for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = base * rate
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
                f"pictures of the batch: {names}. The last checkpoint is intact: "
                f"{self.last if self.last.exists() else 'none was written yet'}"
            )
        self.optimizer.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        self.storage.put_scalars(
            total_loss=total.item(),
            lr=self.optimizer.param_groups[0]["lr"],
            data_time=waited,
            **{name: loss.item() for name, loss in losses.items()},
        )

    @property
    def evaluated_model(self) -> nn.Module:
        """The network whose figures count: the averaged one where there is one."""
        if self.averaged is None:
            return self.model
        module: nn.Module = self.averaged.module
        return module

    def _evaluate(self) -> dict[str, float]:
        if self.evaluate_with is None:
            return {}
        model = self.evaluated_model
        training = model.training
        model.eval()
        figures = self.evaluate_with(model) if comm.is_main_process() else {}
        model.train(training)
        comm.synchronize()
        self.latest = figures
        first = next(iter(figures.values()), -math.inf)
        if comm.is_main_process() and first > self.best_figure:
            self.best_figure = first
            save_seg_checkpoint(
                self.best,
                {"model": model.state_dict()},
                step=self.iter + 1,
                config=self.config,
                metrics=figures,
            )
        return figures

    def save(self, step: int) -> None:
        """Writes the last checkpoint: all that `resume` needs."""
        groups = {
            "model": self.model.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer, self.model),
        }
        if self.averaged is not None:
            groups["ema"] = self.averaged.module.state_dict()
        metrics = {"best_figure": self.best_figure} if math.isfinite(self.best_figure) else {}
        save_seg_checkpoint(self.last, groups, step=step, config=self.config, metrics=metrics)

    def resume(self) -> bool:
        """Goes on from the last checkpoint. Returns whether there was one.

        Raises: CheckpointError: it is broken, or of another model.
        """
        if not self.last.exists():
            return False
        checkpoint = read_seg_checkpoint(self.last)
        if "optimizer" not in checkpoint.groups:
            raise CheckpointError(f"{self.last}: has no optimiser state to resume with")
        load_seg_weights(self.model, checkpoint.groups["model"], self.last)
        load_optimizer(self.optimizer, self.model, checkpoint.groups["optimizer"])
        if self.averaged is not None:
            load_seg_weights(self.averaged.module, checkpoint.weights, self.last)
            self.averaged.n_averaged.fill_(checkpoint.step)
        self.start_iter = self.iter = checkpoint.step
        self.best_figure = float(checkpoint.metrics.get("best_figure", -math.inf))
        return True


class _SaveHook(HookBase):
    """Saves every so many steps, and at the end."""

    def __init__(self, every: int) -> None:
        self.every = every

    def after_step(self) -> None:
        """Called by the trainer."""
        step = self.trainer.iter + 1
        if step % self.every == 0 or step == self.trainer.max_iter:
            self.trainer.save(step)
