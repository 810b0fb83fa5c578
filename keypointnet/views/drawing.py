"""OpenGL objects that are drawn with: shader programs, framebuffers, vertex arrays, textures.

Functions take the module OpenGL.GL as an argument, because it may be imported only after the
platform has been chosen; a context must be current.
"""

from __future__ import annotations

import ctypes
from typing import Any

import cv2
import numpy as np

from keypointnet.views.mesh_buffers import DrawGroup

_MAX_TEXTURE = 1024

_VERTEX_SHADER = """#version 330 core
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec4 colour;
layout(location = 3) in vec2 uv;
uniform mat4 clip_from_world;
uniform vec3 eye;
out vec3 v_normal;
out vec3 v_to_eye;
out vec4 v_colour;
out vec2 v_uv;
void main() {
    gl_Position = clip_from_world * vec4(position, 1.0);
    v_normal = normal;
    v_to_eye = eye - position;
    v_colour = vec4(pow(colour.rgb, vec3(2.2)), colour.a);
    v_uv = uv;
}
"""

_FRAGMENT_SHADER = """#version 330 core
in vec3 v_normal;
in vec3 v_to_eye;
in vec4 v_colour;
in vec2 v_uv;
uniform vec3 sky;
uniform vec3 ground;
uniform vec3 lamp;
uniform vec3 lamp_direction;
#ifdef TEXTURED
uniform sampler2D picture;
#endif
out vec4 result;
void main() {
    vec3 base = v_colour.rgb;
#ifdef TEXTURED
    vec4 texel = texture(picture, v_uv);
#ifdef PIERCED
    if (texel.a < 0.5) discard;  // keeps the depth test from coming before the shading
#endif
    base *= pow(texel.rgb, vec3(2.2));
#endif
    base = mix(vec3(0.02), vec3(1.0), base);  // nothing real is blacker, and shape has to show
    vec3 n = normalize(v_normal);
    n = dot(n, v_to_eye) < 0.0 ? -n : n;
    vec3 light = mix(ground, sky, 0.5 + 0.5 * n.y) + lamp * max(0.0, dot(n, lamp_direction));
    result = vec4(pow(min(base * light, 1.0), vec3(1.0 / 2.2)), 1.0);
}
"""

_LIT = ("clip_from_world", "eye", "sky", "ground", "lamp", "lamp_direction")

# The same positions as above, to the bit: the two pictures' pixels then belong to the same faces.
_CODE_VERTEX_SHADER = """#version 330 core
layout(location = 0) in vec3 position;
uniform mat4 clip_from_world;
#ifdef PIERCED
layout(location = 3) in vec2 uv;
out vec2 v_uv;
#endif
void main() {
    gl_Position = clip_from_world * vec4(position, 1.0);
#ifdef PIERCED
    v_uv = uv;
#endif
}
"""

_CODE_FRAGMENT_SHADER = """#version 330 core
uniform vec4 code;
#ifdef PIERCED
in vec2 v_uv;
uniform sampler2D picture;
#endif
out vec4 result;
void main() {
#ifdef PIERCED
    if (texture(picture, v_uv).a < 0.5) discard;
#endif
    result = code;
}
"""


SURFACES = {"plain": "", "textured": "#define TEXTURED\n",
            "pierced": "#define TEXTURED\n#define PIERCED\n"}  # fmt: skip
"""Kinds of surfaces: of one colour a vertex, with a picture on them, with holes in that picture."""


class RenderingError(RuntimeError):
    """The graphics system cannot be used; the message says what to do."""


class Program:
    """A compiled shader pair and where its uniforms are.

    The lit one gives colours; the code one fills a surface with the uniform `code`.
    """

    def __init__(self, gl: Any, surface: str, lit: bool = True) -> None:
        from OpenGL.GL import shaders

        vertex_source, fragment_source, names = (
            (_VERTEX_SHADER, _FRAGMENT_SHADER, _LIT)
            if lit
            else (_CODE_VERTEX_SHADER, _CODE_FRAGMENT_SHADER, ("clip_from_world", "code"))
        )
        define = "core\n" + SURFACES[surface]
        vertex, fragment = (
            shaders.compileShader(source.replace("core\n", define, 1), kind)
            for source, kind in (
                (vertex_source, gl.GL_VERTEX_SHADER),
                (fragment_source, gl.GL_FRAGMENT_SHADER),
            )
        )
        # compileProgram would validate against a bound vertex array, which does not exist yet
        self.id = gl.glCreateProgram()
        gl.glAttachShader(self.id, vertex)
        gl.glAttachShader(self.id, fragment)
        gl.glLinkProgram(self.id)
        if not gl.glGetProgramiv(self.id, gl.GL_LINK_STATUS):
            raise RenderingError(f"shader program: {gl.glGetProgramInfoLog(self.id)!r}")
        self.at = {name: gl.glGetUniformLocation(self.id, name) for name in names}


class Framebuffer:
    """RGBA8 and a depth of 24 bits, without multisampling."""

    def __init__(self, gl: Any, h: int, w: int) -> None:
        """Make one of h x w px.

        Raises:  RenderingError: the graphics system refuses it.
        """
        self.h, self.w = h, w
        self._id = gl.glGenFramebuffers(1)
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, self._id)
        self._buffers = gl.glGenRenderbuffers(2)
        for buffer, storage, attachment in zip(
            self._buffers,
            (gl.GL_RGBA8, gl.GL_DEPTH_COMPONENT24),
            (gl.GL_COLOR_ATTACHMENT0, gl.GL_DEPTH_ATTACHMENT),
            strict=True,
        ):
            gl.glBindRenderbuffer(gl.GL_RENDERBUFFER, buffer)
            gl.glRenderbufferStorage(gl.GL_RENDERBUFFER, storage, w, h)
            gl.glFramebufferRenderbuffer(gl.GL_FRAMEBUFFER, attachment, gl.GL_RENDERBUFFER, buffer)
        if gl.glCheckFramebufferStatus(gl.GL_FRAMEBUFFER) != gl.GL_FRAMEBUFFER_COMPLETE:
            raise RenderingError(f"the graphics system refused a framebuffer of {w}x{h}")

    def begin(self, gl: Any) -> None:
        """Draw here from now on, over nothing; the nearest surface wins, seen from either side."""
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, self._id)
        gl.glViewport(0, 0, self.w, self.h)
        gl.glDisable(gl.GL_CULL_FACE)
        gl.glDisable(gl.GL_BLEND)
        gl.glEnable(gl.GL_DEPTH_TEST)
        gl.glDepthMask(gl.GL_TRUE)
        gl.glDepthFunc(gl.GL_LESS)
        gl.glClearColor(0.0, 0.0, 0.0, 0.0)
        gl.glClear(gl.GL_COLOR_BUFFER_BIT | gl.GL_DEPTH_BUFFER_BIT)

    def free(self, gl: Any) -> None:
        """Give the memory back."""
        gl.glDeleteFramebuffers(1, [self._id])
        gl.glDeleteRenderbuffers(2, self._buffers)


class DrawnGroup:
    """A DrawGroup in graphics memory."""

    def __init__(self, gl: Any, group: DrawGroup) -> None:
        uv = np.zeros((len(group.positions), 0), np.float32) if group.uv is None else group.uv
        rows = np.concatenate(
            [group.positions, group.normals, group.colours.view(np.float32), uv], axis=1
        ).astype(np.float32)
        self.count = group.indices.size
        self.closed = group.closed
        self.array = gl.glGenVertexArrays(1)
        gl.glBindVertexArray(self.array)
        self.buffers = gl.glGenBuffers(2)
        gl.glBindBuffer(gl.GL_ARRAY_BUFFER, self.buffers[0])
        gl.glBufferData(gl.GL_ARRAY_BUFFER, rows.nbytes, rows, gl.GL_STATIC_DRAW)
        indices = np.ascontiguousarray(group.indices, dtype=np.uint32)
        gl.glBindBuffer(gl.GL_ELEMENT_ARRAY_BUFFER, self.buffers[1])
        gl.glBufferData(gl.GL_ELEMENT_ARRAY_BUFFER, indices.nbytes, indices, gl.GL_STATIC_DRAW)
        stride = rows.shape[1] * 4
        layout = [(3, gl.GL_FLOAT, False, 0), (3, gl.GL_FLOAT, False, 12)]
        layout.append((4, gl.GL_UNSIGNED_BYTE, True, 24))
        if group.uv is not None:
            layout.append((2, gl.GL_FLOAT, False, 28))
        for slot, (size, kind, normalised, offset) in enumerate(layout):
            gl.glEnableVertexAttribArray(slot)
            gl.glVertexAttribPointer(slot, size, kind, normalised, stride, ctypes.c_void_p(offset))
        gl.glBindVertexArray(0)
        self.texture = None if group.texture is None else _upload_texture(gl, group.texture)
        self.surface = "plain"
        if group.texture is not None:
            self.surface = "textured" if group.texture[..., 3].min() == 255 else "pierced"

    def draw(self, gl: Any) -> None:
        """Draw with the program in use."""
        if self.texture is not None:
            gl.glActiveTexture(gl.GL_TEXTURE0)
            gl.glBindTexture(gl.GL_TEXTURE_2D, self.texture)
        if self.closed:
            gl.glEnable(gl.GL_CULL_FACE)
            gl.glFrontFace(gl.GL_CW)  # the picture is drawn upside down
        gl.glBindVertexArray(self.array)
        gl.glDrawElements(gl.GL_TRIANGLES, self.count, gl.GL_UNSIGNED_INT, None)
        gl.glBindVertexArray(0)
        gl.glDisable(gl.GL_CULL_FACE)

    def free(self, gl: Any) -> None:
        """Give the memory back."""
        gl.glDeleteVertexArrays(1, [self.array])
        gl.glDeleteBuffers(2, self.buffers)
        if self.texture is not None:
            gl.glDeleteTextures(1, [self.texture])


def _upload_texture(gl: Any, picture: np.ndarray) -> int:
    """(h, w, 4) uint8, first row = v of 1 -> a texture that repeats, with mipmaps."""
    largest = max(picture.shape[:2])
    if largest > _MAX_TEXTURE:
        scale = _MAX_TEXTURE / largest
        picture = np.asarray(
            cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        )
    picture = np.ascontiguousarray(picture[::-1])
    texture = int(gl.glGenTextures(1))
    gl.glBindTexture(gl.GL_TEXTURE_2D, texture)
    gl.glPixelStorei(gl.GL_UNPACK_ALIGNMENT, 4)
    gl.glTexImage2D(
        gl.GL_TEXTURE_2D,
        0,
        gl.GL_RGBA8,
        picture.shape[1],
        picture.shape[0],
        0,
        gl.GL_RGBA,
        gl.GL_UNSIGNED_BYTE,
        picture,
    )
    gl.glTexParameteri(gl.GL_TEXTURE_2D, gl.GL_TEXTURE_MIN_FILTER, gl.GL_LINEAR_MIPMAP_LINEAR)
    gl.glTexParameteri(gl.GL_TEXTURE_2D, gl.GL_TEXTURE_MAG_FILTER, gl.GL_LINEAR)
    gl.glTexParameteri(gl.GL_TEXTURE_2D, gl.GL_TEXTURE_WRAP_S, gl.GL_REPEAT)
    gl.glTexParameteri(gl.GL_TEXTURE_2D, gl.GL_TEXTURE_WRAP_T, gl.GL_REPEAT)
    gl.glGenerateMipmap(gl.GL_TEXTURE_2D)
    return texture
