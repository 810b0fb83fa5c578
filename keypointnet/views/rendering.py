"""Headless rendering of models to RGBA pictures. The only file that imports pyrender.

pyrender gives the graphics context that needs no display. Its own renderer draws into a 4-sample
framebuffer, evaluates a physically based material for each light, sets every uniform by name for
each view, and reads the depth back; none of that is needed here. So the drawing is a small program
of our own: a model is uploaded once, each view is one matrix and one draw call into a framebuffer
of twice the size without multisampling, and a box filter makes the picture.
benchmarks/bench_rendering.py holds the two against each other.

Traps this file deals with: a child forked after its parent used OpenGL hangs (refused here; use
spawned processes); deleting one pyrender renderer takes the display from all others in its process
(the context is made once for a process and never deleted); surfaces that are wound the wrong way
or occur twice (drawn from both sides, the normal turned to the camera).
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from keypointnet.views.drawing import SURFACES, DrawnGroup, Framebuffer, Program, RenderingError
from keypointnet.views.lights import Lights
from keypointnet.views.mesh_buffers import DrawGroup, draw_groups

if TYPE_CHECKING:
    from keypointnet.shapenet.models import Model

__all__ = ["Graphics", "PlacedModel", "RenderingError", "UploadedModel", "ViewRenderer"]


class Graphics:
    """This process's OpenGL context, its programs, and the module OpenGL.GL."""

    def __init__(self) -> None:
        os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
        os.environ.setdefault("PYGLET_HEADLESS", "1")
        self.pid = os.getpid()
        try:
            from pyrender.offscreen import OffscreenRenderer

            owner = OffscreenRenderer(1, 1)
            self.platform = owner._platform
        except Exception as error:  # ImportError, AssertionError, an EGL error: all mean the same
            raise RenderingError(
                f"no headless OpenGL ({type(error).__name__}: {error}). On Debian or Ubuntu: "
                "apt-get install -y --no-install-recommends libegl1 libgl1 libxrender1"
            ) from error
        # left to the interpreter's end, it would complain about modules that are gone already
        atexit.register(_delete_in_same_process, owner, self.pid)
        from OpenGL import GL

        self.gl: Any = GL
        self.programs = {
            (surface, lit): Program(GL, surface, lit)
            for surface in SURFACES
            for lit in (True, False)
        }

    def make_current(self) -> None:
        """OpenGL's calls go here from now on."""
        self.platform.make_current()


def _delete_in_same_process(owner: Any, pid: int) -> None:
    if pid == os.getpid():
        with contextlib.suppress(Exception):  # another pyrender renderer may have ended the display
            owner.delete()


_context: Graphics | None = None


def _get_context() -> Graphics:
    global _context
    if _context is None:
        _context = Graphics()
    if _context.pid != os.getpid():
        raise RenderingError(
            "this process was forked from one that already rendered, and OpenGL would hang in it; "
            "start worker processes with multiprocessing.get_context('spawn')"
        )
    _context.make_current()
    return _context


class ViewRenderer:
    """Renders views of one size. Use as a context manager, or call close().

    Several may live in one process; all must be used from the thread that made the first.
    """

    def __init__(self, height: int, width: int, supersample: int = 2) -> None:
        """Make the framebuffer.

        Args:    height, width: of the pictures, px.  supersample: samples along each axis of a
                 pixel; 2 looks like 4-sample multisampling, 1 is jagged.
        Raises:  ValueError: a size below 1 or beyond what the graphics system can draw.
                 RenderingError: no graphics system, or a forked process.
        """
        if min(height, width, supersample) < 1:
            raise ValueError(
                f"ViewRenderer: height, width and supersample must be >= 1, got {height}, "
                f"{width}, {supersample}"
            )
        self.height, self.width, self.supersample = height, width, supersample
        self._context: Graphics | None = _get_context()
        gl = self._context.gl
        limit = int(gl.glGetIntegerv(gl.GL_MAX_RENDERBUFFER_SIZE))
        h, w = height * supersample, width * supersample
        if max(h, w) > limit:
            raise ValueError(
                f"ViewRenderer: {width}x{height} at {supersample} samples is {w}x{h}, "
                f"more than this graphics system's {limit}; ask for less"
            )
        self._framebuffer = Framebuffer(gl, h, w)
        self._pixels = np.empty((h, w, 4), np.uint8)

    def __enter__(self) -> ViewRenderer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the framebuffer. A second call does nothing."""
        if self._context is not None and self._context.pid == os.getpid():
            self._context.make_current()
            self._framebuffer.free(self._context.gl)
        self._context = None

    def render(
        self, model: Model, T_world2cam: np.ndarray, K_px: np.ndarray, lights: Lights | None = None
    ) -> np.ndarray:
        """One view of a model. For several, `upload` once and call its `render`.

        Convention, arguments, result: as UploadedModel.render.
        """
        with self.upload(model) as uploaded:
            return uploaded.render(T_world2cam, K_px, lights)

    @property
    def graphics(self) -> Graphics:
        """What it draws with.

        Raises:  RuntimeError: the renderer is closed.
        """
        if self._context is None:
            raise RuntimeError("ViewRenderer: closed; make another")
        return self._context

    def render_together(
        self,
        models: Sequence[PlacedModel],
        T_world2cam: np.ndarray,
        K_px: np.ndarray,
        lights: Lights | None = None,
    ) -> np.ndarray:
        """One view of several uploaded models, the nearer hiding the farther.

        Convention, other arguments, result: as UploadedModel.render. The hemisphere's light falls
        along each model's own +Y.
        """
        lights = Lights() if lights is None else lights
        graphics = self.graphics
        gl = graphics.gl
        T_world2cam = np.asarray(T_world2cam, dtype=np.float64)
        clip_from_cam = self.clip_from_camera(models, T_world2cam, K_px)
        lamp_direction = np.asarray(lights.lamp_direction, dtype=np.float64)
        graphics.make_current()
        self._framebuffer.begin(gl)
        for surface in SURFACES:
            program = graphics.programs[surface, True]
            gl.glUseProgram(program.id)
            for model, T_obj2world in models:
                drawn = model.groups(surface)
                if not drawn:
                    continue
                T_obj2cam = T_world2cam @ T_obj2world
                M_obj2cam = T_obj2cam[:3, :3]  # a rotation times a scale
                lamp = M_obj2cam.T @ lamp_direction
                values = {
                    "eye": -M_obj2cam.T @ T_obj2cam[:3, 3] / (M_obj2cam[0] @ M_obj2cam[0]),
                    "sky": lights.sky,
                    "ground": lights.ground,
                    "lamp": lights.lamp,
                    "lamp_direction": lamp / max(float(np.linalg.norm(lamp)), 1e-12),
                }
                clip_from_obj = (clip_from_cam @ T_obj2cam).astype(np.float32)
                gl.glUniformMatrix4fv(program.at["clip_from_world"], 1, gl.GL_TRUE, clip_from_obj)
                for name, value in values.items():
                    gl.glUniform3f(program.at[name], *value)
                for group in drawn:
                    group.draw(gl)
        gl.glUseProgram(0)
        h, w = self._pixels.shape[:2]
        gl.glReadPixels(0, 0, w, h, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE, self._pixels)
        if self.supersample == 1:
            return self._pixels.copy()
        size = (self.width, self.height)
        return np.asarray(cv2.resize(self._pixels, size, interpolation=cv2.INTER_AREA))

    def clip_from_camera(
        self, models: Sequence[PlacedModel], T_world2cam: np.ndarray, K_px: np.ndarray
    ) -> np.ndarray:
        """OpenCV camera coordinates -> clip coordinates between whose planes the models fit.

        Returns: (4, 4).
        """
        near, far = np.inf, -np.inf
        for model, T_obj2world in models:
            depth, radius = model.depth(T_world2cam @ T_obj2world)
            near, far = min(near, depth - 1.01 * radius), max(far, depth + 1.01 * radius)
        K_px = np.asarray(K_px, dtype=np.float64)
        return _clip_from_camera(K_px, (self.height, self.width), near, far)

    @contextlib.contextmanager
    def upload(self, model: Model) -> Iterator[UploadedModel]:
        """Put a model where it is drawn from, for the duration of a with block.

        Raises:  ValueError: the model has nothing to draw, or a coordinate is not finite; the
                 message names it.
        """
        graphics = self.graphics
        try:
            groups = draw_groups(model.meshes)
        except ValueError as error:
            raise ValueError(f"{model.id} cannot be rendered: {error}") from None
        graphics.make_current()
        uploaded = UploadedModel(self, graphics, groups)
        try:
            yield uploaded
        finally:
            uploaded._free()


class UploadedModel:
    """A model in graphics memory; made by ViewRenderer.upload."""

    def __init__(self, renderer: ViewRenderer, context: Graphics, groups: list[DrawGroup]) -> None:
        self._renderer = renderer
        self._context = context
        points = np.concatenate([group.positions for group in groups]).astype(np.float64)
        self.bounds = np.stack([points.min(axis=0), points.max(axis=0)])  # low, high corner
        self._middle = self.bounds.mean(axis=0)
        self._radius = float(np.linalg.norm(points - self._middle, axis=1).max())
        self._drawn: list[DrawnGroup] = []
        for group in groups:
            self._drawn.append(DrawnGroup(context.gl, group))
        error = context.gl.glGetError()
        if error:
            self._free()
            raise RenderingError(f"uploading a model failed with OpenGL error {error}")

    def _free(self) -> None:
        self._context.make_current()
        for drawn in self._drawn:
            drawn.free(self._context.gl)
        self._drawn = []

    def render(
        self, T_world2cam: np.ndarray, K_px: np.ndarray, lights: Lights | None = None
    ) -> np.ndarray:
        """One view, on transparent black.

        Convention: OpenCV camera; pixel centres at +0.5 in K_px, which is for the renderer's size.
        Args:    T_world2cam: (4, 4).  K_px: (3, 3), no skew.  lights: Lights() if None.
        Returns: (height, width, 4) uint8: alpha is how much of the pixel the object covers, and
                 RGB is premultiplied: over a background b the picture is rgb + (1 - alpha/255) b.
        """
        return self._renderer.render_together(
            [PlacedModel(self, np.eye(4))], T_world2cam, K_px, lights
        )

    def groups(self, surface: str) -> list[DrawnGroup]:
        """What is drawn with the programs for one of drawing.SURFACES.

        Raises:  RuntimeError: the model is in graphics memory no more.
        """
        if not self._drawn:
            raise RuntimeError("UploadedModel: used after its with block")
        return [group for group in self._drawn if group.surface == surface]

    def depth(self, T_obj2cam: np.ndarray) -> tuple[float, float]:
        """How far the middle lies along the optical axis, and the radius round it, world units."""
        scale = float(np.linalg.norm(T_obj2cam[2, :3]))
        middle = float(T_obj2cam[2, :3] @ self._middle + T_obj2cam[2, 3])
        return middle, scale * self._radius


class PlacedModel(NamedTuple):
    """An uploaded model and where it stands.

    Attributes:
        model: in the with block of its upload.
        T_obj2world: (4, 4), a rotation, one scale for all axes, and a translation.
    """

    model: UploadedModel
    T_obj2world: np.ndarray


def _clip_from_camera(
    K_px: np.ndarray, size: tuple[int, int], near: float, far: float
) -> np.ndarray:
    """OpenCV camera coordinates -> OpenGL clip coordinates, the picture upside down.

    OpenGL hands pictures over from the bottom row up; drawn upside down they arrive the right way
    round. (Nothing here depends on which way round a face is seen to be wound.)
    """
    height, width = size
    far = max(far, 1e-3)
    near = max(near, 1e-4 * far)
    return np.array(
        [
            [2 * K_px[0, 0] / width, 0, 2 * K_px[0, 2] / width - 1, 0],
            [0, 2 * K_px[1, 1] / height, 2 * K_px[1, 2] / height - 1, 0],
            [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, 1, 0],
        ]
    )
