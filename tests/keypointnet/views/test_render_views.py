import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from keypointnet.views.storage import ViewStore

ROOT = Path(__file__).parents[3]
QUICK = ["--views", "2", "--size", "24x32"]


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("render_views")


def box_obj(offset: float = 0.0, head: str = "", extra: str = "") -> str:
    box = trimesh.creation.box((1.0, 2.0, 0.5))
    lines = [head]
    lines += [f"v {x + offset} {y + offset} {z + offset}" for x, y, z in box.vertices]
    lines += [extra]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in box.faces]
    return "\n".join(lines) + "\n"


def test_bad_meshes_are_reported_and_stop_nothing(tool, tmp_path, capsys):
    models = tmp_path / "models"
    models.mkdir()
    (tmp_path / "secret.mtl").write_text("newmtl m\nKd 1 0 0\n")
    (models / "good.obj").write_text(box_obj())
    (models / "far.obj").write_text(box_obj(offset=1000.0))
    (models / "lost_texture.obj").write_text(
        box_obj(head="mtllib lost_texture.mtl", extra="vt 0 0\nusemtl m")
    )
    (models / "lost_texture.mtl").write_text("newmtl m\nKd 0.2 0.4 0.6\nmap_Kd gone.png\n")
    (models / "empty.obj").write_text("")
    (models / "garbage.obj").write_bytes(np.random.default_rng(0).bytes(4000))
    (models / "garbage.glb").write_bytes(np.random.default_rng(1).bytes(4000))
    (models / "no_faces.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    (models / "nan.obj").write_text(box_obj().replace("v 0.5 1.0 0.25", "v nan 1.0 0.25", 1))
    assert "nan" in (models / "nan.obj").read_text()
    (models / "outside.obj").write_text(box_obj(head="mtllib ../secret.mtl", extra="usemtl m"))
    (models / "split.json").write_text('{"train": ["good"], "test": ["far"]}')

    out = tmp_path / "out"
    assert tool.main([str(models), str(out), "--workers", "2", *QUICK]) == 0
    failures = json.loads((out / "failures.json").read_text())
    store = ViewStore(out)
    bad = {"empty", "garbage.obj", "garbage.glb", "nan", "no_faces", "outside"}
    assert set(failures) == bad
    assert set(store.models) == {"good", "far", "lost_texture"}
    assert "empty" in failures["empty"]
    assert "cannot be read" in failures["garbage.glb"]
    assert "NaN" in failures["nan"]
    assert "no faces" in failures["no_faces"]
    assert "secret.mtl" in failures["outside"]
    for model_id, reason in failures.items():
        assert model_id.removesuffix(".obj") in reason
    printed = capsys.readouterr().out
    assert "3 rendered, 6 failed" in printed
    assert all(f"  {model_id}: " in printed for model_id in bad)
    # 1 km from the origin is no different once it is normalised, and a lost texture is a colour.
    assert (store.view("far", 0).rgba[..., 3] > 0).mean() > 0.05
    plain = store.view("lost_texture", 0).rgba
    assert plain[plain[..., 3] == 255][:, 2].mean() > plain[plain[..., 3] == 255][:, 0].mean() + 20
    notes = json.loads((out / "notes.json").read_text())
    assert list(notes) == ["lost_texture"]
    assert "gone.png" in notes["lost_texture"][0]
    assert store.split == {"train": ["good"], "test": ["far"]}

    # Again: what is there is skipped, what failed is tried again and reported again.
    stamp = (out / "good.zip").stat().st_mtime_ns
    assert tool.main([str(models), str(out), "--workers", "1", *QUICK]) == 0
    assert (out / "good.zip").stat().st_mtime_ns == stamp
    assert "3 models and variants are there already" in capsys.readouterr().out
    assert set(json.loads((out / "failures.json").read_text())) == bad

    # A file that was cut short is not there.
    whole = (out / "good.zip").read_bytes()
    (out / "good.zip").write_bytes(whole[:-30])
    assert tool.main([str(models), str(out), "--workers", "1", *QUICK]) == 0
    assert (out / "good.zip").read_bytes() == whole
    assert "2 models and variants are there already" in capsys.readouterr().out


def test_nothing_but_failures_is_a_failure(tool, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    (models / "empty.obj").write_text("")
    out = tmp_path / "out"
    assert tool.main([str(models), str(out), "--shard", "0/2", "--workers", "1", *QUICK]) == 1
    assert list(json.loads((out / "failures-0of2.json").read_text())) == ["empty"]


def test_options_reach_the_pictures(tool, tmp_path):
    options = ["--variants", "1", "--lights", "random", "--background", "255,0,0", "--roll", "0"]
    options += ["20", "--fov", "6", "--limit", "1", "--workers", "1", *QUICK]
    assert tool.main(["chair:3", str(tmp_path), *options]) == 0
    store = ViewStore(tmp_path)
    assert store.models == ["chair-00000", "chair-00000@1"]
    one, two = (store.view(model_id, 0).rgba for model_id in store.models)
    assert (one != two).any()
    assert (one[..., 3] == 255).all()
    np.testing.assert_array_equal(one[0, 0], [255, 0, 0, 255])
    assert store.info["background"] == [255, 0, 0]
    assert store.info["cameras"]["roll_deg"] == [0.0, 20.0]
    assert store.view("chair-00000", 0).K_px[0, 0] == pytest.approx(16 / np.tan(np.radians(3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "OUT"], "render_views: nowhere: no such folder"),
        (["chair:3", "OUT", "--views", "0"], "--views: expected at least 1, got 0"),
        (["chair:3", "OUT", "--workers", "0"], "--workers: expected at least 1, got 0"),
        (["chair:3", "OUT", "--fov", "500"], "fov_deg must be in"),
        (["chair:3", "OUT", "--elevation", "60", "20"], "elevation_deg"),
    ],
)
def test_wrong_arguments_get_one_line(tool, tmp_path, arguments, message):
    arguments = [str(tmp_path / "out") if a == "OUT" else a for a in arguments]
    with pytest.raises(SystemExit, match=rf"^[^\n]*{message}[^\n]*$"):
        tool.main(arguments)
    assert not list(tmp_path.rglob("*.zip"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard", "3/3"], "expected I/N with I from 0 to N - 1, got '3/3'"),
        (["--size", "0"], "expected pixels as 128 or 96x128"),
        (["--background", "300,0,0"], "expected transparent or 255,255,255"),
        (["--lights", "neon"], "invalid choice: 'neon'"),
    ],
)
def test_malformed_flags_are_explained(tool, tmp_path, arguments, message):
    with pytest.raises(SystemExit, match=f"^render_views: .*{message}"):
        tool.main(["chair:3", str(tmp_path), *arguments])


def test_changed_settings_are_refused(tool, tmp_path):
    arguments = ["chair:1", str(tmp_path), "--workers", "1", *QUICK]
    assert tool.main(arguments) == 0
    with pytest.raises(SystemExit, match=r"other settings \(seed: 0 there, 4 asked for\)"):
        tool.main([*arguments, "--seed", "4"])


def test_the_benchmark_runs_and_its_pictures_agree(tmp_path):
    out = tmp_path / "rendering.json"
    subprocess.run(
        [sys.executable, ROOT / "benchmarks/bench_rendering.py", "--views", "6", "--out", out],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
    (result,) = json.loads(out.read_text())["rendering"]
    assert result["size"] == [128, 128]
    assert result["colour_difference"] < 2
    assert result["colour_difference_on_object"] < 2
    assert result["ratio"] > 2.5
