from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keypointnet.shapenet.ac3d import read_ac3d
from keypointnet.shapenet.models import ModelError, find_models, load_model
from keypointnet.shapenet.surfaces import UNTEXTURED, Soup

# a square in a moved group, a triangle strip, a line, and a disc that is left out
SNIPPET = """AC3Db
MATERIAL "red paint" rgb 1 0 0  amb 1 0 0  emis 0 0 0  spec 0 0 0  shi 10  trans 0
MATERIAL "glass" rgb 0 0 1  amb 0 0 1  emis 0 0 0  spec 0 0 0  shi 10  trans 0.5
OBJECT world
kids 3
OBJECT group
name "wing"
loc 10 0 0
kids 1
OBJECT poly
name "square"
data 11
OBJECT poly
texture "skin.png"
texrep 2 3
loc 0 1 0
numvert 4
0 0 0
1 0 0
1 1 0
0 1 0
numsurf 2
SURF 0x30
mat 1
refs 4
0 0 0
1 1 0
2 1 1
3 0 1
SURF 0x2
mat 0
refs 2
0 0 0
1 0 0
kids 0
OBJECT poly
name "strip"
numvert 4
0 0 0
1 0 0
0 1 0
1 1 0
numsurf 1
SURF 0x14
mat 0
refs 4
0 0 0 9 9

1 0 0 9 9
2 0 0 9 9
3 0 0 9 9
kids 0
OBJECT poly
name "propdisc"
numvert 3
0 0 5
1 0 5
0 1 5
numsurf 1
SURF 0x0
mat 0
refs 3
0 0 0
1 0 0
2 0 0
kids 0
"""


def read(text: str = SNIPPET, image: Image.Image | None = None) -> Soup:
    return read_ac3d(text, lambda name: image, drop=lambda name: name == "propdisc")


def test_read_ac3d_places_children_and_splits_polygons() -> None:
    soup = read()
    assert soup.corners.shape == (4, 3, 3)
    # the square lies at loc (10, 0, 0) of its group plus its own (0, 1, 0)
    square = [[[10, 1, 0], [11, 1, 0], [11, 2, 0]], [[10, 1, 0], [11, 2, 0], [10, 2, 0]]]
    np.testing.assert_array_equal(soup.corners[:2], square)
    # a strip alternates its winding: both triangles face +z
    strip = soup.corners[2:]
    normals = np.cross(strip[:, 1] - strip[:, 0], strip[:, 2] - strip[:, 0])
    np.testing.assert_array_equal(normals, [[0, 0, 1], [0, 0, 1]])


def test_read_ac3d_takes_colours_by_material() -> None:
    soup = read()
    assert (soup.texture == UNTEXTURED).all()
    assert soup.rgba[0, 0].tolist() == [0, 0, 255, 128]
    assert soup.rgba[2, 0].tolist() == [255, 0, 0, 255]


def test_read_ac3d_repeats_textures() -> None:
    image = Image.new("RGB", (2, 2), (1, 2, 3))
    soup = read(image=image)
    assert soup.texture.tolist() == [0, 0, UNTEXTURED, UNTEXTURED]
    assert soup.images == [image]
    np.testing.assert_array_equal(soup.uv[0], [[0, 0], [2, 0], [2, 3]])


def test_read_ac3d_turns_row_vectors() -> None:
    # v M with M's rows (0 1 0), (-1 0 0), (0 0 1): x goes to y
    turned = SNIPPET.replace("loc 0 1 0", "rot 0 1 0  -1 0 0  0 0 1")
    np.testing.assert_array_equal(read(turned).corners[0, 1], [10, 1, 0])


def test_read_ac3d_accepts_fewer_kids_than_announced() -> None:
    assert len(read(SNIPPET.replace("kids 3", "kids 5")).corners) == 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("v 0 0 0\n", "is no AC3D file"),
        (SNIPPET[: SNIPPET.index("SURF 0x14")], "is cut short"),
        (SNIPPET[:700], "is cut short|damaged"),
        (SNIPPET.replace("2 1 1\n", "7 1 1\n"), "square: a surface names a vertex that does not"),
        (SNIPPET.replace("1 0 5\n", "1 zero 5\n"), r"damaged near line \d+"),
        ("AC3Db\nOBJECT world\nkids 0\n", "no faces"),
    ],
)
def test_read_ac3d_names_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        read(text)


def test_load_model_reads_ac3d_with_its_texture(tmp_path: Path) -> None:
    (tmp_path / "plane.ac").write_text(SNIPPET)
    Image.new("RGB", (4, 4), (9, 99, 199)).save(tmp_path / "skin.png")
    (ref,) = find_models(tmp_path)
    model = load_model(ref)
    assert [mesh.visual.kind for mesh in model.meshes] == ["vertex", "texture"]
    assert model.meshes[1].visual.material.image.getpixel((0, 0)) == (9, 99, 199)


def test_load_model_keeps_ac3d_inside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "plane.ac").write_text(SNIPPET.replace("skin.png", "../skin.png"))
    with pytest.raises(ModelError, match=r"model plane .*\.\./skin\.png lies outside"):
        load_model(find_models(tmp_path)[0])
