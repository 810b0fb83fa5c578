"""The file of predictions: what comes back, what is refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kp2seg.data.coco_json import KeypointData
from kp2seg.data.masks import encode
from kp2seg.data.problems import DataError, Report
from kp2seg.evaluation import cache
from kp2seg.evaluation.cache import (
    Fingerprint,
    Prediction,
    StaleCacheError,
    code_fingerprint,
    make_fingerprint,
    read_cache,
    write_cache,
)

PRINT = Fingerprint("w" * 64, "a" * 64, "k" * 64, "c" * 64, "d" * 64)
MASK = encode(np.eye(4, 6))
ROWS = [Prediction(785, 1, MASK, 0.83, 442619), Prediction(9, 1, MASK, 0.1, None)]


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "predictions.json"
    write_cache(path, "cocopersons_val", ROWS, PRINT)
    back = read_cache(path, PRINT)
    assert back.predictions == tuple(ROWS)
    assert (back.dataset, back.fingerprint) == ("cocopersons_val", PRINT)
    assert back.modes() == ("constant", "quality")
    stored = json.loads(path.read_text())["predictions"][0]
    assert (stored["constant"], stored["quality"]) == (1.0, 0.83)
    assert os.listdir(path.parent) == ["predictions.json"]


def test_without_quality_there_is_one_mode(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    write_cache(path, "x", [ROWS[0], replace(ROWS[1], quality=None)], PRINT)
    assert read_cache(path).modes() == ("constant",)
    write_cache(path, "x", [], PRINT)
    assert read_cache(path).predictions == ()


def test_scores() -> None:
    assert [ROWS[0].score(mode) for mode in ("constant", "quality")] == [1.0, 0.83]
    with pytest.raises(ValueError, match=r"mode 'best'; there are constant, quality"):
        ROWS[0].score("best")
    with pytest.raises(ValueError, match=r"this prediction has none; use constant"):
        replace(ROWS[0], quality=None).score("quality")


@pytest.mark.parametrize("parts", [["weights"], ["annotations", "code"], ["config", "keypoints"]])
def test_a_stale_cache_is_refused_and_says_why(tmp_path: Path, parts: list[str]) -> None:
    path = tmp_path / "p.json"
    write_cache(path, "x", ROWS, PRINT)
    wanted = replace(PRINT, **dict.fromkeys(parts, "e" * 64))
    with pytest.raises(StaleCacheError, match=r"p.json: .*made with other ") as caught:
        read_cache(path, wanted)
    for part in ("weights", "annotations", "keypoints", "config", "code"):
        assert (f"{part} (" in str(caught.value)) == (part in parts)
    assert "now eeeeeeee" in str(caught.value)
    assert read_cache(path).predictions == tuple(ROWS)


def test_broken_files(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    with pytest.raises(DataError, match=r"p.json: .*No such file.*; predict first"):
        read_cache(path)
    write_cache(path, "x", ROWS, PRINT)
    good = path.read_text()
    path.write_text(good[:-10])
    with pytest.raises(DataError, match=r"p.json: is cut short"):
        read_cache(path)
    path.write_text("[]")
    with pytest.raises(DataError, match=r"no file of predictions; expected format"):
        read_cache(path)
    path.write_text(good.replace('"version":1', '"version":7'))
    with pytest.raises(DataError, match=r"version 7, this code reads 1; predict again"):
        read_cache(path)
    for old, new in (('"image_id":9', '"image_id":"9"'), ("0.83", "NaN"), ('"weights"', '"w"')):
        path.write_text(good.replace(old, new))
        with pytest.raises(DataError, match=r"a row is broken"):
            read_cache(path)


def test_nothing_is_left_of_a_write_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.json"
    write_cache(path, "x", ROWS, PRINT)
    with pytest.raises(ValueError, match=r"prediction 1 \(image 9\): quality nan"):
        write_cache(path, "x", [ROWS[0], replace(ROWS[1], quality=float("nan"))], PRINT)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match=r"No space left"):
        write_cache(path, "y", [], PRINT)
    assert os.listdir(tmp_path) == ["p.json"]
    assert read_cache(path).dataset == "x"


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Any]:
    """What a prediction is made from."""
    weights, annotations = tmp_path / "w.safetensors", tmp_path / "people.json"
    weights.write_bytes(b"w")
    annotations.write_text("{}")
    coco = {"images": [{"id": 1}], "annotations": [{"id": 5}, {"id": 6}]}
    data = KeypointData(coco, tmp_path, ("nose",), (annotations,), Report(""))
    return {"weights": weights, "data": data, "keypoints": "abc", "config": "lr: 1"}


def test_the_fingerprint_follows_its_parts(parts: dict[str, Any]) -> None:
    first = make_fingerprint(**parts)
    assert make_fingerprint(**parts) == first
    assert first.differing(make_fingerprint(**{**parts, "keypoints": "d"})) == ["keypoints"]
    assert first.differing(make_fingerprint(**{**parts, "config": ""})) == ["config"]
    assert first.differing(make_fingerprint(**{**parts, "weights": None})) == ["weights"]
    assert first.differing(make_fingerprint(**parts, code="other")) == ["code"]
    parts["weights"].write_bytes(b"v")
    assert first.differing(make_fingerprint(**parts)) == ["weights"]
    parts["weights"].write_bytes(b"w")
    # A person who was left out, and another file with the same ids.
    data = parts["data"]
    fewer = replace(data, coco={**data.coco, "annotations": [{"id": 5}]})
    assert first.differing(make_fingerprint(**{**parts, "data": fewer})) == ["annotations"]
    data.files[0].write_text("{ }")
    assert first.differing(make_fingerprint(**parts)) == ["annotations"]


def test_scoring_is_no_part_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_fingerprint() == code_fingerprint()
    for name in ("alignment.py", "evaluation/tables.py", "report/page.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(cache, "_PACKAGE", tmp_path)
    before = code_fingerprint()
    (tmp_path / "evaluation/tables.py").write_text("x = 2\n")
    (tmp_path / "report/page.py").write_text("x = 2\n")
    assert code_fingerprint() == before
    (tmp_path / "alignment.py").write_text("x = 2\n")
    assert code_fingerprint() != before
