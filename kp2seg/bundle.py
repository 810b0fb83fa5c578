"""A KeypointNet and the masks' model that was trained on its keypoints, as one checkpoint."""

from __future__ import annotations

from dataclasses import asdict

from omegaconf import OmegaConf
from torch import Tensor

from keypointnet.checkpoints import Checkpoint
from kp2seg.checkpoints import SegCheckpoint
from kp2seg.keypoint_sources.discovered import Finding
from kp2seg.lazy_config import SegConfigError, has_templates


def bundled(
    finder: Checkpoint, segmenter: SegCheckpoint, finding: Finding
) -> tuple[dict[str, Tensor], str]:
    """Weights and configuration of their `DiscoveringPose2Seg`.

    Args:    segmenter: of a `Pose2Seg`; its checkpoint holds its templates.
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
    return weights, OmegaConf.to_yaml(OmegaConf.create({"model": model}))
