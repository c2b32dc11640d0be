"""Torch modules of checked parts, in evaluation mode, hollow: their weights stay in their files (`export.hollow`)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextConfig, T5Config, T5EncoderModel
from transformers.utils import logging as transformers_logging

from export import hollow, stored
from export.errors import SourceRefused
from export.families.checks import CLIP_SETTINGS, T5_SETTINGS
from export.parts import Part
from export.single_files import weights
from export.stored import Weight


@contextmanager
def quietly() -> Iterator[None]:
    """Without the libraries' progress bars and warnings."""
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def diffusers_model(cls: Any, part: Part, what: str) -> Any:
    """A checked part as the diffusers class `cls`; only safetensors are read, and never code.

    Raises SourceRefused for weights that are not exactly those that the configuration asks for.
    """
    settings = {key: value for key, value in part.config.items() if key != "_class_name"}
    return _made(lambda: cls.from_config(settings), part, what)


def clip(cls: Any, part: Part, what: str) -> Any:
    """A checked CLIP text encoder as the transformers class `cls`; raises as `diffusers_model`."""
    # The configuration is built here from an allow-list, so that no key of the file can name code to import.
    config = CLIPTextConfig(**{key: part.config[key] for key in CLIP_SETTINGS if key in part.config})
    return _made(lambda: cls(_eager(config)), part, what)


def t5(part: Part, what: str) -> Any:
    """A checked T5 encoder; raises as `diffusers_model`."""
    config = T5Config(**{key: part.config[key] for key in T5_SETTINGS if key in part.config})
    return _made(lambda: T5EncoderModel(_eager(config)), part, what)


def _eager(config: Any) -> Any:
    config._attn_implementation = "eager"
    return config


def _made(make: Callable[[], Any], part: Part, what: str) -> Any:
    try:
        with torch.device("meta"):
            model = make()
    except (RuntimeError, ValueError, OSError) as error:
        raise SourceRefused(f"{what}: the weights do not fit its config.json ({type(error).__name__})") from error
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    hollow.make(model, weights.restored(model, part, what) if part.layout else _of_folder(model, part, what))
    return model.eval().requires_grad_(False)


def _of_folder(model: Any, part: Part, what: str) -> dict[str, Weight]:
    """The weights in a part's folder by the model's names. Raises SourceRefused unless they are exactly the model's."""
    found = _renamed(model, stored.in_files(part.tensor_files, what))
    shared: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        shared.setdefault(id(parameter), set()).add(name)
    expected = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    absent = [min(names) for names in shared.values() if not names & found.keys()]
    odd = [name for name, weight in found.items() if expected.get(name) != weight.shape]
    if absent or odd:
        raise SourceRefused(
            f"{what}: the weights are not those that its config.json describes: {len(absent) + len(odd)} tensors are "
            f"missing, superfluous or of another shape, such as {min(absent + odd)}"
        )
    return found


def _renamed(model: Any, found: Mapping[str, Weight]) -> dict[str, Weight]:
    """`found` by the names of today's classes, without what they pass over."""
    # Older CLIP files also hold the positions 0..76, which are no weights; T5's may hold the half that is not read.
    passed = [r"position_ids$", *(getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ())]
    named = {name: name for name in found if not any(re.search(pattern, name) for pattern in passed)}
    if hasattr(model, "_fix_state_dict_keys_on_load"):
        # Attention of the first VAEs has names of its own.
        model._fix_state_dict_keys_on_load(named)
    if not any(name.startswith(_WRAPPED) for name in model.state_dict()):
        named = {name.removeprefix(_WRAPPED): old for name, old in named.items()}
    return {name: found[old] for name, old in named.items()}


_WRAPPED = "text_model."
"""What transformers wrapped CLIPTextModel's encoder in before its version 5."""
