"""Folders of scenes: the pictures, the truth about each, and the processes that make them.

ROOT/scenes.json              how the pictures were made, the class and its points' names
ROOT/images/000012.jpg        picture 12. JPEG, since pictures outweigh all else (PNG takes four
                              times the room) and a network should see what cameras write; what is
                              true about it was taken from the renderer, not from the picture
ROOT/scenes/000012.npz        the truth about it, lossless, written after it
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from keypointnet.files import write_whole
from keypointnet.shapes import FAMILY_POINTS, PointSet
from keypointnet.views.crew import Outcome, Work, one_line, run_jobs
from keypointnet.views.generate import keep_settings
from keypointnet.views.scene_layout import SceneLayout
from keypointnet.views.scenes import BLOCK, POOL, Scene, SceneSettings
from keypointnet.views.sources import ModelSource, models_folder
from keypointnet.views.storage import StorageError, read_json, read_split

FORMAT_VERSION = 1
_IMAGE_FIELDS = ("nearest", "covered", "boxes_px", "points_obj", "points_px", "visibility")
_LAYOUT_FIELDS = ("T_obj2world", "T_world2cam", "K_px")


class Maker(Protocol):
    """Makes the pictures of a folder by number, such as scenes.SceneMaker."""

    unreadable: dict[str, str]

    def make(self, number: int) -> Scene:
        """Picture `number`, the same whatever was made before."""


OpenMaker = Callable[[], AbstractContextManager[Maker]]
"""What a worker calls to get its maker; it travels to the worker by pickle."""


@dataclass(frozen=True)
class SceneJob:
    """Pictures of one block, by number."""

    numbers: tuple[int, ...]

    @property
    def names(self) -> list[str]:
        """The ids of its pictures."""
        return [picture_id(number) for number in self.numbers]

    def without(self, n: int) -> SceneJob | None:
        """What is left of it after the first n pictures; None where nothing is."""
        return SceneJob(self.numbers[n:]) if self.numbers[n:] else None


def picture_id(number: int) -> str:
    """The name of a picture's files."""
    return f"{number:06d}"


def image_file(root: Path, number: int) -> Path:
    """Where a picture lies."""
    return Path(root, "images", f"{picture_id(number)}.jpg")


def truth_file(root: Path, number: int) -> Path:
    """Where the truth about a picture lies."""
    return Path(root, "scenes", f"{picture_id(number)}.npz")


def point_set(sources: Sequence[ModelSource]) -> PointSet | None:
    """The named points of a class; None where the models have none (they come from files)."""
    families = {source.family for source in sources}
    family = families.pop() if len(families) == 1 else ""
    return FAMILY_POINTS[family][0] if family in FAMILY_POINTS else None


def models_of_split(
    models: str, sources: Sequence[ModelSource], side: str | None
) -> list[ModelSource]:
    """The models of one side of the split.json beside them; all of them where side is None.

    Raises:  ValueError (StorageError is one): no split.json, or none of its models is there.
    """
    if side is None:
        return list(sources)
    split = read_split(models_folder(models))
    if split is None:
        raise ValueError(
            f"{models}: no split.json in it, so there is no {side} side (of a parametric family, "
            "name another range, such as chair:300-360)"
        )
    wanted = set(split[side])
    chosen = [source for source in sources if source.id in wanted]
    if not chosen:
        raise ValueError(f"{models}: none of the {len(wanted)} models of {side} is there")
    return chosen


def prepare_scenes(
    out: Path,
    settings: SceneSettings,
    sources: Sequence[ModelSource],
    backgrounds: Sequence[Path],
    class_name: str,
) -> None:
    """Make the folder's scenes.json, or check that an existing one was made the same way.

    Raises:  StorageError: it was made with other settings, models or backgrounds.
    """
    points = point_set(sources)
    info = {
        "version": FORMAT_VERSION,
        "class": class_name,
        "points": [] if points is None else list(points.names),
        "skeleton": [] if points is None else points.skeleton,
        "models": listed([source.id for source in sources]),
        "backgrounds": listed([path.name for path in backgrounds]),
        "block": BLOCK,
        "pool": POOL,
        **settings.info(),
    }
    keep_folder(out, info)


def keep_folder(out: Path, info: dict[str, Any]) -> None:
    """Write a folder's scenes.json, or check that it was made with the same settings.

    Raises:  StorageError: they differ (each is named), or the file is no JSON object.
    """
    present = read_json(out / "scenes.json")
    if present is not None and not isinstance(present, dict):
        raise StorageError(f"{out / 'scenes.json'}: expected a JSON object")
    keep_settings(out / "scenes.json", info, present)


def plan_pictures(
    out: Path, pictures: int, shard: tuple[int, int] = (0, 1)
) -> tuple[list[SceneJob], int]:
    """What is left to do of pictures 0 to pictures - 1. Damaged files are to be made again.

    Args:    shard: (i, n), takes every n-th block from the i-th on.
    Returns: jobs, and how many pictures are there already, whole.
    Raises:  ValueError: i is not in 0 .. n - 1.
    """
    index, n = shard
    if not 0 <= index < n:
        raise ValueError(f"shard {index}/{n}: expected i/n with i from 0 to n - 1")
    jobs, present = [], 0
    for block in range(index, -(-pictures // BLOCK), n):
        numbers = range(block * BLOCK, min((block + 1) * BLOCK, pictures))
        missing = tuple(number for number in numbers if not is_there(out, number))
        present += len(numbers) - len(missing)
        if missing:
            jobs.append(SceneJob(missing))
    return jobs, present


def is_there(out: Path, number: int) -> bool:
    """Whether a picture and the truth about it are there, whole."""
    try:
        read_truth(out, number)
    except StorageError:
        return False
    return True


def render_scenes(
    jobs: list[SceneJob],
    out: Path,
    open_maker: OpenMaker,
    quality: int,
    workers: int = 1,
    timeout_s: float = 600.0,
) -> Iterator[Outcome]:
    """Make pictures in spawned processes; yields an outcome for each, as they come.

    A model that cannot be read is left out, and named in the notes of a picture.

    Args:    open_maker: of whatever makes the pictures.  quality: of the JPEG files. Further
             arguments and errors as workers.render_jobs.
    """
    opener = partial(_opened, out, open_maker, quality)
    return run_jobs(jobs, opener, workers, timeout_s, "picture")


def write_scene(out: Path, number: int, scene: Scene, quality: int) -> None:
    """Write a picture and the truth about it, in this order."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    jpeg = cv2.imencode(".jpg", scene.picture[..., ::-1], options)[1].tobytes()
    truth = io.BytesIO()
    values: dict[str, Any] = dict(
        models=np.array(scene.models, dtype=np.str_),
        picture_crc32=np.array(zlib.crc32(jpeg), dtype=np.uint32),
        **{name: getattr(scene.layout, name) for name in _LAYOUT_FIELDS},
        **{name: getattr(scene, name) for name in _IMAGE_FIELDS},
    )
    if scene.occluders:
        values["occluders"] = np.array(scene.occluders)
    np.savez_compressed(truth, **values)
    write_whole(image_file(out, number), jpeg)
    write_whole(truth_file(out, number), truth.getvalue())


def read_truth(out: Path, number: int) -> Scene:
    """The truth about a picture that is there, whole; the picture itself is not decoded.

    Returns: a scene whose `picture` is (0, 0, 3).
    Raises:  StorageError: a file is missing or damaged, or they do not belong together.
    """
    path = truth_file(out, number)
    try:
        data = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:  # NumPy would not look at the check sums
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged}: wrong check sum")
        with np.load(io.BytesIO(data), allow_pickle=False) as truth:
            values: dict[str, Any] = {name: truth[name] for name in truth.files}
        same = zlib.crc32(image_file(out, number).read_bytes()) == values["picture_crc32"]
        scene = Scene(
            picture=np.empty((0, 0, 3), np.uint8),
            layout=SceneLayout(*(values[name] for name in _LAYOUT_FIELDS)),
            models=tuple(values["models"].tolist()),
            **{name: values[name] for name in _IMAGE_FIELDS},
            occluders=int(values.get("occluders", 0)),
        )
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:  # RuntimeError: damage that zipfile takes for encryption or another method
        raise StorageError(f"{path}: missing or damaged ({error})") from None
    if not same:
        raise StorageError(f"{image_file(out, number)}: damaged, or not the picture of {path}")
    return scene


@contextmanager
def _opened(out: Path, open_maker: OpenMaker, quality: int) -> Iterator[Work]:
    with open_maker() as maker:
        yield partial(_make, out=out, maker=maker, quality=quality)


def _make(job: SceneJob, out: Path, maker: Maker, quality: int) -> Iterator[Outcome]:
    for number in job.numbers:
        known = set(maker.unreadable)
        error = None
        try:
            write_scene(out, number, maker.make(number), quality)
        except Exception as reason:  # one picture that cannot be made does not stop the others
            error = one_line(reason)
        notes = [f"{name}: {why}" for name, why in maker.unreadable.items() if name not in known]
        yield Outcome(picture_id(number), error, tuple(notes))


def listed(names: Sequence[str]) -> dict[str, Any]:
    """How many and which, in little room."""
    digest = hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()
    return {"number": len(names), "sha256": digest}
