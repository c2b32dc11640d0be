"""The facts of a model that shape its graphs, as its card keeps them."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from families.tensors import Dim, part_of

# Model names and kinds become folder names and are joined by `__`, so neither may contain it.
_WORD = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")
_LONGEST_NAME = 64


def is_name(text: str) -> bool:
    """Whether `text` is a valid name of a model or kind: lower-case letters, digits, single `-` or `_`, 64 at most."""
    return len(text) <= _LONGEST_NAME and _WORD.fullmatch(text) is not None


def check_name(text: str) -> None:
    """Raise ValueError for an invalid name of a model, ControlNet or kind, whatever its length."""
    if not _WORD.fullmatch(text):
        raise ValueError(f"{text!r} is not a valid name: use lower-case letters, digits and single '-' or '_'")


MASKED_CONTROLS = frozenset({"inpaint"})
"""Kinds whose ControlNet reads -1 wherever the picture is to be repainted (Zhang's ControlNet 1.1 inpaint). Bytes can't
represent -1, so their hint has a fourth channel, 255 there, and the graph combines the two."""


def hint_channels(kind: str) -> int:
    """Channels of a control's hint: RGB, and a mask for the kinds that repaint."""
    return 4 if kind in MASKED_CONTROLS else 3


class Encoder(msgspec.Struct, frozen=True, kw_only=True):
    """One text encoder of a model, and the tokenizer before it."""

    length: int
    """Tokens that it reads at once, start and end tokens included: 77 for CLIP."""
    width: int
    """Channels of its part of a token's hidden state; 0: it only says what the text is as a whole."""
    layers: int
    """Its layers; `layers_skipped` (diffusers' clip_skip) stays below it."""
    pad: int
    eos: int
    bos: int | None = None
    """None: texts begin with their first word, as for T5."""
    tokenizer: str = "tokenizer.json"
    """The tokenizer's file, beside the card."""


class Net(msgspec.Struct, frozen=True, kw_only=True):
    """A ControlNet: one graph, and the kinds of control whose hints it takes."""

    name: str
    kinds: dict[str, int | None]
    """Kind -> its mode, for a net that serves several (a union); None for one that knows only one."""
    reads_vector: bool = True
    """Whether it reads the model's `vector`, if that has one: small SDXL ControlNets do not."""
    distilled: bool = True
    """Whether it reads the guidance scale, if the model does."""
    pooled: bool = False
    """Whether its residuals are averaged over the picture (diffusers' global_pool_conditions, `shuffle`): for these
    diffusers always uses guess mode, in which no residuals are added to the negative row."""

    def __post_init__(self) -> None:
        for word in (self.name, *self.kinds):
            check_name(word)
        if not self.kinds:
            raise ValueError(f"ControlNet {self.name!r} takes no kind of control")

    @property
    def union(self) -> bool:
        """Whether its graph is told the kind of each hint by a mode."""
        return any(mode is not None for mode in self.kinds.values())

    @property
    def channels(self) -> int:
        """Channels of its hints in pixels; all of its kinds are alike in that."""
        return max(map(hint_channels, self.kinds))


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """What a denoiser reads of a text and its picture besides the tokens: one vector a text row."""

    pooled: int
    """Channels of the text encoder's answer for the text as a whole."""
    sizes: bool = False
    """Whether six numbers follow: height and width of the original picture, top and left of its crop, height and width
    of the picture to make, pixels (SDXL: Podell et al. 2023, section 2.2)."""

    @property
    def width(self) -> int:
        """Channels of the vector."""
        return self.pooled + (SIZE_NUMBERS if self.sizes else 0)


SIZE_NUMBERS = 6


class Concat(msgspec.Struct, frozen=True, kw_only=True):
    """What a denoiser reads in further channels beside the latents, the same at every step: the hint of a control, or
    a mask and what it leaves of the picture."""

    control: str | None = None
    """Kind of the control whose hint's latents these are: one without a ControlNet, of which every request has exactly
    one, with neither weight nor window (FLUX Control). None: the mask and the latents of the masked picture."""
    mask: Literal["cells", "blocks"] = "cells"
    """How the mask is read: `cells` is one channel in front of the picture's (Stable Diffusion), `blocks` a channel
    behind them for each pixel of a cell (FLUX Fill)."""


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one model that shape its graphs; read from its configuration files alone, without weights."""

    name: str
    """Prefix of the model's graphs, e.g. `demo`: lower-case letters, digits and single `-` or `_`."""
    family: str
    """Its architecture, a row of `families.table`, e.g. `sd15`."""
    native_size: int
    """Side of the square picture the model was trained on, pixels."""
    latent_channels: int
    downscale: int
    """Pixels per side of a latent cell: 8 for every Stable Diffusion VAE."""
    encoders: tuple[Encoder, ...]
    """In the order in which their graph takes their tokens."""
    text_tokens: int
    """Tokens of one chunk of text as the denoiser reads it."""
    text_width: int
    """Channels of one of these tokens."""
    residuals: tuple[tuple[Dim, ...], ...]
    """Named dimensions of each ControlNet residual, without the batch; of a UNet's the last one is the mid block's."""
    nets: tuple[Net, ...] = ()
    """Its ControlNets, sorted by name; each kind of control has one."""
    vector: Vector | None = None
    """None: the denoiser reads tokens alone."""
    zero_negative: bool = False
    """Whether an empty negative prompt is zeros in place of its encoding (diffusers' force_zeros_for_empty_prompt)."""
    distilled: bool = False
    """Whether the guidance scale is an input of the denoiser, which then needs no negative row."""
    concat: Concat | None = None
    """What the denoiser reads beside the latents; None: nothing."""
    patch: int = 1
    """Latent cells on each side of what a transformer reads as one token."""
    scheduler: dict[str, Any]
    """The model's own scheduler_config.json: prediction type, betas, timestep spacing."""

    def __post_init__(self) -> None:
        check_name(self.name)
        names = [net.name for net in self.nets]
        if sorted(set(names)) != names:
            raise ValueError(f"ControlNets must be sorted and without duplicates, not {names}")
        kinds = [kind for net in self.nets for kind in net.kinds]
        if twice := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
            raise ValueError(f"two ControlNets take hints of {twice}")
        if self.own_control is not None:
            check_name(self.own_control)
            if self.own_control in kinds:
                raise ValueError(f"the model reads hints of {self.own_control!r} itself: leave out its ControlNet")
        if not self.encoders:
            raise ValueError("a model needs a text encoder")

    @property
    def controls(self) -> tuple[str, ...]:
        """Kinds of control that the model reads itself or has a ControlNet for, sorted."""
        own = [self.own_control] if self.own_control is not None else []
        return tuple(sorted([*own, *(kind for net in self.nets for kind in net.kinds)]))

    @property
    def own_control(self) -> str | None:
        """The kind of control whose hints the denoiser reads itself, without a ControlNet; None if it reads none."""
        return None if self.concat is None else self.concat.control

    @property
    def repaints(self) -> bool:
        """Whether the denoiser reads a mask and the masked picture: it repaints, and does nothing else."""
        return self.concat is not None and self.concat.control is None

    @property
    def concat_channels(self) -> int:
        """Channels that the denoiser reads beside those of the latents."""
        if self.concat is None:
            return 0
        if self.concat.control is not None:
            return self.latent_channels
        return self.latent_channels + (1 if self.concat.mask == "cells" else self.downscale**2)

    def net_of(self, kind: str) -> Net:
        """The ControlNet that takes hints of `kind`. Raises KeyError if there is none."""
        return {kind: net for net in self.nets for kind in net.kinds}[kind]

    def net(self, name: str) -> Net:
        """The ControlNet `name`. Raises KeyError if there is none."""
        return {net.name: net for net in self.nets}[name]

    def dimensions(self, *, height: int, width: int, rows: int = 1, chunks: int = 1, depth: int = 1) -> dict[str, int]:
        """What the named dimensions of the model's tensors are, for `Tensor.sized`.

        Args:
            height, width: of the latents, cells.
            rows: text rows: 2 with guidance, else 1.
            chunks: lengths of the text encoder that the prompt takes.
            depth: of stacks of residuals.
        """
        return {
            "rows": rows,
            "tokens": self.text_tokens * chunks,
            "h": height,
            "w": width,
            "H": height * self.downscale,
            "W": width * self.downscale,
            "patches": height // self.patch * (width // self.patch),
            "depth": depth,
        }


def skips(residuals: tuple[tuple[int, int], ...]) -> tuple[tuple[Dim, ...], ...]:
    """(channels, stride) of each skip of a UNet -> named dimensions [rows, channels, h / stride, w / stride]."""
    return tuple(("rows", count, part_of("h", stride), part_of("w", stride)) for count, stride in residuals)
