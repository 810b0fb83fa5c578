"""Training of KeypointNet: one process or many, resumable to the digit.

Everything random is a function of (seed, step), so a run has no random state to save: weights,
optimiser and step are all that a checkpoint holds, and a resumed run on one CPU process repeats
the losses of an uninterrupted one exactly.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from keypointnet.checkpoints import (
    CheckpointError,
    build_model,
    load_optimizer,
    load_weights,
    optimizer_tensors,
    read_checkpoint,
    save_checkpoint,
)
from keypointnet.config import (
    ConfigError,
    StoreConfig,
    TrainConfig,
    to_yaml,
)
from keypointnet.config_checks import check_config
from keypointnet.distributed import Processes
from keypointnet.enlarging import weights_to_begin
from keypointnet.evaluation import evaluate
from keypointnet.model import KeypointNet
from keypointnet.objective import gt_flag_share
from keypointnet.precision import resolve_autocast
from keypointnet.progress import progress_bar
from keypointnet.runlog import RunLog
from keypointnet.schedules import learning_rate, moving_average
from keypointnet.stages import make_objective
from keypointnet.teaching import taught_points
from keypointnet.tensor_files import what_is_left
from keypointnet.views.augmentation import augment
from keypointnet.views.pairs import (
    ModelViews,
    PairBatch,
    PairDataset,
    PairSampler,
    check_models,
    open_models,
)


class TrainingError(RuntimeError):
    """Training cannot go on; the message names the step and the models of its batch."""


class Trainer:
    """One training run, from configuration to checkpoints.

    OUT/ (`run.out`) gets config.yaml, metrics.jsonl, TensorBoard files, pictures, and
    checkpoints/{last,best}.safetensors.

    Args:   config: see `keypointnet.config`.
            resume: go on from OUT/checkpoints/last.safetensors; without one, start.
            overfit: train on the first batch alone, without augmentation (does it learn at all?).
    Raises: ConfigError: a value that makes no sense, or an OUT that has a run in it already.
            ValueError: stores that do not fit (see `keypointnet.views.pairs`).
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        resume: bool = False,
        overfit: bool = False,
        processes: Processes | None = None,
    ) -> None:
        check_config(config)
        _check_disk(Path(config.run.out))
        self.config, self.overfit = config, overfit
        self.processes = processes or Processes.alone(config.run.device)
        if config.optim.pairs_per_step % self.processes.world_size:
            raise ConfigError(
                f"optim.pairs_per_step: expected a multiple of the {self.processes.world_size} "
                f"processes, got {config.optim.pairs_per_step}"
            )
        self.device = self.processes.device
        self.out = Path(config.run.out)
        self.last = self.out / "checkpoints" / "last.safetensors"
        self.best = self.out / "checkpoints" / "best.safetensors"
        if self.last.exists() and not resume:
            raise ConfigError(
                f"run.out: {self.out} holds a run already; go on with --resume, or choose another"
            )
        self.train_models = _open(config.data.train, config.data.image_size)
        self.test_models = _open(config.data.test, config.data.image_size)
        check_models(self.train_models, self.test_models, config.model.depth_offset)
        self.dataset = PairDataset(self.train_models, seed=config.run.seed)

        torch.manual_seed(config.run.seed)
        self.autocast = resolve_autocast(config.run.amp, self.device, config.model)
        self.objective = make_objective(config, self.autocast)
        memory_format = torch.channels_last if config.run.channels_last else torch.contiguous_format
        self.model: KeypointNet = build_model(config, pretrained=True).to(
            self.device,
            memory_format=memory_format,  # type: ignore[call-overload]
        )
        self.points = taught_points(
            config, self.train_models, self.device, write=self.processes.is_main
        )
        if config.run.init and not (resume and self.last.exists()):
            first = read_checkpoint(config.run.init)
            load_weights(self.model, weights_to_begin(first, config), first.path)
        self.averaged: AveragedModel | None = None
        if config.optim.ema_decay > 0:
            self.averaged = AveragedModel(
                self.model,
                multi_avg_fn=moving_average(config.optim.ema_decay),
                use_buffers=True,
            )
        # What a step runs: all of the network, or the orientation network alone.
        self.trained: nn.Module = self.model
        if config.optim.trained == "orientation":
            assert self.model.orientation is not None  # check_config's business
            self.trained = self.model.orientation
        elif config.optim.trained == "keypoints":
            assert self.model.orientation is not None
            self.model.orientation.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            (weights for weights in self.trained.parameters() if weights.requires_grad),
            lr=config.optim.learning_rate,
            weight_decay=config.optim.weight_decay,
        )
        self.step, self.best_error = 0, math.inf
        if resume and self.last.exists():
            self._resume()
        steps = self.processes.gather(self.step)
        if len(set(steps)) > 1:
            raise ConfigError(
                f"run.out: the processes would go on from different steps, {steps}; all machines "
                "need the same folder"
            )
        self.predictor: nn.Module = self.trained
        if self.processes.world_size > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            self.predictor = DistributedDataParallel(self.trained, device_ids=ids)

    def run(self) -> dict[str, Any]:
        """Trains to the end. Returns the summary of the last evaluation (empty without one).

        Raises: TrainingError: a loss that is not finite.
                CheckpointError: a checkpoint that could not be written.
        """
        config = self.config
        steps = config.optim.steps
        main = self.processes.is_main
        summary: dict[str, Any] = {}
        log_context = RunLog(self.out, self.step) if main else nullcontext()
        bar = progress_bar(
            total=steps, initial=self.step, desc="train", unit="step", disable=not main
        )
        with log_context as log, bar:
            if main:
                (self.out / "config.yaml").write_text(to_yaml(config))
            batches = self._batches()
            while self.step < steps:
                waited = time.perf_counter()
                batch = next(batches)
                started = time.perf_counter()
                terms = self._train_step(batch)
                self.step += 1
                bar.update()
                if log is not None and self.step % config.run.log_every == 0:
                    values = {name: value.item() for name, value in terms.items()}
                    values["lr"] = learning_rate(self.step - 1, config.optim)
                    values["gt_flag_share"] = gt_flag_share(self.step - 1, config.loss)
                    values["seconds"] = time.perf_counter() - waited
                    values["seconds_waiting"] = started - waited
                    log.scalars("train", self.step, values)
                    bar.set_postfix_str(_postfix(values, summary), refresh=False)
                last = self.step == steps
                if self.test_models and (self.step % config.run.eval_every == 0 or last):
                    if log is not None:
                        summary = self._evaluate(log)
                    self.processes.wait()
                if main and (self.step % config.run.checkpoint_every == 0 or last):
                    self._save()
        return summary

    def evaluated_model(self) -> KeypointNet:
        """The network whose numbers count: the averaged one where there is one."""
        if self.averaged is None:
            return self.model
        module = self.averaged.module
        assert isinstance(module, KeypointNet)
        return module

    def _batches(self) -> Iterator[PairBatch]:
        config, processes = self.config, self.processes
        sampler = PairSampler(
            len(self.dataset),
            config.optim.pairs_per_step,
            seed=config.run.seed,
            first_step=0 if self.overfit else self.step,
            rank=processes.rank,
            world_size=processes.world_size,
        )
        if self.overfit:
            keys = next(iter(sampler))
            batch = self._taught(self.dataset[keys].to(self.device))
            while True:
                yield batch
        loader: DataLoader[Any] = DataLoader(
            self.dataset,
            batch_size=None,  # the sampler makes batches, the data set takes them
            sampler=sampler,  # any iterable will do
            num_workers=config.data.workers,
            prefetch_factor=4 if config.data.workers else None,
            multiprocessing_context="spawn" if config.data.workers else None,
            pin_memory=self.device.type == "cuda",
        )
        for batch in loader:
            yield self._taught(batch.to(self.device))

    def _taught(self, batch: PairBatch) -> PairBatch:
        if not self.points:
            return batch
        points = torch.stack([self.points[name] for name in batch.models])
        return batch._replace(points=points.to(self.device))

    def _train_step(self, batch: PairBatch) -> dict[str, Tensor]:
        config = self.config
        state = np.random.SeedSequence([config.run.seed, self.step, self.processes.rank])
        generator = torch.Generator(self.device)
        generator.manual_seed(int(state.generate_state(1, np.uint64)[0] >> 1))
        if not self.overfit:
            batch = augment(batch, config.data.augmentation, generator)
        self.trained.train()
        if config.optim.trained == "keypoints":
            assert self.model.orientation is not None
            self.model.orientation.eval()  # nor do its batch statistics move
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, config.optim)
        terms = self.objective(self.predictor, batch, self.step, generator)
        self.optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        norm = nn.utils.clip_grad_norm_(self.trained.parameters(), config.optim.gradient_norm)
        if not (torch.isfinite(terms["total"]) and torch.isfinite(norm)):
            bad = [name for name, value in terms.items() if not torch.isfinite(value)]
            raise TrainingError(
                f"step {self.step + 1}: "
                f"{'the gradient' if not bad else 'loss ' + ', '.join(bad)} is not finite; models "
                f"of the batch: {', '.join(sorted(set(batch.models)))}. {what_is_left(self.last)}"
            )
        self.optimizer.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        return {name: value.detach() for name, value in terms.items()}

    def _evaluate(self, log: RunLog) -> dict[str, Any]:
        model = self.evaluated_model()
        result = evaluate(model, self.test_models, pairs_per_model=self.config.run.eval_pairs)
        summary = result.summary()
        log.scalars("test", self.step, summary)
        log.keypoint_picture(self.step, model, self.test_models)
        error = result.mean_deg
        if self.trained is self.model.orientation and result.orientation_accuracy is not None:
            error = 1 - result.orientation_accuracy  # poses are not what such a stage learns
        if error < self.best_error:
            self.best_error = error
            save_checkpoint(
                self.best,
                {"model": model.state_dict()},
                step=self.step,
                config=self.config,
                metrics=summary,
            )
        return summary

    def _save(self) -> None:
        groups = {
            "model": self.model.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer, self.model),
        }
        if self.averaged is not None:
            groups["ema"] = self.averaged.module.state_dict()
        metrics = {"best_error": self.best_error} if math.isfinite(self.best_error) else {}
        save_checkpoint(self.last, groups, step=self.step, config=self.config, metrics=metrics)

    def _resume(self) -> None:
        checkpoint = read_checkpoint(self.last)
        for key, value in asdict(self.config.model).items():
            trained = getattr(checkpoint.config.model, key)
            if value != trained:
                raise ConfigError(
                    f"model.{key}: {self.last} was trained with {trained}, the configuration says "
                    f"{value}; resume with model.{key}={trained}, or start anew in another run.out"
                )
        if "optimizer" not in checkpoint.groups:
            raise CheckpointError(f"{self.last}: has no optimiser state to resume with")
        load_weights(self.model, checkpoint.groups["model"], self.last)
        load_optimizer(self.optimizer, self.model, checkpoint.groups["optimizer"])
        if self.averaged is not None:
            if "ema" not in checkpoint.groups:
                raise ConfigError(
                    f"optim.ema_decay: {self.last} has no averaged weights to go on with; "
                    "resume with optim.ema_decay=0 or start anew"
                )
            load_weights(self.averaged.module, checkpoint.groups["ema"], self.last)
            self.averaged.n_averaged.fill_(checkpoint.step)
        self.step = checkpoint.step
        self.best_error = float(checkpoint.metrics.get("best_error", math.inf))


def _postfix(values: dict[str, float], summary: dict[str, Any]) -> str:
    """What stands behind the progress bar."""
    parts = [f"loss {values['total']:.3f}"]
    if "pose" in values:
        parts.append(f"pose {math.degrees(values['pose']):.1f}°")
    if summary:
        parts.append(f"held out {summary['mean_deg']:.1f}°")
    return ", ".join(parts)


def _open(stores: list[StoreConfig], image_size: int) -> list[ModelViews]:
    return [
        entry
        for store in stores
        for entry in open_models(store.path, store.subset, (image_size, image_size))
    ]


def _check_disk(out: Path) -> None:
    out = out.absolute()
    free = shutil.disk_usage(next(path for path in (out, *out.parents) if path.exists())).free
    if free < 50e6:
        raise ConfigError(f"run.out: only {free / 1e6:.0f} MB are free on the disk of {out}")
