"""The processes of a run: one, or as many as torchrun started."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist

from keypointnet.config import ConfigError


@dataclass(frozen=True)
class Processes:
    """This process among those of a run. rank: 0 … world_size − 1, over all machines."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that logs, evaluates and saves."""
        return self.rank == 0

    @classmethod
    def alone(cls, device: str) -> Processes:
        """A run of one process."""
        return cls(0, 1, resolve_device(device))

    @classmethod
    def from_torchrun(cls, device: str) -> Processes:
        """Joins the group that torchrun's environment describes; alone without one.

        nccl between GPUs (one process each), gloo otherwise.
        """
        if not {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys():
            return cls.alone(device)
        resolved = resolve_device(device, local_rank=int(os.environ["LOCAL_RANK"]))
        if resolved.type == "cuda":
            torch.cuda.set_device(resolved)
        dist.init_process_group("nccl" if resolved.type == "cuda" else "gloo")
        return cls(dist.get_rank(), dist.get_world_size(), resolved)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world_size > 1:
            dist.barrier()

    def gather(self, value: int) -> list[int]:
        """The value that each process gave, by rank; all must call it."""
        values = [value] * self.world_size
        if self.world_size > 1:
            dist.all_gather_object(values, value)
        return values

    def leave(self) -> None:
        """Ends the group."""
        if dist.is_initialized():
            dist.destroy_process_group()


def resolve_device(name: str, local_rank: int = 0) -> torch.device:
    """A device from "auto", "cpu", "cuda" or "cuda:<n>".

    Raises: ConfigError: not such a name, or a CUDA device is asked for that is not there.
    """
    expected = f"run.device: expected auto, cpu, cuda or cuda:<n>, got {name!r}"
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(expected) from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError(f"run.device: {name} is asked for, but torch finds no CUDA device")
        if device.index is None:
            device = torch.device("cuda", local_rank)
        if device.index >= torch.cuda.device_count():
            raise ConfigError(
                f"run.device: {device} is asked for, but there are {torch.cuda.device_count()} "
                "CUDA devices, counted from 0"
            )
    elif device.type != "cpu":
        raise ConfigError(expected)
    return device
