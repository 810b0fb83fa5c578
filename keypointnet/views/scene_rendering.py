"""Pictures of several models with everything that is true about each: masks, hidden parts, depth.

Three passes over the same triangles: the colours (several samples for each pixel), the nearest
model at each pixel's centre with its depth, and, with the depth test off, which models cover that
centre at all. The last sets one bit for each model with a logical OR, so that its cost does not
grow with the square of their number, and draws only where a model may be behind another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from keypointnet.views.drawing import SURFACES, Framebuffer
from keypointnet.views.lights import Lights
from keypointnet.views.rendering import PlacedModel, UploadedModel, ViewRenderer
from keypointnet.views.scene_layout import box_corners

if TYPE_CHECKING:
    from keypointnet.shapenet.models import Model

MAX_OBJECTS = 32
"""In one picture: the bits of an RGBA pixel."""


@dataclass(frozen=True)
class RenderedScene:
    """A picture of M models.

    Attributes:
        rgba: (h, w, 4) uint8, premultiplied, as UploadedModel.render gives it.
        nearest: (h, w) int16: which model is seen at the pixel's centre, -1 for none.
        covered: (h, w) uint32: bit m is set where model m would be seen if it stood alone.
        depth: (h, w) float32: of what is seen, along the optical axis, world units; inf for none.
    """

    rgba: np.ndarray
    nearest: np.ndarray
    covered: np.ndarray
    depth: np.ndarray


class SceneRenderer:
    """Renders scenes of one size. Use as a context manager, or call close().

    The rules are ViewRenderer's.
    """

    def __init__(self, height: int, width: int, supersample: int = 2) -> None:
        """Make the framebuffers.

        Args, raises: as ViewRenderer.
        """
        self._views = ViewRenderer(height, width, supersample)
        self._masks = Framebuffer(self._views.graphics.gl, height, width)

    def __enter__(self) -> SceneRenderer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the framebuffers."""
        self._views.graphics.make_current()
        self._masks.free(self._views.graphics.gl)
        self._views.close()

    def upload(self, model: Model) -> AbstractContextManager[UploadedModel]:
        """Put a model where it is drawn from, as ViewRenderer.upload does."""
        return self._views.upload(model)

    def render(
        self,
        models: Sequence[PlacedModel],
        T_world2cam: np.ndarray,
        K_px: np.ndarray,
        lights: Lights | None = None,
    ) -> RenderedScene:
        """One picture.

        Args:    models: at most MAX_OBJECTS; the same upload may stand in several places.
                 T_world2cam: (4, 4).  K_px: (3, 3).  lights: Lights() if None.
        Raises:  ValueError: none, or too many.
        """
        masks = self.render_masks(models, T_world2cam, K_px)
        return RenderedScene(self.render_colours(models, T_world2cam, K_px, lights), *masks)

    def render_colours(
        self,
        models: Sequence[PlacedModel],
        T_world2cam: np.ndarray,
        K_px: np.ndarray,
        lights: Lights | None = None,
    ) -> np.ndarray:
        """RenderedScene's rgba.

        Args: as render.
        """
        return self._views.render_together(models, T_world2cam, K_px, lights)

    def render_masks(
        self, models: Sequence[PlacedModel], T_world2cam: np.ndarray, K_px: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What does not need colours: nearest, covered and depth of RenderedScene.

        Args, raises: as render.
        """
        if not 1 <= len(models) <= MAX_OBJECTS:
            raise ValueError(
                f"SceneRenderer.render: expected 1 to {MAX_OBJECTS} models, got {len(models)}"
            )
        self._views.graphics.make_current()
        clip_from_cam = self._views.clip_from_camera(models, T_world2cam, K_px)
        clip_from_world = clip_from_cam @ T_world2cam
        gl = self._views.graphics.gl
        h, w = self._masks.h, self._masks.w

        self._masks.begin(gl)
        ids = [(m + 1, 0, 0, 0) for m in range(len(models))]
        seen = self._filled(models, clip_from_world, ids, [(0, 0, w, h)] * len(models))
        ndc = np.empty((h, w), np.float32)
        gl.glReadPixels(0, 0, w, h, gl.GL_DEPTH_COMPONENT, gl.GL_FLOAT, ndc)
        nearest = seen[..., 0].astype(np.int16) - 1
        # the third row of clip_from_cam says ndc = a + b / depth
        a, b = clip_from_cam[2, 2:]
        depth = np.full((h, w), np.inf, np.float32)
        there = nearest >= 0
        depth[there] = b / (2.0 * ndc[there].astype(np.float64) - 1.0 - a)

        hidden = [
            _behind(nearest, m, clip_from_world @ T_obj2world @ _homogeneous(model.bounds))
            for m, (model, T_obj2world) in enumerate(models)
        ]
        self._masks.begin(gl)
        gl.glDisable(gl.GL_DEPTH_TEST)
        gl.glEnable(gl.GL_COLOR_LOGIC_OP)
        gl.glLogicOp(gl.GL_OR)
        bits = [
            tuple(np.array([1 << m], "<u4").view(np.uint8).tolist()) for m in range(len(models))
        ]
        try:
            filled = self._filled(models, clip_from_world, bits, hidden)
        finally:
            gl.glDisable(gl.GL_COLOR_LOGIC_OP)
        covered = filled.view("<u4")[..., 0].astype(np.uint32)
        covered[there] |= np.uint32(1) << nearest[there].astype(np.uint32)
        return nearest, covered, depth

    def _filled(
        self,
        models: Sequence[PlacedModel],
        clip_from_world: np.ndarray,
        codes: Sequence[tuple[int, ...]],
        windows: Sequence[tuple[int, int, int, int] | None],
    ) -> np.ndarray:
        """Draw each model in one RGBA of 0..255, within a window (x, y, w, h) px; None: nowhere.

        Returns: the (h, w, 4) uint8 that comes out.
        """
        graphics, gl = self._views.graphics, self._views.graphics.gl
        gl.glEnable(gl.GL_SCISSOR_TEST)
        for surface in SURFACES:
            program = graphics.programs[surface, False]
            gl.glUseProgram(program.id)
            for (model, T_obj2world), code, window in zip(models, codes, windows, strict=True):
                drawn = model.groups(surface)
                if not drawn or window is None:
                    continue
                matrix = (clip_from_world @ T_obj2world).astype(np.float32)
                gl.glUniformMatrix4fv(program.at["clip_from_world"], 1, gl.GL_TRUE, matrix)
                gl.glUniform4f(program.at["code"], *(value / 255 for value in code))
                gl.glScissor(*window)
                for group in drawn:
                    group.draw(gl)
        gl.glUseProgram(0)
        gl.glDisable(gl.GL_SCISSOR_TEST)
        h, w = self._masks.h, self._masks.w
        pixels = np.empty((h, w, 4), np.uint8)
        gl.glReadPixels(0, 0, w, h, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE, pixels)
        return pixels


def _homogeneous(bounds: np.ndarray) -> np.ndarray:
    """The corners of a box (2, 3), as columns (4, 8)."""
    return np.concatenate([box_corners(bounds).T, np.ones((1, 8))])


def _behind(
    nearest: np.ndarray, m: int, corners_clip: np.ndarray
) -> tuple[int, int, int, int] | None:
    """Where model m may be covered by others: a window (x, y, w, h) px, or None.

    Elsewhere it covers a pixel's centre where it is the nearest, and nowhere else.
    Args:    nearest: as RenderedScene has it.  corners_clip: (4, 8) of a box around the model.
    """
    h, w = nearest.shape
    left, top, right, bottom = 0, 0, w, h
    if (corners_clip[3] > 0).all():
        px = (corners_clip[:2] / corners_clip[3] + 1) / 2 * [[w], [h]]
        low, high = np.floor(px.min(axis=1)) - 1, np.ceil(px.max(axis=1)) + 1  # rounding: a pixel
        left, top = np.clip(low, 0, [w, h]).astype(int).tolist()
        right, bottom = np.clip(high, 0, [w, h]).astype(int).tolist()
    part = nearest[top:bottom, left:right]
    others = (part >= 0) & (part != m)
    rows, columns = np.flatnonzero(others.any(axis=1)), np.flatnonzero(others.any(axis=0))
    if not len(rows):
        return None
    x, y = int(columns[0]), int(rows[0])
    return left + x, top + y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y
