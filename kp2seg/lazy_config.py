"""LazyConfig files: loaded, overridden strictly, and stored in checkpoints as text.

Detectron2's LazyConfig takes a mistyped override without a word; here it is an error that names
the nearest key.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import LazyConfig, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from kp2seg.template_files import load_templates, templates_from_json, templates_to_json

SECTIONS = ("model", "data", "optimizer", "schedule", "train")
_TRUSTED = ("kp2seg.", "detectron2.modeling.", "detectron2.layers.")


class SegConfigError(ValueError):
    """A configuration that cannot be used; the message names the key and the legal values."""


def load_seg_config(path: str | Path, overrides: Sequence[str] = ()) -> DictConfig:
    """A LazyConfig file with `key=value` overrides.

    Args:    path: a .py file such as configs/kp2seg/light.py.  overrides: train.steps=100, ….
    Raises:  SegConfigError: no such file, an error in it, a section missing, an unknown key (the
             nearest is named), an override without "=" or of another type.
    """
    path = Path(path)
    if not path.exists():
        raise SegConfigError(f"{path}: no such configuration file")
    try:
        config = LazyConfig.load(str(path))
    except Exception as error:  # a configuration is code: anything may be wrong with it
        raise SegConfigError(f"{path}: {type(error).__name__}: {error}") from error
    missing = [name for name in SECTIONS if name not in config]
    if missing:
        raise SegConfigError(
            f"{path}: lacks {', '.join(missing)}; a configuration has {', '.join(SECTIONS)}"
        )
    legal = list(_keys(config))
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise SegConfigError(f"override {override!r}: expected key=value, as train.steps=1000")
        if key not in legal:
            near = difflib.get_close_matches(key, legal, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SegConfigError(f"override {override!r}: unknown key {key!r}{hint}")
        try:
            value = OmegaConf.from_dotlist([f"value={text}"]).value
        except Exception as error:  # YAML's and omegaconf's errors all mean "no value"
            raise SegConfigError(f"override {override!r}: {error}") from error
        _check_type(override, OmegaConf.select(config, key), value)
        OmegaConf.update(config, key, value)
    return config


def config_to_text(config: DictConfig) -> str:
    """The configuration as YAML, classes by their names; what checkpoints hold.

    A templates file is replaced by its contents, so that a checkpoint needs no other file.
    """
    plain = _named(OmegaConf.to_container(config))
    templates = plain["model"].get("templates")
    if isinstance(templates, str):
        plain["model"]["templates"] = templates_to_json(load_templates(templates))
    return OmegaConf.to_yaml(OmegaConf.create(plain))


def model_from_text(text: str, source: str, **changes: Any) -> nn.Module:
    """The model of a stored configuration, with untrained weights.

    Args:    text: of `config_to_text`.  source: for messages.  changes: of the model's arguments.
    Raises:  SegConfigError: no such text, or it would make something else than a model of kp2seg
             or Detectron2: a checkpoint must not be able to run what it likes.
    """
    try:
        config = OmegaConf.create(text)
        section = config.model
    except (OmegaConfBaseException, AttributeError) as error:
        raise SegConfigError(f"{source}: its configuration has no model: {error}") from error
    for target in _targets(section):
        if not target.startswith(_TRUSTED):
            raise SegConfigError(f"{source}: its configuration names {target!r}, which is not ours")
    _without_downloads(section)
    for name, value in changes.items():
        section[name] = value
    templates = templates_from_json(OmegaConf.to_container(section.templates))
    model = instantiate({**section, "templates": templates})
    assert isinstance(model, nn.Module)
    return model


def choose_device(name: str) -> torch.device:
    """The device of a name; "auto" is CUDA where there is one. Raises: SegConfigError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SegConfigError(f"train.device: {str(error).splitlines()[0]}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SegConfigError(f"train.device: {name}: there is no CUDA device; use auto or cpu")
    return device


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    for key in node:
        yield f"{prefix}{key}"
        if isinstance(node[key], DictConfig):
            yield from _keys(node[key], f"{prefix}{key}.")


def _check_type(override: str, old: Any, new: Any) -> None:
    if isinstance(old, bool) != isinstance(new, bool) and old is not None and new is not None:
        raise SegConfigError(f"override {override!r}: expected {_kind(old)}, got {new!r}")
    for kind in (int | float, str, DictConfig, ListConfig):
        if isinstance(old, kind) and new is not None and not isinstance(new, kind):
            raise SegConfigError(f"override {override!r}: expected {_kind(old)}, got {new!r}")


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return names.get(type(value), "a list" if isinstance(value, ListConfig) else "a mapping")


def _named(node: Any) -> Any:
    """Classes and functions replaced by their names."""
    if isinstance(node, dict):
        return {key: _named(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_named(value) for value in node]
    if callable(node):
        return f"{node.__module__}.{node.__qualname__}"
    return node


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield str(node["_target_"])
        for key in node:
            yield from _targets(node[key])


def _without_downloads(node: Any) -> None:
    """ImageNet weights are not looked for where a checkpoint follows."""
    if isinstance(node, DictConfig):
        if str(node.get("_target_", "")).endswith("build_light_backbone"):
            node["pretrained"] = False
        for key in node:
            _without_downloads(node[key])
