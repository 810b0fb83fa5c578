from __future__ import annotations

import io
import json
import runpy
import shutil
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from keypointnet.shapenet import chairs, free_models, sweethome3d
from keypointnet.shapenet.debian_packages import PackageError, unpack_deb, unpacked_package
from keypointnet.shapenet.models import Model, ModelRef, load_model, normalise_model
from keypointnet.shapenet.writing import write_shapenet_model

CATALOGUE = r"""# a comment
id=SweetHome3D#Test
license=Creative Commons Attribution \u00a9 somebody
id#1=Test#low
name#1=Low chair
model#1=/test/low/low.obj
width#1=50
depth#1=40
height#1=80
creator#1=An\=Other
modelRotation#1=1 0 0 0 0 1 0 -1 0
id#2=Test#sofa
name#2=Sofa
model#2=/test/sofa/sofa.obj
width#2=200
depth#2=80
height#2=80
creator#2=Someone
id#3=Test#table
name#3=Table
model#3=/test/table/table.obj
"""


def chair_mesh(seat: float) -> trimesh.Trimesh:
    """A seat and a back; +Y up, front +Z, as in the catalogue."""
    low = trimesh.creation.box(extents=(1, seat, 1))
    back = trimesh.creation.box(extents=(1, 1, 0.1))
    back.apply_translation([0, seat / 2 + 0.5, -0.45])
    return trimesh.util.concatenate([low, back])


def library(path: Path, n_chairs: int) -> None:
    path.parent.mkdir(parents=True)
    lines = ["license=CC0"]
    with zipfile.ZipFile(path, "w") as file:
        for k in range(1, n_chairs + 2):
            kind = "Chair" if k <= n_chairs else "Sofa"
            mesh = chair_mesh(0.2 + 0.4 * k)
            width, height, depth = (100 * mesh.extents).round(3)
            lines += [f"id#{k}=Test#c{k}", f"name#{k}={kind}", f"model#{k}=/test/c{k}/c{k}.obj"]
            lines += [f"width#{k}={width}", f"height#{k}={height}", f"depth#{k}={depth}"]
            lines += [f"creator#{k}=Maker {k}"]
            file.writestr(f"test/c{k}/c{k}.obj", mesh.export(file_type="obj"))
        file.writestr("PluginFurnitureCatalog.properties", "\n".join(lines))


def ar_member(name: str, content: bytes) -> bytes:
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return head + content + b"\n" * (len(content) % 2)


def deb_of(path: Path, files: dict[str, bytes]) -> Path:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    control = io.BytesIO()
    with tarfile.open(fileobj=control, mode="w:xz"):
        pass
    members = [("debian-binary", b"2.0\n"), ("control.tar.xz", control.getvalue())]
    members.append(("data.tar.xz", packed.getvalue()))
    path.write_bytes(b"!<arch>\n" + b"".join(ar_member(*member) for member in members))
    return path


# ---------------------------------------------------------------------------------- catalogue


def test_parse_catalogue_reads_entries_and_escapes() -> None:
    low, sofa, table = sweethome3d.parse_catalogue(CATALOGUE, Path("Test.sh3f"))
    assert (low.id, low.name, low.creator) == ("Test#low", "Low chair", "An=Other")
    assert low.license == "Creative Commons Attribution © somebody"
    assert low.size_cm == (50, 80, 40)
    assert low.slug == "test-low"
    np.testing.assert_array_equal(low.R_file2catalogue, [[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    np.testing.assert_array_equal(sofa.R_file2catalogue, np.eye(3))
    assert table.size_cm == (0, 0, 0)


def test_parse_catalogue_names_a_bad_entry() -> None:
    with pytest.raises(ValueError, match="modelRotation of Test#low is no rotation"):
        sweethome3d.parse_catalogue(CATALOGUE.replace("1 0 0 0 0 1 0", "2 0 0 0 0 1 0"), Path("T"))
    with pytest.raises(ValueError, match="entry Test#low names no model"):
        sweethome3d.parse_catalogue("id#1=Test#low\n", Path("T"))


def test_chairs_and_more_seats_are_told_apart() -> None:
    catalogue = sweethome3d.parse_catalogue(CATALOGUE, Path("Test.sh3f"))
    wheelchair = replace(catalogue[0], id="Blend Swap CC-BY#wheelchair", name="Wheelchair")
    toilet = replace(catalogue[0], id="Blend Swap CC-BY#modernToilet", name="Toilets unit")
    offered = [*catalogue, wheelchair, toilet]
    assert [item.id for item in chairs.chairs_of(offered)] == ["Test#low"]
    more = [item.id for item in chairs.more_seats_of(offered)]
    assert more == ["Test#sofa", "Blend Swap CC-BY#wheelchair"]


def test_shapenet_matrix_turns_the_front_and_sets_the_size() -> None:
    low, sofa, _ = sweethome3d.parse_catalogue(CATALOGUE, Path("Test.sh3f"))
    box = np.array([[x, y, z] for x in (0, 2) for y in (0, 1) for z in (0, 4)], float)
    matrix = sweethome3d.shapenet_matrix(sofa, box)
    # the front, +Z in the catalogue, goes to -Z; 2 x 1 x 4 becomes 200 x 80 x 80 cm
    np.testing.assert_allclose(matrix @ [0, 0, 1], [0, 0, -20])
    np.testing.assert_allclose(np.ptp(box @ matrix.T, axis=0), [200, 80, 80])
    assert np.linalg.det(matrix) > 0
    # the file's +z is up where the catalogue says (0 0 1) for its second row
    assert (sweethome3d.shapenet_matrix(low, box) @ [0, 0, 1])[1] > 0


# ----------------------------------------------------------------------------------- packages


@pytest.mark.parametrize("with_dpkg", [True, False])
def test_unpacked_package_uses_a_given_deb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_dpkg: bool
) -> None:
    if with_dpkg and shutil.which("dpkg") is None:
        pytest.skip("no dpkg on this machine")
    if not with_dpkg:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    deb = deb_of(tmp_path / "some-data_1.0_all.deb", {"usr/share/a.txt": b"odd"})
    folder = unpacked_package("some-data", tmp_path / "cache", [Path("other_1_all.deb"), deb])
    assert (folder / "usr" / "share" / "a.txt").read_bytes() == b"odd"
    deb.unlink()
    assert unpacked_package("some-data", tmp_path / "cache") == folder


def test_unpacked_package_says_what_to_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(PackageError, match=r"no apt-get: download the \.deb .*--deb some-data_"):
        unpacked_package("some-data", tmp_path)
    failing = tmp_path / "apt-get"
    failing.write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
    failing.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(failing))
    with pytest.raises(PackageError, match=r"Unable to locate package\): run `apt-get update`"):
        unpacked_package("some-data", tmp_path)


def test_unpack_deb_names_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    deb = deb_of(tmp_path / "a_1_all.deb", {"a": b"x" * 1000})
    deb.write_bytes(deb.read_bytes()[:-40])
    with pytest.raises(PackageError, match="is cut short"):
        unpack_deb(deb, tmp_path / "out")
    deb_of(deb, {"a": b"x" * 1000})
    whole = deb.read_bytes()
    for start in (whole.index(b"data.tar") + 48, whole.index(b"data.tar") + 70):
        deb.write_bytes(whole[:start] + b"?" * 10 + whole[start + 10 :])
        with pytest.raises(PackageError, match=r"a_1_all.deb: is damaged \(.*\); fetch it again"):
            unpack_deb(deb, tmp_path / "out")
    deb.write_bytes(b"garbage")
    with pytest.raises(PackageError, match="not an ar archive"):
        unpack_deb(deb, tmp_path / "out")
    with pytest.raises(PackageError, match="no such file"):
        unpack_deb(tmp_path / "gone.deb", tmp_path / "out")


@pytest.mark.parametrize("filters", [True, False], ids=["Python 3.11.4", "Python 3.11.2"])
def test_unpack_deb_writes_nothing_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filters: bool
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    if not filters:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    deb = deb_of(tmp_path / "a_1_all.deb", {"usr/kept.txt": b"a", "../../lost.txt": b"b"})
    unpack_deb(deb, tmp_path / "one" / "two")
    assert {path.name for path in tmp_path.rglob("*.txt")} == {"kept.txt"}
    assert (tmp_path / "one/two/usr/kept.txt").read_bytes() == b"a"


# -------------------------------------------------------------------------- the whole of chairs


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with an unpacked package of seven chairs and a sofa; two chairs are tested."""
    folder = tmp_path / "cache" / "sweethome3d-furniture" / "usr/share/sweethome3d/furniture"
    library(folder / "Test.sh3f", 7)
    few = replace(free_models.CLASSES["chairs"], n_test=2)
    monkeypatch.setitem(free_models.CLASSES, "chairs", few)
    return tmp_path / "cache"


def test_fetch_free_models_converts_splits_and_attributes(tmp_path: Path, cache: Path) -> None:
    out = tmp_path / "out"
    report = free_models.fetch_free_models("chairs", out, cache, more=True)
    assert (report["models"], report["train"], report["test"]) == (8, 6, 2)
    split = json.loads((out / "split.json").read_text())
    assert "03001627/test-c8" in split["train"]  # the sofa
    attribution = json.loads((out / "attribution.json").read_text())
    assert set(attribution) == {*split["train"], *split["test"]}
    assert attribution["03001627/test-c3"]["creator"] == "Maker 3"
    assert "| 03001627/test-c3 | Chair | Maker 3 | CC0 | sweethome3d-furniture |" in (
        out / "ATTRIBUTION.md"
    ).read_text(encoding="utf-8")
    path = out / "03001627" / "test-c1" / "models" / "model_normalized.obj"
    (mesh,) = load_model(ModelRef("c1", path)).meshes
    # upright, the back is at the rear: the highest points have z > 0, since the front is -Z
    top = mesh.vertices[mesh.vertices[:, 1] > mesh.vertices[:, 1].max() - 1e-6]
    assert top[:, 2].min() > 0


def test_fetch_free_models_skips_what_is_finished(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = free_models.fetch_free_models("chairs", out, cache)
    (out / "03001627" / "test-c2" / "models" / "model_normalized.obj").unlink()
    written = []
    real = free_models.write_shapenet_model

    def write(model: Model, folder: Path) -> Path:
        written.append(folder.name)
        return real(model, folder)

    monkeypatch.setattr(free_models, "write_shapenet_model", write)
    monkeypatch.setattr(free_models, "split_models", None)  # the known split is used again
    assert free_models.fetch_free_models("chairs", out, cache) == first
    assert written == ["test-c2"]


def test_the_split_of_chairs_does_not_depend_on_more_seats(tmp_path: Path, cache: Path) -> None:
    free_models.fetch_free_models("chairs", tmp_path / "a", cache)
    free_models.fetch_free_models("chairs", tmp_path / "b", cache, more=True)
    tests = [json.loads((tmp_path / k / "split.json").read_text())["test"] for k in "ab"]
    assert tests[0] == tests[1]


def test_fetch_free_models_reports_a_model_that_fails(tmp_path: Path, cache: Path) -> None:
    path = next(cache.rglob("*.sh3f"))
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    content["test/c4/c4.obj"] = b""
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    report = free_models.fetch_free_models("chairs", tmp_path / "out", cache)
    assert report["models"] == 6
    failed = report["failed"]
    assert isinstance(failed, dict)
    assert list(failed) == ["test-c4"]
    assert "the file is empty" in failed["test-c4"]


def test_fetch_free_models_names_the_classes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown class boats: expected one of aeroplanes, cars"):
        free_models.fetch_free_models("boats", tmp_path)


def test_get_free_models_tool(
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tool = Path(__file__).parents[3] / "tools" / "get_free_models.py"
    argv = [str(tool), "chairs", str(tmp_path / "out"), "--cache", str(cache)]
    monkeypatch.setattr(sys, "argv", argv)
    runpy.run_path(str(tool), run_name="__main__")
    assert f"7 models in {tmp_path / 'out'}: 5 train, 2 test" in capsys.readouterr().out
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", [str(tool), "aeroplanes", str(tmp_path / "planes")])
    with pytest.raises(SystemExit, match=r"^get_free_models: .*flightgear-data-ai"):
        runpy.run_path(str(tool), run_name="__main__")


def test_write_shapenet_model_round_trip(tmp_path: Path) -> None:
    uv = np.array([[0.0, 0], [1, 0], [0, 1]])
    image = Image.new("RGB", (2, 2), (5, 6, 7))
    material = trimesh.visual.material.SimpleMaterial(image=image)
    triangle = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    triangle.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    box = trimesh.creation.box()
    colours = np.tile([10, 20, 30, 255], (12, 1)).astype(np.uint8)
    colours[:2] = [200, 100, 50, 128]
    box.unmerge_vertices()
    box.visual.vertex_colors = np.repeat(colours, 3, axis=0)
    model = normalise_model(Model("m", [box, triangle]))
    back = load_model(ModelRef("m", write_shapenet_model(model, tmp_path / "s" / "m")))
    assert [mesh.visual.kind for mesh in back.meshes] == ["vertex", "texture"]
    assert {tuple(map(int, c)) for c in back.meshes[0].visual.vertex_colors} == {
        (10, 20, 30, 255),
        (200, 100, 50, 128),
    }
    for before, after in zip(model.meshes, back.meshes, strict=True):
        np.testing.assert_allclose(after.bounds, before.bounds, atol=1e-6)
        assert after.area == pytest.approx(before.area, rel=1e-5)
    got = back.meshes[1]
    order = np.argsort(got.visual.uv @ [1, 2])
    np.testing.assert_allclose(got.vertices[order], model.meshes[1].vertices, atol=1e-6)
    assert got.visual.material.image.getpixel((1, 1)) == (5, 6, 7)
