"""From a configuration to the objects of a training run or an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from keypointnet.depthwise import train_depthwise_in_float32
from keypointnet.tensor_files import load_weights
from kp2seg.checkpoints import SegCheckpoint, read_seg_checkpoint
from kp2seg.data.catalog import dataset_dicts, read_dataset, short_name
from kp2seg.data.coco_json import KeypointData
from kp2seg.data.loading import PackedRecords, TrainingBatches, load_pictures
from kp2seg.data.mapper import PoseMapper, detected_instances
from kp2seg.data.problems import DataError
from kp2seg.drawing import mask_sheet
from kp2seg.evaluation.evaluate import evaluate
from kp2seg.keypoint_sources.poses import Pose
from kp2seg.lazy_config import (
    SegConfigError,
    choose_device,
    config_to_text,
    make,
    model_from_text,
)
from kp2seg.modeling.folding import fold_batch_norms
from kp2seg.prediction import predict_dataset
from kp2seg.skeleton import skeleton_channels
from kp2seg.template_files import load_templates
from kp2seg.training import SegTrainer

_SHEET_PICTURES = 8


def build_trainer(config: DictConfig, *, strict: bool = False) -> SegTrainer:
    """A training run, ready to `resume` and `fit`. Nothing is written yet.

    Args:    config: of `kp2seg.lazy_config.load_seg_config`.  strict: raise at the first thing that
             is wrong in the data.
    Raises:  SegConfigError, DataError, CheckpointError: what is wrong is named.
    """
    run = config.train
    _check_counts(config)
    model = build_model(config)
    if run.init:
        start = read_seg_checkpoint(run.init)
        load_weights(model, start.weights, start.path)
    train = {}
    for name in training_sets(config):
        train[name] = _read(config, name, model, strict)
        check_keypoints(model, train[name], name)
    first = next(iter(train.values()))
    evaluation = Evaluator(config, model, strict=strict) if run.eval_every else None
    return SegTrainer(
        model,
        make(config.optimizer, "optimizer", params=model.parameters()),
        training_batches(config, train),
        make(config.schedule, "schedule"),
        out=run.out,
        config=config_to_text(config, discovery=first.coco.get("discovery")),
        steps=run.steps,
        evaluate=evaluation,
        draw=evaluation.draw if evaluation and takes_keypoints(model) else None,
        eval_every=run.eval_every,
        checkpoint_every=run.checkpoint_every,
        log_every=run.log_every,
        seed=run.seed,
        amp=run.amp,
        ema_decay=run.ema_decay,
        clip_norm=run.clip_norm,
    )


def build_model(config: DictConfig) -> nn.Module:
    """The untrained model of a configuration, on the run's device.

    A mask head's in_channels of null becomes, in the configuration too, what it has to be.

    Raises: SegConfigError: arguments that do not fit.
    """
    device = choose_device(config.train.device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", comm.get_local_rank())
    _count_channels(config.model)
    torch.manual_seed(config.train.seed)
    model: nn.Module = make(config.model, "model")
    train_depthwise_in_float32(model)
    model.to(device)
    if config.train.channels_last:
        model.to(memory_format=torch.channels_last)
    return model


def training_sets(config: DictConfig) -> list[str]:
    """The names of data.train, one or a list. Raises: SegConfigError: none, or one twice."""
    train = config.data.train
    names = [train] if isinstance(train, str) else list(train)
    if not names or len(set(names)) < len(names):
        raise SegConfigError(f"data.train: expected different data sets, at least one, got {names}")
    return names


def training_batches(
    config: DictConfig, sets: Mapping[str, KeypointData]
) -> Callable[[int], Iterable[list[dict[str, Any]]]]:
    """First step → batches of training pictures from there on, shuffled by the run's seed.

    Args:   sets: by name, those of `training_sets`, with the same keypoints.
    Raises: DataError: no pictures.  ValueError: a batch that the processes cannot share.
            SegConfigError: data.repeat is not of as many sets.
    """
    given: Any = config.data.get("repeat")
    repeat = [1] * len(sets) if given is None else given
    repeat = [repeat] if isinstance(repeat, int) else list(repeat)
    if len(repeat) != len(sets) or not all(type(n) is int and n > 0 for n in repeat):
        raise SegConfigError(
            f"data.repeat: expected how often, at least once, for each of the {len(sets)} sets of "
            f"data.train, got {given}"
        )
    for name, data in sets.items():
        if not data.coco["images"]:
            raise DataError(f"{name}: no picture is left to train on; {data.report}")
    records = PackedRecords(
        {**record, "copy": copy}
        for data, times in zip(sets.values(), repeat, strict=True)
        for copy in range(times)
        for record in dataset_dicts(data)
    )
    mapper = PoseMapper(
        next(iter(sets.values())).keypoint_names,
        augmentation=make(config.data.augmentation, "data.augmentation"),
        donors=records,
        seed=config.train.seed,
    )

    def batches(first_step: int) -> Iterable[list[dict[str, Any]]]:
        keys = TrainingBatches(
            len(records),
            config.data.pictures_per_step,
            seed=config.train.seed,
            first_step=first_step,
            rank=comm.get_rank(),
            world_size=comm.get_world_size(),
        )
        return load_pictures(records, mapper, keys, workers=config.data.workers)

    batches(0)  # what is wrong is said at once
    return batches


class Evaluator:
    """Model → figures on the test sets of a configuration, which are read once.

    The first figure is AP on the first set, with predicted scores where the model has any.

    Raises: DataError, ValueError: a set that cannot be read, or whose keypoints are not the
            model's.
    """

    def __init__(self, config: DictConfig, model: nn.Module, *, strict: bool = False) -> None:
        self.amp = config.train.amp
        self.sets = {
            name: _read(config, name, model, strict, keep_empty_images=True)
            for name in config.data.test
        }
        for name, data in self.sets.items():
            check_keypoints(model, data, name)

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Args: model: in evaluation mode. Returns: "set/mode/figure" and "set/mean_iou"."""
        figures: dict[str, float] = {}
        for name, data in self.sets.items():
            predictions = predict_dataset(
                model,
                dataset_dicts(data),
                PoseMapper(data.keypoint_names),
                category_ids=category_ids(data.coco),
                amp=self.amp,
            )
            result = evaluate(data.coco, predictions)
            for mode in reversed(list(result.scores)):
                for figure in ("AP", "AP50", "AR"):
                    key = f"{short_name(name)}/{mode}/{figure}"
                    figures[key] = getattr(result.scores[mode], figure)
            figures[f"{short_name(name)}/mean_iou"] = result.iou.mean
        return figures

    def draw(self, model: nn.Module) -> np.ndarray:
        """A contact sheet of people of the first set. Args: model: in evaluation mode."""
        data = next(iter(self.sets.values()), None)
        pictures = []
        if data is not None:
            mapper = PoseMapper(data.keypoint_names)
            pictures = [mapper(record) for record in islice(dataset_dicts(data), _SHEET_PICTURES)]
        return mask_sheet(model, pictures, connections(model))


def _read(
    config: DictConfig,
    name: str,
    model: nn.Module,
    strict: bool,
    *,
    keep_empty_images: bool = False,
) -> KeypointData:
    """A data set of a run; for a detector, of data.category and perhaps with empty pictures."""
    category = config.data.get("category")
    if category is not None and takes_keypoints(model):
        raise SegConfigError(
            f"data.category: {category!r}: is of a detector; a Pose2Seg takes the class that has "
            "keypoints"
        )
    return read_dataset(
        name,
        strict=strict,
        keypoints=takes_keypoints(model),
        category=category,
        keep_empty_images=keep_empty_images,
    )


def category_ids(coco: dict[str, Any]) -> list[int]:
    """The data set's category id of each class of a model, classes in the order of their ids."""
    return sorted(row["id"] for row in coco["categories"])


def takes_keypoints(model: nn.Module) -> bool:
    """Whether it makes masks of given people; a detector, such as Mask R-CNN, finds its own."""
    return hasattr(model, "templates")


def connections(model: nn.Module) -> list[tuple[int, int]]:
    """The limbs that a model's templates have."""
    templates: Any = model.templates
    return list(templates.connections)


def check_keypoints(model: nn.Module, data: KeypointData, name: str) -> None:
    """Raises SegConfigError unless a data set has the keypoints of a model's templates, if any."""
    if not takes_keypoints(model):
        return
    templates: Any = model.templates
    if tuple(templates.names) != tuple(data.keypoint_names):
        raise SegConfigError(
            f"{name}: its keypoints are {', '.join(data.keypoint_names)}; the model's templates "
            f"have {', '.join(templates.names)}"
        )


def trained_model(
    checkpoint: SegCheckpoint, device: str | torch.device = "cpu", **changes: Any
) -> nn.Module:
    """The model of a checkpoint (`read_seg_checkpoint`), ready to predict and only that.

    Its batch norms are folded away, so its `state_dict` is no longer the checkpoint's.

    Args:    changes: of the model's arguments, such as people_chunk=8.
    Raises:  CheckpointError, SegConfigError: what is wrong is named.
    """
    model = model_from_text(checkpoint.config, str(checkpoint.path), **changes)
    load_weights(model, checkpoint.weights, checkpoint.path)
    model.to(device).to(memory_format=torch.channels_last)
    return folded(model.eval())


def folded(model: nn.Module) -> nn.Module:
    """A copy of a model that predicts only: without batch norms. Args: in evaluation mode."""
    return fold_batch_norms(model, _predict_one)


def _predict_one(model: nn.Module) -> None:
    """Sends one person, all of whose keypoints are in a small picture, through a model."""
    size = (64, 64)
    templates: Any = getattr(model, "templates", None)
    n_keypoints = len(templates.names) if templates else 1
    points = np.random.default_rng(0).uniform(8, 56, (n_keypoints, 2))
    people = detected_instances([Pose(points, np.full(n_keypoints, 2))], size, n_keypoints)
    people.gt_boxes = Boxes(torch.tensor([[8.0, 8, 56, 56]]))  # of models that find keypoints
    model([{"image": torch.zeros(3, *size, dtype=torch.uint8), "instances": people}])


def _count_channels(section: DictConfig) -> None:
    """Sets a mask head's in_channels and a backbone's guide_channels that are null."""
    if "mask_head" not in section:
        return
    skeleton = skeleton_channels(load_templates(section.templates))
    if section.aligner.backbone.get("guide_channels", 0) is None:
        section.aligner.backbone.guide_channels = skeleton
    if section.mask_head.get("in_channels", 0) is None:
        channels = make(section.aligner, "model.aligner").channels
        section.mask_head.in_channels = channels + section.get("skeleton", True) * skeleton


def _check_counts(config: DictConfig) -> None:
    """Numbers of steps that make no sense."""
    smallest = {"steps": 1, "eval_every": 0, "checkpoint_every": 1, "log_every": 1, "seed": 0}
    smallest |= {"clip_norm": 0}
    for name, least in smallest.items():
        if config.train[name] is None or config.train[name] < least:
            raise SegConfigError(
                f"train.{name}: expected at least {least}, got {config.train[name]}"
            )
