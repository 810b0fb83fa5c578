"""On what a figure was measured, and where it is written."""

from __future__ import annotations

import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def describe_machine() -> dict[str, Any]:
    """The processor's class, the libraries, and how busy the machine was when asked."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    fields = {line.split(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    flags = fields.get("flags", "").split()
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": fields.get("model name", platform.processor()),
        "cores": len(os.sched_getaffinity(0)),
        "bf16": [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_average": os.getloadavg()[0],
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def write_result(path: Path, figures: dict[str, Any]) -> None:
    """Write figures with the machine that they are from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": describe_machine(), **figures}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n")
    print(f"written to {path}")
