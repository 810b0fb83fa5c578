"""tools/shapenet.py bench, and the one of its measurements that trains."""

import json

import pytest

from keypointnet.checkpoints import read_checkpoint
from keypointnet.shapenet.bench_training import MARKER, forget_training, training_figures
from keypointnet.shapenet.commands import bench
from keypointnet.shapenet.writing import write_shapenet_model
from keypointnet.shapes import make_model
from keypointnet.views.storage import StorageError


def test_it_measures_what_is_not_known_yet(load_tool, tmp_path, monkeypatch, capsys):
    calls = []

    def measure(name, value):
        return lambda args: calls.append((name, str(args.models), args.seeds)) or value

    figures = {"first": {"share": 0.98765, "seeds": [0, 1]}, "second": [{"n": 2, "s": 0.5}]}
    for name, value in figures.items():
        monkeypatch.setitem(bench.MEASUREMENTS, name, measure(name, value))
    tool, out = load_tool("shapenet"), tmp_path / "bench.json"
    command = ["bench", "models", "--out", str(out)]
    assert tool.main([*command, "--only", "first"]) == 0
    assert json.loads(out.read_text()) == {"first": figures["first"]}
    assert tool.main([*command, "--seeds", "4", "--only", "first", "second"]) == 0
    assert calls == [("first", "models", [0, 1, 2]), ("second", "models", [4])]
    said = capsys.readouterr().out
    assert "  share: 0.9877\n  seeds: 0, 1\n" in said
    assert "second:\n  n 2, s 0.5\n" in said
    with pytest.raises(SystemExit, match=r"models: has no aeroplanes, chairs50; tools/get_free"):
        tool.main([*command, "--only", "alignment"])
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(SystemExit, match=r"list\.json: has something else in it than figures"):
        tool.main([*command[:2], "--out", str(tmp_path / "list.json"), "--only", "first"])
    tool.main([*command, "--only", "first", "--again"])
    assert [name for name, *_ in calls] == ["first", "second", "first"]
    with pytest.raises(SystemExit, match="invalid choice: 'third'"):
        tool.main([*command, "--only", "third"])


def test_again_forgets_what_training_kept(load_tool, tmp_path, monkeypatch):
    kept = []

    def measure(args):
        folder = args.out.with_suffix(".training")
        kept.append(sorted(path.name for path in folder.iterdir()))
        if len(kept) == 2:
            raise KeyboardInterrupt
        return {"share": len(kept)}

    monkeypatch.setitem(bench.MEASUREMENTS, "training", measure)
    models, out = tmp_path / "models", tmp_path / "bench.json"
    (models / "chairs50").mkdir(parents=True)
    folder = tmp_path / "bench.training"
    for name in ("alignment", "views", "mine"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("")
    command = ["bench", str(models), "--out", str(out), "--only", "training"]
    tool = load_tool("shapenet")
    assert tool.main(command) == 0
    with pytest.raises(SystemExit, match=r"bench\.training: expected a folder that bench made"):
        tool.main([*command, "--again"])
    assert (folder / "views" / "file").exists()
    assert json.loads(out.read_text()) == {"training": {"share": 1}}
    (folder / MARKER).write_text("")
    with pytest.raises(SystemExit) as ended:
        tool.main([*command, "--again"])
    assert ended.value.code == 130
    assert json.loads(out.read_text()) == {}  # so that it goes on without --again
    assert tool.main(command) == 0
    assert json.loads(out.read_text()) == {"training": {"share": 3}}
    assert kept == [["alignment", "mine", "views"], [MARKER, "mine"], [MARKER, "mine"]]
    forget_training(tmp_path / "nothing")


def test_training_wants_held_out_models_before_all_the_work(tmp_path):
    write_shapenet_model(make_model("chair", 0), tmp_path / "models/03001627/a")
    with pytest.raises(StorageError, match=r"models: has no split\.json, so there are no held-out"):
        training_figures(tmp_path / "models", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_models_turned_aligned_rendered_and_trained_on_twice(tmp_path):
    models, out = tmp_path / "models", tmp_path / "out"
    ids = [f"03001627/c{seed}" for seed in range(4)]
    for seed, model_id in enumerate(ids):
        write_shapenet_model(make_model("chair", seed), models / model_id)
    split = {"train": ids[:3], "test": ids[3:]}
    (models / "split.json").write_text(json.dumps(split))
    tiny = [
        *("model.channels=4", "model.orientation_channels=4", "model.num_keypoints=4"),
        *("data.image_size=16", "optim.steps=2", "optim.pairs_per_step=2", "run.device=cpu"),
    ]
    figures = training_figures(models, out, overrides=tiny, views=4)
    assert figures["difference_deg"] == pytest.approx(
        figures["aligned"]["mean_deg"] - figures["given"]["mean_deg"]
    )
    assert figures["given"]["models"] == figures["aligned"]["models"] == 1
    for name in ("given", "aligned"):
        assert read_checkpoint(out / name / "checkpoints/last.safetensors").step == 2
        assert json.loads((out / "views" / name / "split.json").read_text()) == split
    made = json.loads((out / "alignment/transforms.json").read_text())
    assert set(made["models"]) == set(ids)
    assert json.loads((out / "alignment/models/split.json").read_text()) == split

    before = (out / "alignment/transforms.json").stat().st_mtime_ns
    assert training_figures(models, out, overrides=tiny, views=4) == figures
    assert (out / "alignment/transforms.json").stat().st_mtime_ns == before

    forget_training(out)  # it made the folder itself
    assert [path.name for path in out.iterdir()] == [MARKER]
