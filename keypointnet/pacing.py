"""How long training takes on this machine, and the same training in fewer steps."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import torch

from keypointnet.checkpoints import build_model
from keypointnet.config import TrainConfig
from keypointnet.precision import resolve_autocast
from keypointnet.stages import make_objective
from keypointnet.views.augmentation import augment
from keypointnet.views.pairs import PairDataset, PairSampler, open_models

MINIMUM_STEPS = 100


def seconds_per_step(config: TrainConfig, device: torch.device) -> float:
    """Measures a training step on this machine: the median of a few, after warming up."""
    entries = [
        entry
        for store in config.data.train
        for entry in open_models(store.path, store.subset, (config.data.image_size,) * 2)
    ]
    dataset = PairDataset(entries, seed=config.run.seed)
    keys = next(iter(PairSampler(len(dataset), config.optim.pairs_per_step, seed=config.run.seed)))
    objective = make_objective(config, resolve_autocast(config.run.amp, device, config.model))
    model = build_model(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters())
    points = torch.zeros(len(keys), 2, config.model.num_keypoints, 3)  # any will do for the time
    generator = torch.Generator(device)
    times = []
    for step in range(6):
        started = time.monotonic()
        batch = dataset[keys]._replace(points=points).to(device)
        batch = augment(batch, config.data.augmentation, generator)
        loss = objective(model, batch, step, generator)["total"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device
        times.append(time.monotonic() - started)
    return statistics.median(times[2:])


def affordable_steps(steps: int, step_s: float, left_s: float) -> int:
    """How many of the steps fit into the seconds that are left, but at least 100 (or all).

    Args:    step_s: seconds of one step; a tenth is added for what was not measured.
    """
    return min(steps, max(int(left_s / (1.1 * step_s)), MINIMUM_STEPS))


def scale_schedule(config: TrainConfig, steps: int) -> TrainConfig:
    """The same training in another number of steps: all that counts steps is scaled with it."""
    ratio = steps / config.optim.steps
    loss = config.loss
    return replace(
        config,
        loss=replace(
            loss,
            anchor_steps=round(ratio * loss.anchor_steps),
            flag_anneal_start=round(ratio * loss.flag_anneal_start),
            flag_anneal_end=round(ratio * loss.flag_anneal_end),
        ),
        optim=replace(config.optim, steps=steps),
    )
