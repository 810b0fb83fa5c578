"""What every test starts from: a headless renderer, one seed, few threads; tools; a tiny store."""

import importlib.util
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

# Read when pyrender is imported, so set before anything else is.
os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
os.environ.setdefault("PYGLET_HEADLESS", "1")

import cv2
import numpy as np
import pytest
import torch

from keypointnet.views.cameras import CameraRange, sample_cameras
from keypointnet.views.storage import write_model_views

# Several test processes share the cores; OpenMP's waiting threads would take them from each other.
shared = "PYTEST_XDIST_WORKER" in os.environ
torch.set_num_threads(1 if shared else min(2, os.cpu_count() or 1))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers whichever tests ran before."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - for libraries that draw from the global generator
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def load_tool() -> Callable[[str], ModuleType]:
    """A function: a file of tools/, by its name without .py, as a module of its own."""

    def load(name: str) -> ModuleType:
        path = Path(__file__).parents[1] / f"tools/{name}.py"
        spec = importlib.util.spec_from_file_location(f"tool_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if hasattr(module, "setup_logger"):
            module.setup_logger = lambda name: None  # its handlers would outlive the test
        return module

    return load


def write_blob_views(
    root: Path, ids: Sequence[str], *, views: int = 8, size: tuple[int, int] = (32, 32)
) -> None:
    """A view store of balls: six of fixed colours at much the same places of every model."""
    centres = 0.7 * np.array(
        [[1, 0.2, 0.3], [-1, 0, 0.3], [0.2, 1, 0], [0, -0.9, -0.4], [0.3, 0, 1], [0, 0.3, -1]]
    )
    colours = 40 * np.array([[5, 1, 1], [1, 5, 1], [1, 1, 6], [6, 5, 1], [1, 5, 6], [5, 1, 6]])
    for number, model_id in enumerate(ids):
        rng = np.random.default_rng(number)
        X_world = centres + rng.normal(0, 0.05, centres.shape)
        T_world2cam, K_px = sample_cameras(views, rng, CameraRange(), size)
        pictures = []
        for T, K in zip(T_world2cam, K_px, strict=True):
            X_cam = X_world @ T[:3, :3].T + T[:3, 3]
            xy_px = (X_cam @ K.T)[:, :2] / X_cam[:, 2:]
            rgba = np.zeros((*size, 4), np.uint8)
            for i in np.argsort(-X_cam[:, 2]):
                centre = np.round((xy_px[i] - 0.5) * 16).astype(int).tolist()
                radius = round(0.2 * K[0, 0] / X_cam[i, 2] * 16)
                cv2.circle(rgba, centre, radius, (*colours[i].tolist(), 255), -1, shift=4)
            pictures.append(rgba)
        write_model_views(root, model_id, pictures, T_world2cam, K_px)


@pytest.fixture
def blob_views() -> Callable[..., None]:
    """See `write_blob_views`."""
    return write_blob_views


@pytest.fixture(scope="session")
def blob_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of four such models, one of them held out, of 10 views of 32x32. Do not change it."""
    root = tmp_path_factory.mktemp("blobs")
    write_blob_views(root, ["a", "b", "c", "d"], views=10)
    (root / "split.json").write_text('{"train": ["a", "b", "c"], "test": ["d"]}')
    return root
