"""Aeroplanes and cars from the packages' own formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from keypointnet.shapenet import aeroplanes, cars
from keypointnet.shapenet.models import ModelError

AC_BODY = """AC3Db
MATERIAL "m" rgb 1 1 1 amb 1 1 1 emis 0 0 0 spec 0 0 0 shi 0 trans 0
OBJECT world
kids 1
OBJECT poly
name "body"
texture "skin.png"
numvert 3
-3 0 0
1 1 0
1 0 2
numsurf 1
SURF 0x0
mat 0
refs 3
0 0 0
1 1 0
2 1 1
kids 0
"""


def aircraft(root: Path) -> Path:
    files = {
        "jet/Models/jet.ac": AC_BODY,
        "jet/Models/lights/flash.ac": AC_BODY,
        "jet/main.xml": "<PropertyList><path>Models/jet.ac</path></PropertyList>",
        "jet/red.xml": '<PropertyList include="main.xml">'
        "<texture-path>Textures/red</texture-path></PropertyList>",
        "jet/blue.xml": '<PropertyList include="main.xml">'
        "<texture-path>Textures/blue</texture-path></PropertyList>",
        "jet/broken.xml": "<PropertyList>",
        "balloon/Models/balloon.ac": AC_BODY,
    }
    for name, text in files.items():
        path = root / "AI" / "Aircraft" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, colour in {"red": (255, 0, 0), "blue": (0, 0, 255)}.items():
        folder = root / "AI" / "Aircraft" / "jet" / "Textures" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (2, 2), colour).save(folder / "skin.png")
    return root / "AI" / "Aircraft"


def test_aeroplanes_come_in_their_liveries(tmp_path: Path) -> None:
    (jet,) = aeroplanes.aeroplanes_of(aircraft(tmp_path))
    assert {livery.id for livery in jet} == {"jet-jet-red", "jet-jet-blue"}
    for livery in jet:
        (mesh,) = aeroplanes.read_aeroplane(livery).meshes
        expected = (255, 0, 0) if livery.id.endswith("red") else (0, 0, 255)
        assert mesh.visual.material.image.getpixel((0, 0)) == expected
        # the nose, at -X in the file, is the foremost point: -Z; +Z in the file goes to -X
        nose = mesh.vertices[np.argmin(mesh.vertices[:, 2])]
        np.testing.assert_allclose(nose, [0.5, -0.25, -1], atol=1e-9)


def test_aeroplane_of_no_ac3d_file_is_named(tmp_path: Path) -> None:
    ((livery, _),) = aeroplanes.aeroplanes_of(aircraft(tmp_path))
    livery.path.write_text("nothing")
    with pytest.raises(ModelError, match=r"model jet-jet-.*is no AC3D file"):
        aeroplanes.read_aeroplane(livery)


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        ("propdisc", True),
        ("Prop_Blur_L", True),
        ("RightPropeller.Fast", True),
        ("landing-light-cone", True),
        ("Green-Light-Flare", True),
        ("propeller", False),
        ("PropHub", False),
        ("PropControl", False),
        ("disk.noshadow", False),
        ("Fuselage", False),
        ("flaps", False),
    ],
)
def test_is_effect(name: str, effect: bool) -> None:
    assert aeroplanes.is_effect(name) is effect


WHEEL_XML = "".join(
    f'<section name="{end} Axle"><attnum name="xpos" val="{x}"/></section>'
    + "".join(
        f'<section name="{end} {side} Wheel"><attnum name="ypos" val="{y}"/>'
        '<attnum name="rim diameter" unit="in" val="20"/><attnum name="tire width" val="200"/>'
        '<attnum name="tire height-width ratio" val=".5"/></section>'
        for side, y in (("Right", -0.8), ("Left", 0.8))
    )
    for end, x in (("Front", 1.5), ("Rear", -1.25))
)


def test_wheels_of_reads_sizes_in_metres() -> None:
    xml = f'<?xml version="1.0"?>\n<!DOCTYPE params SYSTEM "x.dtd">\n<params>{WHEEL_XML}</params>'
    wheels = cars.wheels_of(xml.encode())
    # rim 20 in across: 0.254 m; tyre 0.2 m wide and half as high
    assert [wheel[1:] for wheel in wheels] == [pytest.approx((0.354, 0.254, 0.2))] * 4
    centres = [wheel[0] for wheel in wheels]
    np.testing.assert_allclose(centres[0], [1.5, 0.354, 0.8])
    np.testing.assert_allclose(centres[3], [-1.25, 0.354, -0.8])
    with pytest.raises(ValueError, match="Rear Axle has no xpos"):
        cars.wheels_of(xml.replace("Rear Axle", "Rear Shaft").encode())
    with pytest.raises(ValueError, match="not XML"):
        cars.wheels_of(b"<params>")


def test_wheel_soup_is_a_closed_wheel() -> None:
    soup = cars.wheel_soup(np.array([1.0, 0.3, 2.0]), radius=0.3, rim=0.2, width=0.1)
    points = soup.corners.reshape(-1, 3)
    np.testing.assert_allclose(points.min(axis=0), [0.7, 0, 1.95], atol=1e-12)
    np.testing.assert_allclose(points.max(axis=0), [1.3, 0.6, 2.05], atol=1e-12)
    mesh = trimesh.Trimesh(points, np.arange(len(points)).reshape(-1, 3))
    mesh.merge_vertices(digits_vertex=6)
    mesh.update_faces(mesh.nondegenerate_faces())
    edges = np.unique(np.sort(mesh.edges, axis=1), axis=0, return_counts=True)[1]
    assert set(edges) == {2}


def test_read_torcs_car_has_wheels_and_faces_front(tmp_path: Path) -> None:
    folder = tmp_path / "fast"
    folder.mkdir()
    body = AC_BODY.replace("-3 0 0", "2.5 0.5 0").replace("1 1 0\n1 0 2", "-2 1 0\n-2 0.5 1")
    (folder / "fast.acc").write_text(body)
    (folder / "fast.xml").write_text(f"<params>{WHEEL_XML}</params>")
    (folder / "readme.txt").write_text("Copyright 2002 A. Maker\nFree Art license\n")
    (found,) = cars.torcs_cars_of(tmp_path)
    plain = cars.read_torcs_car(found).meshes[0]
    # the body's nose at +X goes to -Z: the foremost point of all
    everything = np.concatenate([mesh.vertices for mesh in cars.read_torcs_car(found).meshes])
    assert len(plain.faces) > 100
    foremost = everything[np.argmin(everything[:, 2])]
    assert foremost[2] == pytest.approx(-1)
    attribution = cars.torcs_attribution(found)
    assert attribution["creator"] == "Copyright 2002 A. Maker"
    assert attribution["licence"].startswith("Free Art License")
    (folder / "fast.xml").unlink()
    with pytest.raises(ModelError, match=r"model torcs-fast .*no wheels"):
        cars.read_torcs_car(found)
