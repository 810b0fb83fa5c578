#!/usr/bin/env python3
"""Turns other projects' weights into this project's, strictly: every tensor used once, none left.

    tools/convert_weights.py pose2seg release.pkl OUT.safetensors --templates templates.json
    tools/convert_weights.py keypointnet MODEL_DIR OUT.safetensors

The published Pose2Seg masks need the published templates; without --templates the model has ours.
The result is read by tools/eval_seg.py and tools/demo.py.

MODEL_DIR is what the released KeypointNet code trained into, or one of its checkpoints
(model.ckpt-200000); TensorFlow, the extra "released", reads it. The result is read by
tools/eval_kp.py and tools/discover.py, and run.init of tools/train_kp.py trains on from it, see
configs/keypointnet/released.yaml.

Nothing in these files is executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keypointnet.checkpoints import save_checkpoint
from keypointnet.command_line import Parser, errors_in_one_line
from keypointnet.released_weights import (
    convert_released,
    find_released,
    read_released,
    released_config,
)
from keypointnet.tensor_files import CheckpointError

CONFIG = Path(__file__).resolve().parents[1] / "configs/kp2seg/pose2seg_r50.py"


def pose2seg(source: Path, out: Path, templates: Path | None) -> str:
    """Converts the published Pose2Seg. Returns what to print."""
    # KeypointNet's weights can be converted where Detectron2 is not installed.
    from detectron2.config import instantiate

    from kp2seg.checkpoints import save_seg_checkpoint
    from kp2seg.lazy_config import config_to_text, load_seg_config
    from kp2seg.modeling.published_weights import convert_published, read_published
    from kp2seg.template_files import load_templates

    config = load_seg_config(CONFIG)
    if templates is not None:
        load_templates(templates)  # what is wrong with them is said first
        config.model.templates = str(templates.resolve())
    tensors = read_published(source)
    expected = instantiate(config.model).state_dict()
    # The backbone is the aligner's here.
    ours = {name.removeprefix("aligner."): value for name, value in expected.items()}
    converted = convert_published(tensors, ours, str(source))
    weights = {name: converted[name.removeprefix("aligner.")] for name in expected}
    save_seg_checkpoint(out, {"model": weights}, step=0, config=config_to_text(config))
    whose = templates or "ours, not the published ones"
    return f"{out}: {len(tensors)} tensors, each used once; templates: {whose}"


def keypointnet(source: Path, out: Path) -> str:
    """Converts a KeypointNet of the released code. Returns what to print."""
    stem = find_released(source)
    variables = read_released(stem)
    config = released_config(variables, str(stem))
    groups, step = convert_released(variables, config, str(stem))
    save_checkpoint(out, groups, step=step, config=config)
    adam = "with" if "optimizer" in groups else "without"
    return (
        f"{out}: {len(variables)} variables of {stem.name}, each used once; step {step}, "
        f"{config.model.num_keypoints} keypoints, {adam} Adam's averages"
    )


def main(words: Sequence[str] | None = None) -> None:
    parser = Parser("convert_weights", __doc__)
    parser.add_argument("kind", choices=("pose2seg", "keypointnet"))
    parser.add_argument("source", type=Path, help="the published file, or MODEL_DIR")
    parser.add_argument("out", type=Path, help="where to write, .safetensors")
    parser.add_argument("--templates", type=Path, help="pose2seg: the published ones (ours)")
    args = parser.parse_args(words)
    if args.out.suffix != ".safetensors":
        parser.error(f"{args.out}: expected a name that ends in .safetensors")
    if args.kind == "keypointnet" and args.templates is not None:
        parser.error("--templates: expected with pose2seg only")
    with errors_in_one_line("convert_weights", CheckpointError):
        if args.kind == "pose2seg":
            print(pose2seg(args.source, args.out, args.templates))
        else:
            print(keypointnet(args.source, args.out))


if __name__ == "__main__":
    main()
