import itertools
import pickle
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

from kp2seg.build import trained_model
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.lazy_config import load_seg_config
from kp2seg.modeling.published_weights import our_name


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("convert_weights")


def published_names() -> list[str]:
    """Tensors of the published network, and of larger ones: those without a place are left out."""
    batch_norm = ("weight", "bias", "running_mean", "running_var")
    layers = [("backbone.conv1", "backbone.bn1"), ("segnet.conv1", "segnet.bn1")]
    blocks = [f"backbone.layer{n}.{i}" for n in (1, 2, 3, 4) for i in range(6)]
    blocks += [f"segnet.layer1.{i}" for i in range(10)] + ["segnet.decoder1.0"]
    for block, number in itertools.product(blocks, (1, 2, 3, 4)):
        layers.append((f"{block}.conv{number}", f"{block}.bn{number}"))
    for block in blocks[-11:]:
        layers.append((f"{block}.downsample.0", f"{block}.downsample.1"))
    names = [f"{conv}.{part}" for conv, _ in layers for part in ("weight", "bias")]
    names += [f"{norm}.{part}" for _, norm in layers for part in batch_norm]
    convs = [f"backbone.fpn_c{n}p{n}" for n in (1, 2, 3, 4)]
    convs += [f"backbone.fpn_p{n}" for n in (1, 2, 3, 4)] + ["segnet.pred_small"]
    return names + [f"{conv}.{part}" for conv in convs for part in ("weight", "bias")]


@pytest.mark.slow
def test_the_published_file_becomes_a_model(tool, tmp_path, capsys):
    expected = instantiate(load_seg_config(tool.CONFIG).model).state_dict()
    shapes = {name.removeprefix("aligner."): value.shape for name, value in expected.items()}
    tensors = {}
    for number, name in enumerate(published_names()):
        shape = shapes.get(our_name(name) or "")
        if shape is not None:
            # A number for each tensor, in a file of a few kilobytes.
            tensors[name] = torch.full((1,), 1e-3 * (1 + number % 7)).expand(shape)
    source = tmp_path / "pose2seg_release.pkl"
    torch.save(tensors, source)
    out = tmp_path / "weights" / "pose2seg.safetensors"
    tool.main(["pose2seg", str(source), str(out)])
    assert capsys.readouterr().out == (
        f"{out}: {len(tensors)} tensors, each used once; templates: ours, not the published ones\n"
    )
    learnt = [name for name in expected if not name.endswith("num_batches_tracked")]
    assert len(tensors) == len(learnt)

    checkpoint = read_seg_checkpoint(out)
    stem = "backbone.conv1.weight"
    ours = checkpoint.weights["aligner." + our_name(stem)]
    assert torch.equal(ours, tensors[stem].contiguous())
    model = trained_model(checkpoint)
    assert model.score_mode == "constant"
    assert model.aligner.convention == "published"
    out.unlink()  # it is large

    del tensors[stem]
    torch.save(tensors | {"backbone.fc.weight": torch.zeros(1)}, source)
    message = r"^convert_weights: .*is not the published Pose2Seg: backbone.fc.weight has no place"
    with pytest.raises(SystemExit, match=message):
        tool.main(["pose2seg", str(source), str(out)])
    assert not out.exists()


class Harmful:
    def __reduce__(self):
        return (exec, ("raise RuntimeError('executed')",))


def test_mistakes_end_with_one_line(tool, tmp_path, monkeypatch):
    out = str(tmp_path / "out.safetensors")
    broken, harmful = tmp_path / "broken.pkl", tmp_path / "harmful.pkl"
    broken.write_bytes(b"no weights")
    harmful.write_bytes(pickle.dumps({"backbone.conv1.weight": Harmful()}))
    for words, message in (
        (["pose2seg", "/nowhere.pkl", out], "/nowhere.pkl: no such file"),
        (["pose2seg", str(broken), out], "broken.pkl: is no torch file of plain weights"),
        (["pose2seg", str(harmful), out], "harmful.pkl: is no torch file of plain weights"),
        (["pose3seg", "x", out], "invalid choice: 'pose3seg'"),
        (["pose2seg", "x", "out.pkl"], "out.pkl: expected a name that ends in .safetensors"),
        (["pose2seg", str(broken), out, "--templates", "/nowhere.json"], "/nowhere.json"),
    ):
        with pytest.raises(SystemExit, match=rf"^convert_weights: [^\n]*{message}[^\n]*$"):
            tool.main(words)
    assert not Path(out).exists()
