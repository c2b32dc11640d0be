"""The card of an exported model: what every service must know about it before it computes anything.

`python -m export` writes one card per model, as the last act of an export, so a readable card means that all its graphs
were compared with torch. The card is `<repository>/<name>/manifest.json`, beside the model's `tokenizer.json`; each
graph has its own folder, `<repository>/<name>_<part>/`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from families.defaults import Defaults, Size, check_sizes

MANIFEST_FILE = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"

# Model names and kinds become folder names and are joined by `__`, so neither may contain it.
_WORD = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")


_LONGEST_NAME = 64


def is_name(text: str) -> bool:
    """Whether `text` is a valid name of a model or kind: lower-case letters, digits, single `-` or `_`, 64 at most."""
    return len(text) <= _LONGEST_NAME and _WORD.fullmatch(text) is not None


class ManifestError(Exception):
    """A card that is missing, unreadable or invalid; the message says what to do about it."""


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one model that shape its graphs; read from its configuration files alone, without weights."""

    name: str
    """Prefix of the model's graphs, e.g. `demo`: lower-case letters, digits and single `-` or `_`."""
    family: str
    """Its architecture, which determines its graphs and their tensors, e.g. `sd15`."""
    native_size: int
    """Side of the square picture the model was trained on, pixels."""
    latent_channels: int
    downscale: int
    """Pixels per side of a latent cell: 8 for every Stable Diffusion VAE."""
    text_tokens: int
    """Length of every prompt in tokens, start and end tokens included: 77 for CLIP."""
    text_width: int
    """Channels of one token's hidden state."""
    text_layers: int
    """Transformer layers of the text encoder; `layers_skipped` (diffusers' clip_skip) stays below it."""
    pad_token_id: int
    bos_token_id: int
    eos_token_id: int
    residuals: tuple[tuple[int, int], ...]
    """(channels, stride) of each ControlNet residual, stride in latent cells; the last one is the mid block's.
    At latent height h a residual is ceil(h / stride) high."""
    controls: tuple[str, ...]
    """Kinds of control that the model has a ControlNet for, sorted."""
    pooled_controls: tuple[str, ...] = ()
    """Controls whose residuals are averaged over the picture (diffusers' global_pool_conditions, `shuffle`): for
    these diffusers always uses guess mode, in which no residuals are added to the negative row."""
    scheduler: dict[str, Any]
    """The model's own scheduler_config.json: prediction type, betas, timestep spacing."""

    def __post_init__(self) -> None:
        for word in (self.name, *self.controls):
            if not _WORD.fullmatch(word):
                raise ValueError(f"{word!r} is not a valid name: use lower-case letters, digits and single '-' or '_'")
        if tuple(sorted(set(self.controls))) != self.controls:
            raise ValueError(f"controls must be sorted and without duplicates, not {list(self.controls)}")


class GraphFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One exported graph: the file's hash and size, and its error against torch when it was written."""

    sha256: str
    bytes: int
    max_abs_error: float
    """Largest absolute difference from torch over all verified sizes, in the output's own unit."""


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """A ControlNet that was added to an exported model: `python -m export control`."""

    takes: str
    """Kind of control whose hints it takes, such as `canny`."""
    source: str
    """Where its weights came from: the folder's name or the hub id."""


class Manifest(ModelFacts, frozen=True, kw_only=True):
    """The card: `ModelFacts` of a model whose graphs were traced, verified and moved into place."""

    graphs: dict[str, GraphFacts]
    """Graph name -> facts of its `1/model.onnx`; ensembles have no file and are not listed here."""
    preview: tuple[tuple[float, float, float], ...]
    """Linear map of latents to a small picture: a row (red, green, blue) per latent channel, then a row of constants.
    A cell's colour is the sum of its channels times their rows, plus the constants; 0 is black and 1 white."""
    source: str
    """Where the weights came from: the folder's name or the hub id."""
    versions: dict[str, str]
    """Versions of the packages that exported the graphs."""
    fingerprint: str
    """One hash over sources, versions and options; an export with the same fingerprint has nothing to do."""
    target: str
    """`cpu` or `gpu`: the machine for which the `config.pbtxt` files were written."""
    added: dict[str, Added] = {}
    """Those of `controls` that were added later, by name. The fingerprint and the versions do not cover them."""

    defaults: Defaults = Defaults()
    """Settings for requests that leave them to the model. Cards of older versions have none."""
    trained_sizes: tuple[Size, ...] = ()
    """Width and height of the pictures that the model was trained on, pixels; empty: its native size, square."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self.trained_sizes)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The sizes of the pictures that the model was trained on, one at least."""
        return self.trained_sizes or ((self.native_size, self.native_size),)

    def takes(self, control: str) -> str:
        """The kind of control whose hints the ControlNet `control` takes: usually its own name."""
        added = self.added.get(control)
        return added.takes if added else control


def manifest_path(repository: Path, name: str) -> Path:
    """Path of the card of `name`, whether it exists or not."""
    return repository / name / MANIFEST_FILE


def tokenizer_path(repository: Path, name: str) -> Path:
    """Path of the `tokenizer.json` of `name`, for the `tokenizers` library."""
    return repository / name / TOKENIZER_FILE


def read_manifest(repository: Path, name: str) -> Manifest:
    """Read the card of one model.

    Raises ManifestError if it is missing or invalid.
    """
    path = manifest_path(repository, name)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise ManifestError(
            f"model {name!r} is not exported: {repository.name}/{name}/{MANIFEST_FILE} is missing. "
            f"Run `python -m export SOURCE --name {name}`."
        ) from None
    except (msgspec.MsgspecError, ValueError, OSError, RecursionError) as error:
        raise ManifestError(
            f"{repository.name}/{name}/{MANIFEST_FILE} is not a valid card for this version ({error}). "
            f"Run `python -m export SOURCE --name {name} --force`."
        ) from error


def list_manifests(repository: Path) -> list[Manifest]:
    """Read every card in the repository, by name. Raises ManifestError on the first unreadable one."""
    return [read_manifest(repository, path.parent.name) for path in sorted(repository.glob(f"*/{MANIFEST_FILE}"))]


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write the card into the model's `folder` atomically: a reader sees either the old or the new one."""
    return write_card(folder / MANIFEST_FILE, manifest)


def write_card(target: Path, card: msgspec.Struct) -> Path:
    """Write `card` as JSON for people and programs, atomically; see `write_manifest`."""
    partial = target.with_suffix(".json.partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(card, order="deterministic"), indent=2) + b"\n")
    os.replace(partial, target)
    return target
