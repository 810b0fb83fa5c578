"""From a configuration to the objects of a training run or an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.data import MetadataCatalog, build_detection_train_loader
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from kp2seg.checkpoints import SegCheckpoint, load_seg_weights, read_seg_checkpoint
from kp2seg.data.catalog import dataset_dicts, read_dataset
from kp2seg.data.mapper import PoseMapper
from kp2seg.evaluation.evaluate import evaluate
from kp2seg.lazy_config import choose_device, config_to_text, model_from_text
from kp2seg.prediction import predict_dataset
from kp2seg.training import SegTrainer


def build_trainer(config: DictConfig, *, strict: bool = False) -> SegTrainer:
    """A training run, ready to `resume` and `fit`.

    Args:    config: of `kp2seg.lazy_config.load_seg_config`.  strict: raise at the first thing that
             is wrong in the data.
    Raises:  SegConfigError, DataError, CheckpointError: what is wrong is named.
    """
    run = config.train
    device = choose_device(run.device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", comm.get_local_rank())
    torch.manual_seed(run.seed + comm.get_rank())
    model: nn.Module = instantiate(config.model)
    if run.init:
        start = read_seg_checkpoint(run.init)
        load_seg_weights(model, start.weights, start.path)
    model.to(device)
    if run.channels_last:
        model.to(memory_format=torch.channels_last)
    optimizer = instantiate({**config.optimizer, "params": model.parameters()})
    return SegTrainer(
        model,
        optimizer,
        build_train_loader(config, strict=strict),
        instantiate(config.schedule),
        out=run.out,
        config=config_to_text(config),
        steps=run.steps,
        evaluate=build_evaluation(config) if run.eval_every else None,
        eval_every=run.eval_every,
        checkpoint_every=run.checkpoint_every,
        log_every=run.log_every,
        amp=run.amp,
        ema_decay=run.ema_decay,
        clip_norm=run.clip_norm,
    )


def build_train_loader(
    config: DictConfig, *, strict: bool = False
) -> Iterable[list[dict[str, Any]]]:
    """Batches of training pictures without end, shuffled by the run's seed."""
    data = read_dataset(config.data.train, strict=strict)
    records = dataset_dicts(data)
    mapper = PoseMapper(
        data.keypoint_names,
        augmentation=instantiate(config.data.augmentation),
        seed=config.train.seed,
    )
    loader: Iterable[list[dict[str, Any]]] = build_detection_train_loader(
        records,
        mapper=mapper,
        sampler=TrainingSampler(len(records), seed=config.train.seed),
        total_batch_size=config.data.pictures_per_step,
        aspect_ratio_grouping=False,
        num_workers=config.data.workers,
    )
    return loader


def build_evaluation(config: DictConfig) -> Callable[[nn.Module], dict[str, float]]:
    """Model → figures on the test sets, the first being AP with the first set's best scores."""

    def run(model: nn.Module) -> dict[str, float]:
        figures: dict[str, float] = {}
        for name in config.data.test:
            data = read_dataset(name)
            predictions = predict_dataset(
                model,
                dataset_dicts(data),
                PoseMapper(data.keypoint_names),
                category_ids=category_ids(data.coco),
                amp=config.train.amp,
            )
            result = evaluate(data.coco, predictions)
            for mode in reversed(list(result.scores)):
                for figure in ("AP", "AP50", "AR"):
                    figures[f"{name}/{mode}/{figure}"] = getattr(result.scores[mode], figure)
            figures[f"{name}/mean_iou"] = result.iou.mean
        return figures

    return run


def category_ids(coco: dict[str, Any]) -> list[int]:
    """The data set's category id of each class of a model, classes in the order of their ids."""
    return sorted(row["id"] for row in coco["categories"])


def load_seg_model(
    path: str | Path, device: str | torch.device = "cpu", **changes: Any
) -> tuple[nn.Module, SegCheckpoint]:
    """A trained model from its checkpoint alone, ready to predict.

    Args:    changes: of the model's arguments, such as people_chunk=8.
    Raises:  CheckpointError, SegConfigError: what is wrong is named.
    """
    checkpoint = read_seg_checkpoint(path)
    model = model_from_text(checkpoint.config, str(path), **changes)
    load_seg_weights(model, checkpoint.weights, checkpoint.path)
    model.to(device).to(memory_format=torch.channels_last)
    return model.eval(), checkpoint


def keypoint_names(dataset: str) -> list[str]:
    """The names of a registered data set's keypoints."""
    names: list[str] = MetadataCatalog.get(dataset).keypoint_names
    return names
