"""The tool and, under it, keypointnet.ablation."""

import json

import cv2
import pytest

from keypointnet import ablation
from keypointnet.ablation import VARIANTS
from keypointnet.checkpoints import read_checkpoint
from keypointnet.config import load_config

SETTINGS = """
model: {{num_keypoints: 4, channels: 8, orientation_channels: 8}}
data:
  image_size: 32
  workers: 0
  train:
    - {{path: {root}, subset: train}}
  test:
    - {{path: {root}, subset: test}}
optim: {{steps: 4, pairs_per_step: 2}}
loss: {{flag_anneal_start: 2, flag_anneal_end: 4}}
run: {{device: cpu, log_every: 1, eval_every: 100, eval_pairs: 2}}
"""


@pytest.fixture
def tool(load_tool):
    return load_tool("ablate")


@pytest.fixture
def config(blob_root, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SETTINGS.format(root=blob_root))
    return path


def test_every_variant_changes_one_thing(config):
    plain = load_config(config)
    assert VARIANTS["all"] == ()
    for name, changes in VARIANTS.items():
        changed = load_config(config, changes)
        assert (changed == plain) == (name == "all")
    assert {f"n{n}" for n in (3, 5, 8, 10, 15, 20)} < VARIANTS.keys()
    terms = ("consistency", "pose", "separation", "silhouette", "variance")
    for term in terms:
        assert getattr(load_config(config, VARIANTS[f"no_{term}"]).loss, term) == 0


def test_a_study_that_goes_on(tool, config, tmp_path, capsys, monkeypatch):
    out = tmp_path / "study"
    words = [str(out), "--config", str(config), "--steps", "2", "--only", "all", "no_orientation"]
    tool.main([*words, "--seeds", "0", "1"])
    printed = capsys.readouterr().out
    assert "4/4  no_orientation, seed 1" in printed
    lines = printed.splitlines()
    row = next(line for line in lines if line.startswith("all "))
    assert row.count("±") == 6
    row = next(line for line in lines if line.startswith("no_orientation "))
    assert row.split()[-2:] == ["–", "–"]  # no orientation network, no accuracy of it
    results = json.loads((out / "results.json").read_text())
    assert results["study"]["steps"] == 2
    assert list(results["variants"]) == ["all", "no_orientation"]
    assert results["variants"]["all"]["summary"]["mean_deg"]["n"] == 2
    last = read_checkpoint(out / "all/seed-1/checkpoints/last.safetensors")
    assert (last.step, last.config.run.seed, last.config.loss.flag_anneal_end) == (2, 1, 2)
    height, width = cv2.imread(str(out / "keypoints.png")).shape[:2]
    assert width > 2 * 5 * 64

    # Nothing is trained twice; what is new is added.
    trained = []
    train = ablation.Trainer

    def counted(config, **options):
        trained.append(config.run.out)
        return train(config, **options)

    monkeypatch.setattr(ablation, "Trainer", counted)
    tool.main([*words[:-2], "n3"])
    assert trained == [str(out / "n3/seed-0")]
    kept = json.loads((out / "results.json").read_text())["variants"]
    assert list(kept) == ["all", "no_orientation", "n3"]
    assert kept["all"] == results["variants"]["all"]
    assert cv2.imread(str(out / "keypoints.png")).shape[0] > 1.8 * height
    tool.main([*words[:-2], "all", "--seeds", "2"])  # a further seed keeps the others
    assert trained[1:] == [str(out / "all/seed-2")]
    kept = json.loads((out / "results.json").read_text())["variants"]["all"]
    assert [row["seed"] for row in kept["checkpoints"]] == [2, 0, 1]
    assert kept["summary"]["mean_deg"]["n"] == 3
    with pytest.raises(SystemExit, match=r"^ablate: \S+seed-0: holds a run of other settings"):
        tool.main([*words, "--seeds", "0", "--config", str(config), "optim.learning_rate=1"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "no_poes"], "no variant 'no_poes'; did you mean no_pose"),
        (["--steps", "0"], "argument --steps: expected at least 1, got 0"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml"),
        (["--only", "all", "--steps", "1", "data.test=[]"], "data.test: names no views to evalu"),
        (["--seeds", "1", "0", "1"], "the same seed twice in 1, 0, 1"),
        (["--only", "n3", "all", "n3"], "the same variant twice in n3, all, n3"),
    ],
)
def test_mistakes_end_with_one_line(tool, config, tmp_path, words, message):
    with pytest.raises(SystemExit, match=rf"^ablate: [^\n]*{message}[^\n]*$"):
        tool.main([str(tmp_path / "study"), "--config", str(config), *words])
    assert not list(tmp_path.rglob("last.safetensors"))  # said before anything is trained
