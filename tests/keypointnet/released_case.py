"""Made-up contents of what was released with KeypointNet: variables, records, folders of them.

A test file takes a function by `runpy.run_path("…/released_case.py")["write_published"]`.
"""

import itertools

import cv2
import numpy as np

from keypointnet.views.cameras import CameraRange, sample_cameras
from keypointnet.views.example_messages import TFRecordWriter

GL = np.diag([1.0, -1.0, -1.0, 1.0])


def released_variables(
    *, num_keypoints=10, channels=64, orientation_channels=32, seed=11, adam=False
):
    """Name → array of the released graph's variables, of a size that keeps the layers' scale."""
    rng = np.random.default_rng(seed)
    shapes = {}

    def conv(name, inputs, outputs):
        shapes[f"{name}/weights"] = (3, 3, inputs, outputs)

    for scope, inputs, width in (
        ("KeypointNetwork/OrientationNetwork/", 3, orientation_channels),
        ("KeypointNetwork/", 4, channels),
    ):
        for i in range(12):
            conv(f"{scope}dconv{i}", inputs if i == 0 else width, width)
            for part in ("beta", "moving_mean", "moving_variance"):
                shapes[f"{scope}dconv{i}/BatchNorm/{part}"] = (width,)
    for name, inputs, outputs in (
        ("KeypointNetwork/OrientationNetwork/Conv", orientation_channels, 2),
        ("KeypointNetwork/conv_xy", channels, num_keypoints),
        ("KeypointNetwork/conv_z", channels, num_keypoints),
    ):
        conv(name, inputs, outputs)
        shapes[f"{name}/biases"] = (outputs,)
    variables = {}
    for name, shape in shapes.items():
        if name.endswith("weights"):
            value = rng.normal(0, np.sqrt(2 / (9 * shape[2])), shape)
        elif name.endswith("moving_variance"):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(0, 0.2, shape)
        variables[name] = value.astype(np.float32)
        if adam and "moving" not in name:
            variables[f"{name}/Adam"] = rng.normal(0, 1e-3, shape).astype(np.float32)
            variables[f"{name}/Adam_1"] = rng.uniform(0, 1e-6, shape).astype(np.float32)
    if adam:
        variables["beta1_power"] = np.float32(0.0)
        variables["beta2_power"] = np.float32(0.999**1201)
    variables["global_step"] = np.int64(1200)
    return variables


def discs(size, seed):
    """(h, w, 4) uint8: discs on transparent black, without half-covered pixels."""
    rng = np.random.default_rng(seed)
    h, w = size
    y, x = np.mgrid[:h, :w] + 0.5
    rgba = np.zeros((h, w, 4), np.uint8)
    for _ in range(12):
        centre, radius = rng.uniform(0.2, 0.8, 2) * (w, h), rng.uniform(0.05, 0.2) * h
        inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2
        rgba[inside] = (*rng.integers(30, 256, 3), 255)
    return rgba


def pairs(n, size=(128, 128), seed=0):
    """Pictures (n, 2, h, w, 4) uint8 and cameras (n, 2, 4, 4) in OpenCV's convention."""
    pictures = np.stack([discs(size, [seed, i]) for i in range(2 * n)])
    T_world2cam, _ = sample_cameras(2 * n, np.random.default_rng(seed), CameraRange(), size)
    return pictures.reshape(n, 2, *size, 4), T_world2cam.reshape(n, 2, 4, 4)


def png(rgba):
    """A picture's PNG."""
    code = {4: cv2.COLOR_RGBA2BGRA, 3: cv2.COLOR_RGB2BGR}[rgba.shape[2]]
    return cv2.imencode(".png", cv2.cvtColor(rgba, code))[1].tobytes()


def record(pictures, T_world2cam, **other):
    """The features of a pair's record as the released tool makes them; `other` replaces some."""
    features = {}
    for i in (0, 1):
        mv = GL @ T_world2cam[i]
        features[f"img{i}"] = (png(pictures[i]), "byte")
        features[f"mv{i}"] = (mv.flatten(), "float")
        features[f"mvi{i}"] = (np.linalg.inv(mv).flatten(), "float")
    features |= other
    return {name: value for name, value in features.items() if value is not None}


def write_records(path, records):
    """A tfrecord file."""
    writer = TFRecordWriter(str(path))
    for features in records:
        writer.write(features)
    writer.close()


def write_published(folder, contents, *, jobs=None, fov_deg=5.0, **lists):
    """A published folder: name of a tfrecord → (pictures, cameras) of its pairs.

    jobs: the text of job.txt.  lists: train, dev, test → names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, (pictures, T_world2cam) in contents.items():
        records = itertools.starmap(record, zip(pictures, T_world2cam, strict=True))
        write_records(folder / f"{name}.tfrecord", records)
    f = 1 / np.tan(np.radians(fov_deg) / 2)
    matrix = [[f, 0, 0, 0], [0, f, 0, 0], [0, 0, -1.002002, -0.2002], [0, 0, -1, 0]]
    lines = [" ".join(f"{value:f}" for value in row) for row in matrix]
    (folder / "projection.txt").write_text("\n".join(lines) + " \n")
    if jobs is not None:
        (folder / "job.txt").write_text(jobs)
    for side, names in lists.items():
        (folder / f"{side}.txt").write_text("\n".join(names) + "\n")
