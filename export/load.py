"""Reading checked weights into torch modules, in float32 and in evaluation mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextConfig, T5Config, T5EncoderModel
from transformers.utils import logging as transformers_logging

from export.errors import SourceRefused
from export.families.checks import CLIP_SETTINGS, T5_SETTINGS
from export.parts import Part
from export.single_files import weights

_CLIP_LOADING: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "eager"}


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
    """Load a checked part as the diffusers class `cls`; only safetensors, only from its folder, never code.

    Raises SourceRefused for weights that are not exactly those that the configuration asks for: the libraries would
    fill what is missing with random numbers.
    """
    if part.layout:
        make = partial(cls.from_config, {key: value for key, value in part.config.items() if key != "_class_name"})
        found = weights.restored(make, part, what)
        with torch.device("meta"):
            model = make()
        # None of these classes has a buffer, which would stay on the meta device.
        model.load_state_dict(found, strict=True, assign=True)
        return model.eval().requires_grad_(False)
    return _whole(
        what,
        cls.from_pretrained,
        part.folder,
        torch_dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        low_cpu_mem_usage=False,
        variant=part.variant,
    )


def clip(cls: Any, part: Part, what: str) -> Any:
    """Load a checked CLIP text encoder as the transformers class `cls`; raises as `diffusers_model`."""
    # The configuration is built here from an allow-list, so that no key of the file can name code to import.
    config = CLIPTextConfig(**{key: part.config[key] for key in CLIP_SETTINGS if key in part.config})
    if part.layout:
        found = weights.restored(lambda: cls(config), part, what)
        return _whole(what, cls.from_pretrained, None, config=config, state_dict=found, **_CLIP_LOADING)
    return _whole(
        what,
        cls.from_pretrained,
        part.folder,
        config=config,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        variant=part.variant,
        **_CLIP_LOADING,
    )


def t5(part: Part, what: str) -> Any:
    """Load a checked T5 encoder; raises as `diffusers_model`."""
    config = T5Config(**{key: part.config[key] for key in T5_SETTINGS if key in part.config})
    return _whole(
        what,
        T5EncoderModel.from_pretrained,
        part.folder,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        variant=part.variant,
        attn_implementation="eager",
    )


def _whole(what: str, from_pretrained: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    try:
        model, report = from_pretrained(*arguments, output_loading_info=True, **settings)
    except (RuntimeError, ValueError, OSError) as error:
        raise SourceRefused(f"{what}: the weights do not fit its config.json ({type(error).__name__})") from error
    # Older CLIP files also hold the positions 0..76, which are no weights.
    odd = [
        str(key)
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        for key in report[kind]
        if not str(key).endswith("position_ids")
    ]
    if odd:
        raise SourceRefused(
            f"{what}: the weights are not those that its config.json describes: {len(odd)} tensors are missing, "
            f"superfluous or of another shape, such as {sorted(odd)[0]}"
        )
    return model.eval().requires_grad_(False)
