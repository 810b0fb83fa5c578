"""A view store for a benchmark: the one that the user names, or parametric chairs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keypointnet.views.storage import ViewStore

RENDER = Path(__file__).parents[1] / "tools" / "render_views.py"


@contextmanager
def view_store(path: Path | None, *, chairs: int, views: int, size: int) -> Iterator[ViewStore]:
    """Open a store, or render one that lasts as long as the context.

    Args:    path: of a store; None renders `chairs` chairs, `views` of each, `size` pixels square.
    """
    if path is not None:
        yield ViewStore(path)
        return
    with tempfile.TemporaryDirectory(prefix="kp2seg-views-") as folder:
        options = ["--views", str(views), "--size", str(size)]
        command = [sys.executable, str(RENDER), f"chair:{chairs}", folder, *options]
        subprocess.run(command, check=True)
        yield ViewStore(Path(folder))
