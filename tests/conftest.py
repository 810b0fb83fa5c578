"""What every test starts from: a headless renderer, one seed, few threads."""

import os
import random

# Read when pyrender is imported, so set before anything else is.
os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
os.environ.setdefault("PYGLET_HEADLESS", "1")

import numpy as np
import pytest
import torch

torch.set_num_threads(min(2, os.cpu_count() or 1))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers whichever tests ran before."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - for libraries that draw from the global generator
    torch.manual_seed(0)
