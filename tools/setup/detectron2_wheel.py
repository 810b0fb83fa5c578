"""Turns the v0.6 sources of Detectron2 into a wheel of their Python part (standard library only).

The sources that the registry has lack the C++ files, so they cannot be built the usual way. Their
Python part is whole. CORRECTIONS makes it run on today's torch, numpy and Pillow and without the
compiled operators; every correction must find exactly what it replaces, else nothing is built.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

VERSION = "0.6"

# What the wheel asks for: the requirements of the v0.6 sources with today's bounds, less those of
# its Caffe2 exporter (future, pydot). black is used by LazyConfig.to_py alone.
REQUIREMENTS = (
    "black",
    "cloudpickle",
    "fvcore>=0.1.5,<0.1.6",
    "hydra-core>=1.1",
    "iopath>=0.1.7,<0.1.10",
    "matplotlib",
    "numpy",
    "omegaconf>=2.1,<2.4",
    "packaging",
    "Pillow>=9.1",
    "pycocotools>=2.0.2",
    "tabulate",
    "tensorboard",
    "termcolor>=1.1",
    "torch>=1.8",
    "torchvision",
    "tqdm>4.29.0",
    "yacs>=0.1.8",
)

# Small projects that upstream installs inside the package as well.
PROJECTS = {
    "projects/PointRend/point_rend": "detectron2/projects/point_rend",
    "projects/DeepLab/deeplab": "detectron2/projects/deeplab",
    "projects/Panoptic-DeepLab/panoptic_deeplab": "detectron2/projects/panoptic_deeplab",
}


class WheelError(RuntimeError):
    """The sources are not the ones that the corrections were written for."""


@dataclass(frozen=True)
class Correction:
    """One replacement of text in one file, with the number of places it must be found in."""

    path: str
    old: str
    new: str
    count: int
    reason: str


_IMPORT_C = "from detectron2 import _C\n"
_GUARDED_IMPORT_C = (
    "try:\n    from detectron2 import _C\n"
    "except ImportError:\n    from detectron2._not_compiled import _C\n"
)
_NO_C = "needs the compiled operators at import, though few models use them"
_NO_NUMPY_ALIAS = "numpy 1.24 removed the alias"

CORRECTIONS = (
    # 1. The compiled operators become optional.
    Correction("detectron2/layers/deform_conv.py", _IMPORT_C, _GUARDED_IMPORT_C, 1, _NO_C),
    Correction("detectron2/layers/roi_align_rotated.py", _IMPORT_C, _GUARDED_IMPORT_C, 1, _NO_C),
    Correction("detectron2/layers/rotated_boxes.py", _IMPORT_C, _GUARDED_IMPORT_C, 1, _NO_C),
    Correction(
        "detectron2/evaluation/coco_evaluation.py",
        "from detectron2.evaluation.fast_eval_api import COCOeval_opt\n",
        "try:\n    from detectron2.evaluation.fast_eval_api import COCOeval_opt\n"
        "except ImportError:  # not compiled: the plain evaluator gives the same figures\n"
        "    COCOeval_opt = COCOeval\n",
        1,
        "the fast evaluator is compiled",
    ),
    # 2. Pillow 10 removed a second name of BILINEAR.
    Correction(
        "detectron2/data/transforms/transform.py", "Image.LINEAR", "Image.BILINEAR", 1,
        "Pillow 10 removed LINEAR",
    ),
    # 3. setuptools 81 removed pkg_resources.
    Correction(
        "detectron2/model_zoo/model_zoo.py", "import pkg_resources\n",
        "from importlib.resources import files\n", 1, "setuptools 81 removed pkg_resources",
    ),
    Correction(
        "detectron2/model_zoo/model_zoo.py",
        "pkg_resources.resource_filename(\n"
        '        "detectron2.model_zoo", os.path.join("configs", config_path)\n    )',
        'str(files("detectron2.model_zoo").joinpath("configs", config_path))',
        1,
        "setuptools 81 removed pkg_resources",
    ),
    # 4. Aliases that numpy removed. The first hides behind an `except AttributeError`: without it
    # training works but does not print its table of instances.
    Correction("detectron2/data/build.py", "np.int)", "int)", 1, _NO_NUMPY_ALIAS),
    Correction("detectron2/data/build.py", "dtype=np.int\n", "dtype=int\n", 1, _NO_NUMPY_ALIAS),
    Correction(
        "detectron2/evaluation/sem_seg_evaluation.py", "np.int)", "int)", 2, _NO_NUMPY_ALIAS
    ),
    Correction(
        "detectron2/evaluation/sem_seg_evaluation.py", "np.float)", "float)", 5, _NO_NUMPY_ALIAS
    ),
)  # fmt: skip

NOT_COMPILED = '''\
"""Stands in for the compiled operators in a wheel of the Python part."""


class _NotCompiled:
    def __getattr__(self, name):
        raise ImportError(
            f"detectron2._C.{name}: this Detectron2 is a build of the Python part without the "
            "compiled operators (deformable convolutions, rotated boxes). Where they are needed, "
            "install the official one: pip uninstall -y detectron2, then "
            "make detectron2 DETECTRON2=official"
        )


_C = _NotCompiled()
'''


def correct_sources(root: Path) -> None:
    """Apply CORRECTIONS to the unpacked sources in root, and add the stand-in for the operators.

    Raises: WheelError: a file is missing, or a text to replace is not there as often as expected.
            Files are written only once every correction has been found.
    """
    texts: dict[str, str] = {}
    for correction in CORRECTIONS:
        path = root / correction.path
        if correction.path not in texts:
            if not path.is_file():
                raise WheelError(
                    f"correct_sources: {correction.path} is missing from the Detectron2 sources in "
                    f"{root}; expected the v{VERSION} release"
                )
            texts[correction.path] = path.read_text(encoding="utf-8")
        found = texts[correction.path].count(correction.old)
        if found != correction.count:
            raise WheelError(
                f"correct_sources: expected {correction.old.strip()!r} {correction.count} time(s) "
                f"in {correction.path}, found it {found} time(s); these are not the v{VERSION} "
                f"sources that this correction was written for ({correction.reason})"
            )
        texts[correction.path] = texts[correction.path].replace(correction.old, correction.new)
    for name, text in texts.items():
        (root / name).write_text(text, encoding="utf-8")
    (root / "detectron2" / "_not_compiled.py").write_text(NOT_COMPILED, encoding="utf-8")


def _package_files(root: Path) -> dict[str, Path]:
    """Names inside the wheel and the files they come from, sorted by name."""
    sources = {"detectron2": "detectron2", **PROJECTS}
    files: dict[str, Path] = {}
    for source, target in sources.items():
        folder = root / source
        if not folder.is_dir():
            raise WheelError(f"build_wheel: folder {source} is missing from the sources in {root}")
        for path in folder.rglob("*"):
            if path.suffix in {".py", ".yaml"} and path.is_file():
                files[f"{target}/{path.relative_to(folder).as_posix()}"] = path
    if not any(name.startswith("detectron2/model_zoo/configs/") for name in files):
        raise WheelError(f"build_wheel: no model-zoo configs in the sources in {root}")
    return dict(sorted(files.items()))


def _metadata() -> str:
    lines = [
        "Metadata-Version: 2.1",
        "Name: detectron2",
        f"Version: {VERSION}",
        "Summary: Detectron2, its Python part, with corrections for current torch, numpy, Pillow",
        "Home-page: https://github.com/facebookresearch/detectron2",
        "License: Apache-2.0",
        "License-File: LICENSE",
        "Requires-Python: >=3.9",
        *(f"Requires-Dist: {requirement}" for requirement in REQUIREMENTS),
    ]
    return "\n".join(lines) + "\n"


def _record_line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}\n"


def build_wheel(root: Path, folder: Path) -> Path:
    """Write the wheel of the corrected sources in root to folder; the same bytes every time.

    Raises: WheelError: the sources lack the package, its projects or its model-zoo configs.
    """
    info = f"detectron2-{VERSION}.dist-info"
    contents = {name: path.read_bytes() for name, path in _package_files(root).items()}
    contents[f"{info}/LICENSE"] = (root / "LICENSE").read_bytes()
    contents[f"{info}/METADATA"] = _metadata().encode()
    contents[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: kp2seg\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    contents[f"{info}/top_level.txt"] = b"detectron2\n"
    record = "".join(_record_line(name, data) for name, data in contents.items())
    contents[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()

    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"detectron2-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            member = zipfile.ZipInfo(name, date_time=(2021, 11, 15, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, data)
    return wheel
