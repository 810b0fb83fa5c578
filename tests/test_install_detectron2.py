"""The Detectron2 installer: what it refuses, what it builds, and that the result runs."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SETUP = ROOT / "tools" / "setup"


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SETUP)
    import detectron2_wheel

    return detectron2_wheel


@pytest.fixture
def installer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SETUP)
    import install_detectron2

    return install_detectron2


@pytest.fixture
def sources(wheels: ModuleType, tmp_path: Path) -> Path:
    """A small tree with just the texts that are to be corrected."""
    root = tmp_path / "sources"
    for name in ("LICENSE", "detectron2/__init__.py", "detectron2/model_zoo/configs/a/b.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n")
    for project in wheels.PROJECTS:
        (root / project).mkdir(parents=True)
        (root / project / "__init__.py").write_text("x = 1\n")
    for correction in wheels.CORRECTIONS:
        path = root / correction.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(f"{correction.old}\n" * correction.count)
    return root


def contents(root: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_corrections_replace_all_they_name(wheels: ModuleType, sources: Path) -> None:
    wheels.correct_sources(sources)
    corrected = "".join(contents(sources).values())
    for gone in ("pkg_resources", "Image.LINEAR", "np.int)", "np.float)", "dtype=np.int\n"):
        assert gone not in corrected
    assert corrected.count("    from detectron2._not_compiled import _C") == 3


def test_corrections_refuse_what_they_have_already_corrected(
    wheels: ModuleType, sources: Path
) -> None:
    wheels.correct_sources(sources)
    with pytest.raises(wheels.WheelError, match=r"found it 0 time\(s\).*not the v0\.6 sources"):
        wheels.correct_sources(sources)


def test_every_correction_must_find_its_text(
    wheels: ModuleType, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(sources)
    corrections = wheels.CORRECTIONS
    for index, correction in enumerate(corrections):
        other = list(corrections)
        other[index] = replace(correction, count=correction.count + 1)
        monkeypatch.setattr(wheels, "CORRECTIONS", tuple(other))
        with pytest.raises(wheels.WheelError, match=correction.path):
            wheels.correct_sources(sources)
        assert contents(sources) == before, "nothing is written when a correction fails"


def test_corrections_name_a_missing_file(wheels: ModuleType, sources: Path) -> None:
    (sources / "detectron2/data/build.py").unlink()
    with pytest.raises(wheels.WheelError, match=r"data/build\.py is missing"):
        wheels.correct_sources(sources)


def test_wheel_is_complete_and_its_record_true(
    wheels: ModuleType, sources: Path, tmp_path: Path
) -> None:
    wheels.correct_sources(sources)
    wheel = wheels.build_wheel(sources, tmp_path / "one")
    assert wheel.name == "detectron2-0.6-py3-none-any.whl"
    assert wheel.read_bytes() == wheels.build_wheel(sources, tmp_path / "two").read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert "detectron2/model_zoo/configs/a/b.yaml" in files
    assert "detectron2/projects/point_rend/__init__.py" in files
    assert "detectron2/_not_compiled.py" in files
    record = files.pop("detectron2-0.6.dist-info/RECORD").decode().splitlines()
    recorded = {line.rsplit(",", 2)[0]: line.rsplit(",", 2)[1] for line in record}
    assert recorded.pop("detectron2-0.6.dist-info/RECORD") == ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        assert recorded.pop(name) == f"sha256={digest}"
    assert recorded == {}


def test_wheel_needs_the_model_zoo(wheels: ModuleType, sources: Path, tmp_path: Path) -> None:
    (sources / "detectron2/model_zoo/configs/a/b.yaml").unlink()
    with pytest.raises(wheels.WheelError, match="no model-zoo configs"):
        wheels.build_wheel(sources, tmp_path)


def test_stand_in_names_the_operator_and_the_remedy(wheels: ModuleType) -> None:
    names: dict[str, object] = {}
    exec(wheels.NOT_COMPILED, names)
    with pytest.raises(
        ImportError, match=r"_C\.box_iou_rotated.*make detectron2 DETECTRON2=official"
    ):
        _ = names["_C"].box_iou_rotated  # type: ignore[attr-defined]


def test_another_archive_is_refused_and_removed(installer: ModuleType, tmp_path: Path) -> None:
    archive = tmp_path / installer.SOURCE_FILE
    archive.write_bytes(b"not the sources")
    with pytest.raises(installer.InstallError, match=r"has sha256 [0-9a-f]{64}, expected 5d2e9e51"):
        installer.download_source(tmp_path)
    assert not archive.exists()


def test_no_network_says_what_to_do(
    installer: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(installer.InstallError, match=r"no network, put pb1-detectron2-0\.6"):
        installer.download_source(tmp_path / "cache")


def test_official_way_names_the_missing_tools(
    installer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(installer.InstallError, match=r"apt-get install -y git g\+\+"):
        installer.install_official(tmp_path / "constraints.txt")


def test_unknown_way_lists_the_legal_ones(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DETECTRON2", "nightly")
    assert installer.main([]) == 1
    assert "DETECTRON2='nightly' is not known; legal values: registry, official" in (
        capsys.readouterr().err
    )


def test_an_importable_detectron2_is_used_as_it_is() -> None:
    result = subprocess.run(
        [sys.executable, str(SETUP / "install_detectron2.py")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "used as it is" in result.stdout
    assert "pip" not in result.stdout.splitlines()[0]


@pytest.mark.parametrize(
    "name",
    [
        "COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x.yaml",
        "new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ.py",
    ],
)
def test_model_zoo_configs_resolve(name: str) -> None:
    from detectron2 import model_zoo

    assert Path(model_zoo.get_config_file(name)).is_file()
    assert "model" in {str(key).lower() for key in model_zoo.get_config(name)}


def test_model_zoo_names_a_config_it_lacks() -> None:
    from detectron2 import model_zoo

    with pytest.raises(RuntimeError, match=r"no_such_config\.yaml not available"):
        model_zoo.get_config_file("no_such_config.yaml")


def test_mask_rcnn_runs_on_cpu() -> None:
    from detectron2 import model_zoo
    from detectron2.modeling import build_model

    cfg = model_zoo.get_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml")
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 32
    cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 16
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    cfg.TEST.DETECTIONS_PER_IMAGE = 5
    model = build_model(cfg).eval()
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        (output,) = model([{"image": image, "height": 48, "width": 72}])
    instances = output["instances"]
    assert len(instances) == 5
    assert instances.pred_masks.shape == (5, 48, 72)
    assert instances.pred_masks.dtype == torch.bool
    assert torch.isfinite(instances.pred_boxes.tensor).all()
