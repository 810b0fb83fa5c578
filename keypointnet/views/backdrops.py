"""What is behind a scene: rooms made up to its horizon, or parts of somebody's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keypointnet.views.backgrounds import cropped_background, made_up_background
from keypointnet.views.scene_layout import SceneLayout


class Backdrops:
    """Draws backgrounds for the scenes of one folder.

    Args:    paths: pictures to take parts of; rooms are made up without any.
             unreadable: gets file name -> why of pictures that cannot be read; others take their
             places.
    """

    def __init__(self, paths: Sequence[Path], unreadable: dict[str, str]) -> None:
        self._paths, self._unreadable = list(paths), unreadable

    def draw(
        self, size: tuple[int, int], layout: SceneLayout, rng: np.random.Generator
    ) -> np.ndarray:
        """One background.

        Args:    size: (h, w) px.  layout: the camera in it says where the horizon is.
        Returns: (h, w, 3) uint8 RGB.
        Raises:  ValueError: there are pictures, and none can be read.
        """
        if self._paths:
            return self._photograph(size, rng)
        down = layout.T_world2cam[:3, 1]  # the world's up, in the camera
        tangent = down[1] and down[2] / down[1]
        horizon_px = layout.K_px[1, 2] - layout.K_px[1, 1] * tangent
        return made_up_background(size, horizon_px, rng)

    def _photograph(self, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        order = rng.permutation(len(self._paths))
        for path in (self._paths[i] for i in order):
            if path.name not in self._unreadable:
                try:
                    return cropped_background(path, size, rng)
                except ValueError as error:
                    self._unreadable[path.name] = str(error)
        raise ValueError(f"no background can be read; {next(iter(self._unreadable.values()))}")
