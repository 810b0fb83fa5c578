"""LazyConfig files: loaded, overridden strictly, and stored in checkpoints as text.

Detectron2's LazyConfig takes a mistyped override without a word; here it is an error that names
the nearest key.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.utils.registry import locate
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from yaml import YAMLError

from kp2seg.modeling.backbones import (
    build_light_backbone,
    build_published_backbone,
    build_resnet50,
)
from kp2seg.modeling.mask_rcnn import build_mask_rcnn
from kp2seg.template_files import load_templates, templates_from_json, templates_to_json

SECTIONS = ("model", "data", "optimizer", "schedule", "train")
# What a checkpoint may make: networks of these packages, and these functions.
_TRUSTED = (
    "kp2seg.modeling.", "keypointnet.model.", "detectron2.modeling.", "detectron2.layers."
)  # fmt: skip
_PRETRAINED_BUILDERS = (build_light_backbone, build_mask_rcnn)
_TRUSTED_BUILDERS = (*_PRETRAINED_BUILDERS, build_published_backbone, build_resnet50)


class SegConfigError(ValueError):
    """A configuration that cannot be used; the message names the key and the legal values."""


def load_seg_config(path: str | Path, overrides: Sequence[str] = ()) -> DictConfig:
    """A LazyConfig file with `key=value` overrides.

    Args:    path: a .py file such as configs/kp2seg/light.py.  overrides: train.steps=100, ….
    Raises:  SegConfigError: no such file, an error in it, a section missing, an unknown key (the
             nearest is named), an override without "=" or of another type. Keys are those of the
             file, and arguments of its `_target_`s that it leaves at their defaults.
    """
    path = Path(path)
    if not path.exists():
        raise SegConfigError(f"{path}: no such configuration file")
    try:
        config = LazyConfig.load(str(path))
    except Exception as error:  # a configuration is code: anything may be wrong with it
        raise SegConfigError(f"{path}: {type(error).__name__}: {_line(error)}") from error
    missing = [name for name in SECTIONS if name not in config]
    if missing:
        raise SegConfigError(
            f"{path}: lacks {', '.join(missing)}; a configuration has {', '.join(SECTIONS)}"
        )
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise SegConfigError(f"override {override!r}: expected key=value, as train.steps=1000")
        try:
            value = OmegaConf.from_dotlist([f"value={text}"]).value
        except Exception as error:  # YAML's and omegaconf's errors all mean "no value"
            raise SegConfigError(f"override {override!r}: {_line(error)}") from error
        _set(config, key, value, override)
    return config


def make(section: Any, name: str, **more: Any) -> Any:
    """What a section describes. Args: name: of the section, for messages.  more: arguments.

    Raises: SegConfigError: its arguments do not fit.
    """
    try:
        return instantiate({**section, **more})
    except (TypeError, ValueError, OSError) as error:
        raise SegConfigError(f"{name}: {_line(error)}") from error


def config_to_text(config: DictConfig, discovery: Mapping[str, Any] | None = None) -> str:
    """The configuration as YAML, classes by their names; what checkpoints hold.

    A templates file is replaced by its contents, so that a checkpoint needs no other file.

    Args:    discovery: with what the keypoints of the training data were discovered; kept beside.
    """
    plain = _named(OmegaConf.to_container(config))
    templates = plain["model"].get("templates")
    if isinstance(templates, str):
        plain["model"]["templates"] = templates_to_json(load_templates(templates))
    if discovery is not None:
        plain["discovery"] = dict(discovery)
    return OmegaConf.to_yaml(OmegaConf.create(plain))


def has_templates(text: str) -> bool:
    """Whether a stored configuration is of a model that takes keypoints; a detector does not."""
    return "templates" in OmegaConf.create(text).model


def finds_keypoints(text: str) -> bool:
    """Whether a stored configuration is of a model that finds keypoints itself, in boxes."""
    return "keypointnet" in OmegaConf.create(text).model


def model_from_text(text: str, source: str, **changes: Any) -> nn.Module:
    """The model of a stored configuration, with untrained weights.

    Args:    text: of `config_to_text`.  source: for messages.  changes: of the model's arguments.
    Raises:  SegConfigError: no such text, or it would make something else than a model of kp2seg
             or Detectron2: a checkpoint must not be able to run what it likes.
    """
    try:
        section: Any = OmegaConf.to_container(OmegaConf.create(text).model, resolve=True)
        if "templates" in section:
            changes["templates"] = templates_from_json(section.pop("templates"))
    except (OmegaConfBaseException, AttributeError, KeyError, ValueError, YAMLError) as error:
        reason = _line(error)
        raise SegConfigError(f"{source}: its configuration has no model: {reason}") from error
    for node in _mappings(section):
        target = node.get("_target_")
        if target is not None and not _is_trusted(target):
            raise SegConfigError(f"{source}: its configuration names {target!r}, which is not ours")
        if target is not None and locate(target) in _PRETRAINED_BUILDERS:
            node["pretrained"] = False  # the checkpoint's weights follow
    model = make(section, f"{source}: model", **changes)
    if not isinstance(model, nn.Module):
        raise SegConfigError(f"{source}: its configuration has no model")
    return model


def choose_device(name: str) -> torch.device:
    """The device of a name; "auto" is CUDA where there is one. Raises: SegConfigError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise SegConfigError(f"device {name!r}: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SegConfigError(
            f"device {name!r}: there are {torch.cuda.device_count()} CUDA devices; use auto or cpu"
        )
    return device


def _set(config: DictConfig, key: str, value: Any, override: str) -> None:
    """Changes one key, or the keys of a mapping, if they exist and are of the value's kind."""
    legal = list(_keys(config))
    if key not in legal:
        near = difflib.get_close_matches(key, legal, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SegConfigError(f"override {override!r}: unknown key {key!r}{hint}")
    old = OmegaConf.select(config, key)
    if isinstance(old, DictConfig) and isinstance(value, DictConfig):
        for name in map(str, value):
            _set(config, f"{key}.{name}", value[name], override)
        return
    if isinstance(old, ListConfig) and isinstance(value, str):
        value = ListConfig([value])  # one data set is a list of one
    _check_type(override, old, value)
    if isinstance(old, int) and isinstance(value, float):
        value = int(value)  # 1e4
    OmegaConf.update(config, key, value)


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """All keys, and those that are not set but that a `_target_` takes."""
    for key in dict.fromkeys([*node, *_parameters(node.get("_target_"))]):
        yield f"{prefix}{key}"
        if isinstance(node.get(key), DictConfig):
            yield from _keys(node[key], f"{prefix}{key}.")


def _parameters(target: Any) -> list[str]:
    """The names of a class's or function's arguments; of its bases' too if it passes them on."""
    if isinstance(target, str):
        target = locate(target)
    if target is None:
        return []
    functions = [target]
    if inspect.isclass(target):
        functions = [vars(base)["__init__"] for base in target.__mro__ if "__init__" in vars(base)]
    names: list[str] = []
    for function in functions:
        parameters = inspect.signature(function).parameters.values()
        names += [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in names if name != "self"]


def _check_type(override: str, old: Any, new: Any) -> None:
    if old is None or new is None:
        return
    wrong = isinstance(old, bool) != isinstance(new, bool)
    wrong |= isinstance(old, int) and isinstance(new, float) and not new.is_integer()
    for kind in (int | float, str, DictConfig, ListConfig):
        wrong |= isinstance(old, kind) and not isinstance(new, kind)
    if wrong:
        raise SegConfigError(f"override {override!r}: expected {_kind(old)}, got {new!r}")


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
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


def _mappings(node: Any) -> Iterator[dict[str, Any]]:
    """All mappings in dicts and lists, from the outside in."""
    if isinstance(node, dict):
        yield node
    if isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from _mappings(value)


def _is_trusted(target: Any) -> bool:
    """Whether it is the plain name of a network or a builder: names can reach into modules."""
    if not isinstance(target, str) or not target.startswith(_TRUSTED):
        return False
    try:
        found: Any = locate(target)
    except (ImportError, AttributeError):
        return False
    if found in _TRUSTED_BUILDERS:
        return True
    home = f"{getattr(found, '__module__', '')}."
    return inspect.isclass(found) and issubclass(found, nn.Module) and home.startswith(_TRUSTED)


def _line(error: Exception) -> str:
    """An error's text in one line."""
    return " ".join(str(error).split()) or type(error).__name__
