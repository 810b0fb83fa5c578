"""What a run writes down: metrics.jsonl, TensorBoard scalars and pictures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from keypointnet.drawing import keypoint_sheet, save_picture
from keypointnet.model import KeypointNet
from keypointnet.views.pairs import ModelViews


class RunLog:
    """The log of one run, as a context.

    Lines of metrics.jsonl after `step`, which a killed run may have written past its last
    checkpoint, are dropped when it is resumed there, so that every step stands once.
    """

    def __init__(self, out: Path, step: int) -> None:
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        path = out / "metrics.jsonl"
        kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= step]
        # Written beside and moved: a kill in between must not cost the log of a long run.
        whole = out / ".metrics.jsonl.tmp"
        whole.write_text("".join(kept if step else []))
        whole.replace(path)
        self.file = path.open("a", buffering=1)
        self.writer = SummaryWriter(out / "tensorboard", purge_step=step + 1)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()
        self.writer.close()

    def scalars(self, group: str, step: int, values: dict[str, Any]) -> None:
        """One line {"group", "step", …} and as many TensorBoard scalars.

        What is None or NaN (an error over no pairs) is null in the line and no scalar.
        """
        known = {k: v for k, v in values.items() if v is not None and not math.isnan(v)}
        line = {"group": group, "step": step, **dict.fromkeys(values), **known}
        self.file.write(json.dumps(line) + "\n")
        for name, value in known.items():
            self.writer.add_scalar(f"{group}/{name}", value, step)

    def keypoint_picture(self, step: int, model: KeypointNet, models: list[ModelViews]) -> None:
        """A contact sheet of held-out views with their keypoints."""
        was_training = model.training
        sheet = keypoint_sheet(model.eval(), models[:6])
        model.train(was_training)
        self.writer.add_image("test/keypoints", sheet, step, dataformats="HWC")
        save_picture(self.out / "pictures" / f"keypoints-{step:07d}.png", sheet)


def _whole_lines(path: Path) -> list[str]:
    """Lines that end in a newline; a killed run may have left half of one."""
    if not path.exists():
        return []
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
