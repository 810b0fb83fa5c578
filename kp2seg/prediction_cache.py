"""A checkpoint's predictions of a data set: made once, read from their file afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from kp2seg.build import category_ids, check_keypoints, trained_model
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.data.catalog import dataset_dicts
from kp2seg.data.coco_json import KeypointData
from kp2seg.data.mapper import PoseMapper
from kp2seg.evaluation.cache import (
    Cache,
    StaleCacheError,
    make_fingerprint,
    read_cache,
    write_cache,
)
from kp2seg.keypoint_sources.annotated import annotated_poses
from kp2seg.keypoint_sources.boxes import BoxTable
from kp2seg.keypoint_sources.poses import PoseTable
from kp2seg.lazy_config import choose_device
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.prediction import predict_dataset


def cached_predictions(
    weights: Path,
    name: str,
    data: KeypointData,
    file: Path,
    *,
    source: PoseTable | BoxTable | None = None,
    device: str | torch.device = "auto",
    amp: bool = False,
    batch: int = 4,
    chunk: int = 8,
    workers: int = 0,
    again: bool = False,
    renew: bool = False,
    progress: bool = False,
) -> Cache:
    """Predictions from the file, or made and written to it.

    Args:    weights: of `kp2seg.checkpoints`.  name: of the data set, for the file and messages.
             source: whose keypoints, or boxes; the data's without.
             batch: pictures at once.  chunk: people through the mask head at once.
             workers: processes that read pictures.
             again: predict even if there is a file.  renew: where it is of something else.
    Raises:  StaleCacheError: the file was made from something else, unless `renew`.
             As `trained_model` and `predict_dataset`.
    """
    device = choose_device(str(device))
    checkpoint = read_seg_checkpoint(weights)
    poses = source or annotated_poses(data.coco, name)
    settings = {"model": checkpoint.config, "amp": amp, "device": device.type}
    fingerprint = make_fingerprint(weights, data, poses.fingerprint, json.dumps(settings))
    if file.exists() and not again:
        try:
            return read_cache(file, fingerprint)
        except StaleCacheError:
            if not renew:
                raise
    model = trained_model(checkpoint, device)
    for network in model.modules():
        if isinstance(network, Pose2Seg):
            network.people_chunk = chunk
    check_keypoints(model, data, name)
    rows = predict_dataset(
        model,
        dataset_dicts(data),
        PoseMapper(data.keypoint_names, source=source),
        category_ids=category_ids(data.coco),
        pictures_per_batch=batch,
        workers=workers,
        amp=amp,
        progress=progress,
    )
    write_cache(file, name, rows, fingerprint)
    return read_cache(file, fingerprint)
