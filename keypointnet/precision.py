"""Which arithmetic a run uses."""

from __future__ import annotations

from pathlib import Path

import torch

from keypointnet.config import ConfigError, ModelConfig


def resolve_autocast(amp: str, device: torch.device, config: ModelConfig) -> torch.autocast | None:
    """The autocast context of a run, or None for float32.

    On CPUs, oneDNN's bf16 weight gradient of a dilated 3x3 convolution is NaN, or crashes, where
    the number of channels is no multiple of 16: bf16 is kept off such networks. The pyramid's
    depthwise ones stay in float32 by themselves, see depthwise.py.

    Args:   amp: "bf16", "off" or "auto" (bf16 where the processor multiplies it natively).
    Raises: ConfigError: another value, or "bf16" where its gradients would be NaN.
    """
    if amp == "False":
        amp = "off"  # YAML reads a bare off as false
    if amp not in ("auto", "bf16", "off"):
        raise ConfigError(f"run.amp: expected 'auto', 'bf16' or 'off', got {amp!r}")
    channels = {}
    if config.trunk == "dilated":
        channels["model.channels"] = config.channels
    if config.orientation_network == "dilated":
        channels["model.orientation_channels"] = config.orientation_channels
    broken = {key: n for key, n in channels.items() if device.type == "cpu" and n % 16}
    if amp == "bf16" and broken:
        key, n = next(iter(broken.items()))
        raise ConfigError(
            f"{key}: run.amp 'bf16' on a CPU needs a multiple of 16, got {n}: otherwise the "
            "gradients of dilated convolutions are NaN; change it, or set run.amp to off or auto"
        )
    pays = not broken and _has_native_bf16(device)
    wanted = amp == "bf16" or (amp == "auto" and pays)
    return torch.autocast(device.type, torch.bfloat16) if wanted else None


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags
