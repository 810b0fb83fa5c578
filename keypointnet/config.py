"""The configuration of a training run. The defaults are the paper's; a YAML names what differs.

`load_config` merges defaults, a file and `key=value` overrides, and refuses unknown keys by name.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from keypointnet.views.augmentation import AugmentationConfig

PYRAMID_STRIDES = (2, 4, 8, 16, 32)
"""What `model.downsample` may be with `model.trunk: pyramid`."""


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key and the legal values."""


@dataclass
class ModelConfig:
    """See `keypointnet.model.KeypointNet`."""

    num_keypoints: int = 10
    trunk: str = "dilated"
    """"dilated", the paper's, or "pyramid", which has seen ImageNet: for photographs."""
    channels: int = 64
    orientation_channels: int = 32
    orientation_network: str = "dilated"
    """"dilated", the paper's, or "residual"; see `keypointnet.model.build_orientation_net`."""
    orientation_mirrored: bool = False
    """In evaluation, ask the orientation network about the mirrored picture too. Only for classes
    that are symmetric in x."""
    orientation_downsample: int = 1
    """The orientation network sees pictures smaller by this factor; `downsample` is a multiple."""
    depth_offset: float = 30.0
    downsample: int = 1
    bn_momentum: float = 0.001


@dataclass
class LossConfig:
    """Weights and settings of the terms in `keypointnet.losses`."""

    variant: str = "paper"
    pose: float = 0.2
    consistency: float = 1.0
    separation: float = 1.0
    silhouette: float = 1.0
    orientation: float = 1.0
    variance: float = 0.5
    anchor: float = 0.0
    """Weight of `losses.anchor_loss` in the first step; the paper has no such term."""
    anchor_steps: int = 0
    """Steps in which that weight falls, linearly, to 0."""
    taught: float = 1.0
    """Weight of `losses.taught_loss`, for `run.teacher`."""
    separation_delta: float = 0.05
    pose_noise: float = 0.1
    """Standard deviation, in object units, of the noise in Procrustes during training."""
    flag_anneal_start: int = 30_000
    """The true orientation flag is used until this step ..."""
    flag_anneal_end: int = 60_000
    """... and the predicted one alone from this step on."""


@dataclass
class StoreConfig:
    """A view store or a folder of published tfrecords, and the side of its split to use: "train",
    "test" or "all", or "dev" where it has one.
    """

    path: str = MISSING
    subset: str = "train"


@dataclass
class DataConfig:
    """Where the views are."""

    train: list[StoreConfig] = field(default_factory=list)
    test: list[StoreConfig] = field(default_factory=list)
    image_size: int = 128
    """Height and width of the views, in pixels."""
    workers: int = 1
    """Processes that load pairs, for each training process; 0 loads in the training process."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)


@dataclass
class OptimConfig:
    """Adam and its schedule."""

    steps: int = 200_000
    trained: str = "all"
    """"all", or one part, the other left as it is: "orientation" (its network alone, before the
    rest) or "keypoints" (all but that network, which has been trained before)."""
    pairs_per_step: int = 256
    """Pairs in a step, all processes together."""
    learning_rate: float = 1e-3
    schedule: str = "constant"
    """"constant", or "one_cycle": linear warm-up, then a cosine to zero."""
    warmup: float = 0.05
    """Share of the steps that "one_cycle" warms up for."""
    weight_decay: float = 0.0
    gradient_norm: float = 5.0
    ema_decay: float = 0.0
    """Decay of the averaged weights that are evaluated and saved; 0 averages nothing."""


@dataclass
class RunConfig:
    """How and where to run."""

    out: str = "runs/keypointnet"
    init: str | None = None
    """Checkpoint whose weights to start from, with a fresh optimiser; none starts from nothing."""
    teacher: str | None = None
    """Checkpoint of a network to learn from in place of the paper's objective: where its keypoints
    are on each training model, by the median over undisturbed views, is to be found whatever
    `data.augmentation` does; see `keypointnet.teaching`."""
    points: str | None = None
    """Parametric family, such as "person", whose true points are taught in place of a teacher's:
    what a network of this size learns when it is told. All training models are of the family."""
    seed: int = 0
    device: str = "auto"
    """"auto" (cuda if there is one), "cpu", "cuda" or "cuda:<n>"."""
    amp: str = "auto"
    """"bf16", "off", or "auto": bf16 where the processor multiplies it natively."""
    channels_last: bool = True
    log_every: int = 20
    eval_every: int = 1000
    eval_pairs: int = 20
    """Pairs of each held-out model in the evaluations during training."""
    checkpoint_every: int = 500

    @property
    def taught(self) -> bool:
        """Somebody tells where the keypoints are; the paper's objective is not asked."""
        return self.teacher is not None or self.points is not None


@dataclass
class TrainConfig:
    """All of it."""

    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> TrainConfig:
    """Defaults, then the YAML file, then `key=value` overrides.

    A file may name others to start from, relative to itself, the last one counting most:
    `base: other.yaml`, or `base: [other.yaml, more.yaml]`.

    Args:    path: YAML file, or None for the defaults.  overrides: such as "optim.steps=100".
    Raises:  ConfigError: the file is missing or no YAML mapping; an unknown key (the nearest legal
             one is named); a value of the wrong type; an override without "=".
    """
    return _merge(_layers(path, overrides))


def load_config_text(text: str, source: str) -> TrainConfig:
    """A configuration from YAML text, as stored in a checkpoint. Raises ConfigError."""
    layer = OmegaConf.create(text)
    if not isinstance(layer, DictConfig):
        raise ConfigError(f"{source}: expected a YAML mapping at the top")
    return _merge([(source, layer)])


def to_yaml(config: TrainConfig) -> str:
    """The whole configuration as YAML that `load_config` reads."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _merge(layers: list[tuple[str, DictConfig]]) -> TrainConfig:
    merged: Any = OmegaConf.structured(TrainConfig)
    source = "defaults"
    try:
        for source, layer in layers:
            _check_keys(merged, OmegaConf.to_container(layer), source)
            merged = OmegaConf.merge(merged, layer)
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        key = f" {error.full_key}:" if error.full_key else ""
        raise ConfigError(f"{source}:{key} {str(error).splitlines()[0]}") from error
    assert isinstance(config, TrainConfig)
    return config


def _layers(path: str | Path | None, overrides: Sequence[str]) -> list[tuple[str, DictConfig]]:
    layers = _file_layers(Path(path), ()) if path is not None else []
    for override in overrides:
        key, separator, _ = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"override {override!r}: expected key=value, as in optim.steps=1000")
        try:
            layer = OmegaConf.from_dotlist([override])
        except yaml.YAMLError as error:
            raise ConfigError(f"override {override!r}: its value is no YAML: {error}") from error
        layers.append((f"override {override!r}", layer))
    return layers


def _file_layers(path: Path, seen: tuple[Path, ...]) -> list[tuple[str, DictConfig]]:
    if path in seen:
        raise ConfigError(f"{path}: is its own base")
    try:
        layer = OmegaConf.load(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such configuration file") from error
    except Exception as error:  # PyYAML and omegaconf raise many kinds; all mean "no YAML"
        raise ConfigError(f"{path}: is no YAML: {error}") from error
    if not isinstance(layer, DictConfig):
        raise ConfigError(f"{path}: expected a YAML mapping at the top, got a list")
    base: Any = layer.pop("base", None) or []
    bases = [base] if isinstance(base, str) else base
    below = [_file_layers((path.parent / name).resolve(), (*seen, path)) for name in bases]
    return [*itertools.chain(*below), (str(path), layer)]


def _check_keys(schema: Any, layer: Any, source: str, prefix: str = "") -> None:
    """Raises for a key that the schema lacks, naming the nearest one that it has."""
    if isinstance(schema, ListConfig) and isinstance(layer, list):
        # The only lists of the configuration are lists of stores.
        for number, item in enumerate(layer):
            store = OmegaConf.structured(StoreConfig)
            _check_keys(store, item, source, f"{prefix[:-1]}[{number}].")
    if not (isinstance(schema, DictConfig) and isinstance(layer, dict)):
        return
    legal = [str(name) for name in schema]
    for key, value in layer.items():
        full = f"{prefix}{key}"
        if key not in legal:
            nearest = _nearest(str(key), full, legal)
            hint = f"; did you mean {nearest!r}?" if nearest else ""
            raise ConfigError(
                f"{source}: unknown key {full!r}{hint} (legal here: {', '.join(legal)})"
            )
        _check_keys(schema._get_node(key), value, source, f"{full}.")


def _nearest(key: str, full: str, legal_here: list[str]) -> str | None:
    """The legal key that a mistyped one was meant to be: of the same section, else of any."""
    here = difflib.get_close_matches(key, legal_here, n=1)
    if here:
        return full[: len(full) - len(key)] + here[0]
    everywhere = _all_keys()
    leaves = [name.rsplit(".", 1)[-1] for name in everywhere]
    leaf = difflib.get_close_matches(key, leaves, n=1)
    if leaf:
        return everywhere[leaves.index(leaf[0])]
    return next(iter(difflib.get_close_matches(full, everywhere, n=1, cutoff=0.5)), None)


def _all_keys() -> list[str]:
    def walk(node: Any, prefix: str) -> list[str]:
        if not isinstance(node, DictConfig):
            return [prefix[:-1]]
        names = [prefix[:-1]] if prefix else []
        return names + [
            name for key in map(str, node) for name in walk(node._get_node(key), f"{prefix}{key}.")
        ]

    return walk(OmegaConf.structured(TrainConfig), "")
