#!/usr/bin/env python3
"""Turns other projects' weights into this project's, strictly: every tensor used once, none left.

    tools/convert_weights.py pose2seg release.pkl OUT.safetensors --templates templates.json

The published masks need the published templates; without --templates the model has ours. The result
is read by tools/eval_seg.py and tools/demo.py. Nothing in the file is executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detectron2.config import instantiate

from keypointnet.command_line import Parser, errors_in_one_line
from keypointnet.tensor_files import CheckpointError
from kp2seg.checkpoints import save_seg_checkpoint
from kp2seg.lazy_config import config_to_text, load_seg_config
from kp2seg.modeling.published_weights import convert_published, read_published
from kp2seg.template_files import load_templates

CONFIG = Path(__file__).resolve().parents[1] / "configs/kp2seg/pose2seg_r50.py"


def pose2seg(source: Path, out: Path, templates: Path | None) -> int:
    """Converts the published Pose2Seg. Returns how many tensors it had."""
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
    return len(tensors)


def main(words: Sequence[str] | None = None) -> None:
    parser = Parser("convert_weights", __doc__)
    parser.add_argument("kind", choices=("pose2seg",))
    parser.add_argument("source", type=Path, help="the published file")
    parser.add_argument("out", type=Path, help="where to write, .safetensors")
    parser.add_argument("--templates", type=Path, help="the published templates.json (ours)")
    args = parser.parse_args(words)
    if args.out.suffix != ".safetensors":
        parser.error(f"{args.out}: expected a name that ends in .safetensors")
    with errors_in_one_line("convert_weights", CheckpointError):
        count = pose2seg(args.source, args.out, args.templates)
    whose = args.templates or "ours, not the published ones"
    print(f"{args.out}: {count} tensors, each used once; templates: {whose}")


if __name__ == "__main__":
    main()
