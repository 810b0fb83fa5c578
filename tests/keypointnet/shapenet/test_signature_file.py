from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from keypointnet.shapenet.signature_file import SignatureFile

POINTS = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
CORNERS = np.array([[-1, -1, -1], [1, 1, 1], [0, 0.5, -0.5]], np.float32)


def test_what_was_added_is_given_back() -> None:
    with SignatureFile() as kept:
        kept.add("a", POINTS)
        kept.add("b/c", CORNERS)
        assert list(kept) == ["a", "b/c"]
        assert "x" not in kept
        np.testing.assert_allclose(kept["a"], POINTS, atol=2e-5)
        np.testing.assert_array_equal(kept["b/c"][:2], CORNERS[:2])
        kept.add("d", POINTS[:7])
        np.testing.assert_allclose(kept["d"], POINTS[:7], atol=2e-5)
        np.testing.assert_array_equal(kept["a"], kept["a"])
        assert kept["a"].dtype == np.float32


def test_nothing_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with SignatureFile() as kept:
        kept.add("a", POINTS)
    assert os.listdir(tmp_path) == []


def test_it_names_what_it_does_not_take() -> None:
    with SignatureFile() as kept:
        kept.add("a", POINTS)
        with pytest.raises(ValueError, match="a is there already"):
            kept.add("a", POINTS)
        with pytest.raises(ValueError, match=r"b: expected points in \[-1, 1\], found 3"):
            kept.add("b", 3 * CORNERS)
        with pytest.raises(KeyError, match=r"^'b'$"):
            kept["b"]
