"""A `Pose2Seg` as a `torch.export` program, for a fixed number of people.

P people, K keypoints, m x m cells of a mask. OpenCV's part, the resampling of the picture's bytes,
stays outside of the program; so does the warping of masks back onto the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kp2seg.modeling.aligners import FeatureAligner, ImageAligner
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.modeling.people import People


def export_pose2seg(model: Pose2Seg, n_people: int) -> torch.export.ExportedProgram:
    """The network of a model, from resampled pictures to masks in their regions.

    With a `FeatureAligner` of input_size S the program takes
        letterboxed (1, 3, S, S) float32 of 0 to 255, of `FeatureAligner.letterboxed`,
        keypoints (P, K, 2) float32 px of the original picture, pixel centres at + 0.5,
        visibility (P, K) int64, COCO's codes; what is missing may be NaN,
        size (2,) float32, (h, w) px of the original picture,
    and returns probabilities (P, 1, m, m), A_img2mask (P, 3, 3) float64 for `warp_back`, and
    quality (P,) where there is a quality branch. Of the convention "published" it lacks the
    reference's float32 rounding of similarities (`kp2seg.affine.fit_similarity_single`).

    With an `ImageAligner` of region_size R it takes
        regions (P, 3, R, R) float32 of 0 to 255, already cut from the picture,
        keypoints (P, K, 2) float32 px of the region, pixel centres at + 0.5,
        visibility (P, K) int64,
    and returns probabilities (P, 1, m, m) of the region, and quality (P,) as above.

    Args:    model: in evaluation mode; the program is for its device.  n_people: P; give people
             with visibility 0 where there are fewer.
    Raises:  ValueError: a model in training mode, n_people below 1, or regions that would have to
             be cut once more for `mirrored`.
    """
    if model.training:
        raise ValueError("export_pose2seg: expected a model in evaluation mode; call model.eval()")
    if n_people < 1:
        raise ValueError(f"export_pose2seg: expected n_people of at least 1, got {n_people}")
    if model.mirrored and isinstance(model.aligner, ImageAligner):
        raise ValueError(
            "export_pose2seg: the model averages with mirrored regions, and a program of regions "
            "asks once; set model.mirrored = False"
        )
    aligner, device = model.aligner, model.device
    keypoints = torch.zeros(n_people, len(model.templates.names), 2, device=device)
    visibility = torch.zeros(keypoints.shape[:2], dtype=torch.long, device=device)
    program: nn.Module
    inputs: tuple[Tensor, ...]
    if isinstance(aligner, FeatureAligner):
        side = aligner.input_size
        size = torch.tensor([side, side], dtype=torch.float32, device=device)
        picture = torch.zeros(1, 3, side, side, device=device)
        program, inputs = _FromPicture(model, aligner), (picture, keypoints, visibility, size)
    else:
        assert isinstance(aligner, ImageAligner)
        side = aligner.region_size
        regions = torch.zeros(n_people, 3, side, side, device=device)
        program, inputs = _FromRegions(model, aligner), (regions, keypoints, visibility)
    with torch.no_grad():
        return torch.export.export(program.eval(), inputs)


@dataclass(frozen=True)
class _PeopleOfOnePicture(People):
    """People of a picture whose size is a tensor, so that a program can take any."""

    size: Tensor

    def source_sizes(self) -> Tensor:
        return self.size.double().expand(len(self), 2)


class _FromPicture(nn.Module):
    def __init__(self, model: Pose2Seg, aligner: FeatureAligner) -> None:
        super().__init__()
        self.model, self.aligner = model, aligner

    def forward(
        self, letterboxed: Tensor, keypoints: Tensor, visibility: Tensor, size: Tensor
    ) -> tuple[Tensor, ...]:
        one = torch.zeros_like(visibility[:, 0])
        people = _PeopleOfOnePicture(keypoints, visibility, one, one, [], size)
        regions = self.aligner.match(people, self.model.template_points)
        seen = self.aligner.feature_maps(letterboxed)
        masks = self.model.masks_of(seen, people, regions)
        outputs = (masks.logit.float().sigmoid(), masks.A_img2mask)
        return outputs if masks.quality is None else (*outputs, masks.quality)


class _FromRegions(nn.Module):
    def __init__(self, model: Pose2Seg, aligner: ImageAligner) -> None:
        super().__init__()
        self.model, self.aligner = model, aligner

    def forward(self, regions: Tensor, keypoints: Tensor, visibility: Tensor) -> tuple[Tensor, ...]:
        kpts_grid = keypoints.double() / self.aligner.stride
        maps = self.model.skeleton_of(kpts_grid, visibility)
        aligned = self.aligner.region_features(regions, maps if self.model.guided else None)
        prediction = self.model.predict(aligned, maps)
        probabilities = prediction.logit.float().sigmoid()
        if self.model.quality_head is None:
            return (probabilities,)
        return probabilities, self.model.quality_head(prediction)
