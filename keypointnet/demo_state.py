"""What a demo's folder holds, so that a stopped one goes on and nothing else is written over."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from keypointnet.config import ConfigError
from keypointnet.files import write_json
from keypointnet.listing import listed
from keypointnet.pacing import affordable_steps
from keypointnet.views.storage import read_json

_WRITTEN = (
    "demo.json", "views", "checkpoints", "pictures", "tensorboard", "config.yaml",
    "metrics.jsonl", "keypoints.png", "results.json", "crowded", "scenes", "points", "masks",
    "chair.safetensors", "loop.json", "report.html",
)  # fmt: skip


def begin(out: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """The state of a demo in `out`: of the run to go on with, or a new one, written.

    Args:    asked: JSON values; a run is gone on with only if what both were asked for is the
             same. What only one was asked for, as the masks, may come later.
    Returns: {"asked": …} and, once known, "steps", "crowded_steps" and "mask_steps".
    Raises:  ConfigError: `out` holds a demo of other settings (each is named), or something else
             that a demo would write over.
    """
    path = out / "demo.json"
    state: Any = read_json(path)
    if state is None:
        if there := _written(out):
            raise ConfigError(
                f"{out}: holds {', '.join(there)}, but not of a demo; choose another folder"
            )
        out.mkdir(parents=True, exist_ok=True)
        state = {"asked": asked}
        write_json(path, state)
        return state
    common = {key: asked[key] for key in state["asked"] if key in asked}
    if different := list(differences({key: state["asked"][key] for key in common}, common)):
        raise ConfigError(
            f"{out}: was begun with other settings ({listed(different, 4, '; ')}); start anew with "
            "--fresh, or choose another folder"
        )
    if not asked.keys() <= state["asked"].keys():
        state = {**state, "asked": {**state["asked"], **asked}}
        write_json(path, state)
    assert isinstance(state, dict)
    return state


def settle_steps(
    out: Path,
    name: str,
    steps: int,
    step_s: Callable[[], float],
    left_s: float,
    say: Callable[[str], None],
) -> int:
    """How many steps of a training there is time for; what an earlier run settled on stays.

    Args:    name: of the number in OUT/demo.json.  steps: wanted.  step_s: measures one, in s.
             left_s: seconds for all of them; infinity measures nothing.
    """
    path = out / "demo.json"
    state: Any = read_json(path)
    if name in state:
        return int(state[name])
    fits = steps
    if left_s < math.inf:
        one_s = step_s()
        fits = affordable_steps(steps, one_s, left_s)
        if fits < steps:
            say(
                f"     a step takes {one_s:.2f} s here: {fits} of {steps} steps fit into the time, "
                "for worse results than README's"
            )
    write_json(path, {**state, name: fits})
    return fits


def discard(out: Path) -> None:
    """Removes an earlier demo: what it wrote and nothing else; does nothing where none is.

    Raises: ConfigError: `out` holds, say, checkpoints that are not a demo's.
    """
    there = _written(out)
    if there and "demo.json" not in there:
        raise ConfigError(f"{out}: holds {', '.join(there)}, but not of a demo; nothing is removed")
    for name in reversed(there):  # demo.json last: killed half-way, it is still a demo's folder
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _written(out: Path) -> list[str]:
    return [name for name in _WRITTEN if (out / name).exists()]


def differences(there: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """Each setting of JSON values that differs, as "name: a there, b asked for"."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        for key in sorted({*there, *wanted}):
            yield from differences(there.get(key), wanted.get(key), f"{name}.{key}".lstrip("."))
    elif there != wanted:
        yield f"{name}: {there!r} there, {wanted!r} asked for"
