"""A KeypointNet and the masks' model that was trained on its keypoints, as one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor

from keypointnet.checkpoints import Checkpoint, read_checkpoint
from kp2seg.checkpoints import SegCheckpoint, read_seg_checkpoint, save_seg_checkpoint
from kp2seg.discovery import earlier_result
from kp2seg.keypoint_sources.discovered import Finding
from kp2seg.lazy_config import SegConfigError, has_templates


def bundled(
    finder: Checkpoint,
    segmenter: SegCheckpoint,
    finding: Finding,
    category: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Tensor], str]:
    """Weights and configuration of their `DiscoveringPose2Seg`.

    Args:    segmenter: of a `Pose2Seg`; its checkpoint holds its templates.
             category: of the objects, with id and name; kept for `bundled_category`.
    Returns: name → tensor, and the configuration as text; see `save_seg_checkpoint`.
    Raises:  SegConfigError: the second is no `Pose2Seg`, or takes another number of keypoints.
    """
    if not has_templates(segmenter.config):
        raise SegConfigError(f"{segmenter.path}: takes no keypoints; expected a Pose2Seg")
    inner = OmegaConf.to_container(OmegaConf.create(segmenter.config).model)
    assert isinstance(inner, dict)
    names = inner["templates"]["names"]
    found = finder.config.model.num_keypoints + len(finding.extra_names)
    if len(names) != found:
        raise SegConfigError(
            f"{segmenter.path}: takes {len(names)} keypoints, {finder.path} finds {found}"
        )
    model = {
        "_target_": "kp2seg.modeling.discovering.DiscoveringPose2Seg",
        "keypointnet": {
            "_target_": "keypointnet.model.KeypointNet",
            **asdict(finder.config.model),
        },
        "crop_size": finder.config.data.image_size,
        "segmenter": inner,
        **asdict(finding),
    }
    weights = {f"keypointnet.{name}": value for name, value in finder.weights.items()}
    weights |= {f"segmenter.{name}": value for name, value in segmenter.weights.items()}
    config: dict[str, Any] = {"model": model}
    if category is not None:
        config["category"] = {name: category[name] for name in ("id", "name") if name in category}
    return weights, OmegaConf.to_yaml(OmegaConf.create(config))


def save_bundle(file: Path, finder: Path, segmenter: Path, points: Path) -> None:
    """Writes both networks as one checkpoint.

    Args:    finder, segmenter: checkpoints of a KeypointNet and of a `Pose2Seg`.
             points: what `discover_dataset` wrote with the former; has class and settings.
    Raises:  CheckpointError: one is none.  As `earlier_result` and `bundled`.
    """
    category, finding = earlier_result(points, finder)
    masks = read_seg_checkpoint(segmenter)
    tensors, text = bundled(read_checkpoint(finder), masks, finding, category)
    save_seg_checkpoint(file, {"model": tensors}, step=masks.step, config=text)


def bundled_category(config: str) -> dict[str, Any]:
    """The id and the name of a bundle's class, as far as its configuration knows them."""
    return _section(config, "category")


def differences(segmenter: SegCheckpoint, finding: Finding, sha256: str) -> list[str]:
    """In what a bundle would differ from what the masks were trained on.

    Args:    sha256: of the KeypointNet's file.
    Returns: a text for each setting; none where they agree, or where it is not known, because the
             keypoints were annotated or the checkpoint is of an older version.
    """
    trained = _section(segmenter.config, "discovery")
    if not trained:
        return []
    texts = []
    for name, standard in asdict(Finding()).items():
        there, here = trained.get(name, standard), getattr(finding, name)
        if there != here:
            texts.append(f"{name} {there}, here {here}")
    if trained.get("sha256", sha256) != sha256:
        texts.append(f"other KeypointNet weights ({trained.get('weights')})")
    return texts


def _section(config: str, name: str) -> dict[str, Any]:
    """A part of a stored configuration, empty where it has none."""
    stored = OmegaConf.to_container(OmegaConf.create(config))
    assert isinstance(stored, dict)
    return dict(stored.get(name) or {})
