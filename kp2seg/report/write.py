"""The report of a loop: keypoints, masks, what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kp2seg.loop.masks import MaskResult
from kp2seg.loop.study import figures
from kp2seg.report.exceptions import exception_sections
from kp2seg.report.keypoints import KeypointRun, keypoint_sections
from kp2seg.report.masks import MaskRun, mask_sections
from kp2seg.report.page import write_page


def write_report(
    path: Path,
    title: str,
    about: str,
    keypoints: KeypointRun | None,
    results: Mapping[str, MaskResult],
) -> None:
    """Writes the page of a KeypointNet and of the masks that were learnt from its points.

    Args:    about: a paragraph below the title.  keypoints: None where there are no views of its
             class.  results: of `kp2seg.loop.study.compare`, with
             "discovered" among them.
    Raises:  OSError: it cannot be written.  As `KeypointRun` and `MaskRun`.
    """
    run = MaskRun(results["discovered"])
    first, *others = mask_sections(results, run, figures(results))
    sections = [
        first,
        *(keypoint_sections(keypoints) if keypoints else []),
        *others,
        *exception_sections(keypoints, run),
    ]
    write_page(path, title, about, sections)
