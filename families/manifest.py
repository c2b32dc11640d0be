"""The card of an exported model: what every room must know of it before it computes anything.

`python -m export` writes one card a model, as the last act of an export, so a card that can be read stands for
graphs that were all compared with torch. The card lies at `<repository>/<name>/manifest.json`, beside the model's
`tokenizer.json`; the graphs themselves lie one folder each at `<repository>/<name>_<part>/`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

MANIFEST_FILE = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"

# Model names and kinds become folder names and are joined by `__`, so neither may hold it.
_WORD = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")


_LONGEST_NAME = 64


def is_name(text: str) -> bool:
    """Whether a model or kind may be called so: lower-case letters, digits and single `-` or `_`, 64 at most."""
    return len(text) <= _LONGEST_NAME and _WORD.fullmatch(text) is not None


class ManifestError(Exception):
    """A card that is missing, unreadable or that breaks its own rules; the message says what to do about it."""


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one model that shape its graphs; known from its configuration files alone, without weights."""

    name: str
    """Prefix of the model's graphs, e.g. `demo`: lower-case letters, digits and single `-` or `_`."""
    family: str
    """Which graph contract holds, e.g. `sd15`."""
    native_size: int
    """Side of the square picture the model was trained on, pixels."""
    latent_channels: int
    downscale: int
    """Pixels on one side of a latent cell: 8 for every Stable Diffusion VAE."""
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
    these diffusers always runs guess mode, the negative row unsteered."""
    scheduler: dict[str, Any]
    """The model's own scheduler_config.json: prediction type, betas, timestep spacing."""

    def __post_init__(self) -> None:
        for word in (self.name, *self.controls):
            if not _WORD.fullmatch(word):
                raise ValueError(f"{word!r} is not a name: use lower-case letters, digits and single '-' or '_'")
        if tuple(sorted(set(self.controls))) != self.controls:
            raise ValueError(f"controls must be sorted and each named once, not {list(self.controls)}")


class GraphFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One exported graph: the file's fingerprint and how far it was from torch when it was written."""

    sha256: str
    bytes: int
    max_abs_error: float
    """Largest absolute difference to torch over all verified sizes, in the output's own unit."""


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """A ControlNet that came to an exported model on its own: `python -m export control`."""

    takes: str
    """Kind of control whose hints it takes, such as `canny`."""
    source: str
    """Where its weights came from: the folder's own name or the hub id."""


class Manifest(ModelFacts, frozen=True, kw_only=True):
    """`ModelFacts` of a model whose graphs were traced, verified and moved into place."""

    graphs: dict[str, GraphFacts]
    """Graph name -> facts of its `1/model.onnx`; ensembles have no file and are not listed here."""
    preview: tuple[tuple[float, float, float], ...]
    """Linear map of latents to a small picture: a row (red, green, blue) a latent channel, then a row of constants.
    A cell's colour is the sum of its channels times their rows, plus the constants; 0 is black and 1 white."""
    source: str
    """Where the weights came from: the folder's own name or the hub id."""
    versions: dict[str, str]
    """Package versions that made the graphs."""
    fingerprint: str
    """One hash over sources, versions and options; an export with the same one has nothing to do."""
    target: str
    """`cpu` or `gpu`: which machine the `config.pbtxt` files were written for."""
    added: dict[str, Added] = {}
    """Those of `controls` that came later, by their names. The fingerprint and the versions know nothing of them."""

    def takes(self, control: str) -> str:
        """The kind of control whose hints the ControlNet `control` takes: mostly its own name."""
        added = self.added.get(control)
        return added.takes if added else control


def manifest_path(repository: Path, name: str) -> Path:
    """Where the card of `name` lies, whether it exists or not."""
    return repository / name / MANIFEST_FILE


def tokenizer_path(repository: Path, name: str) -> Path:
    """The `tokenizer.json` of `name`, for the `tokenizers` library."""
    return repository / name / TOKENIZER_FILE


def read_manifest(repository: Path, name: str) -> Manifest:
    """The card of one model.

    Raises ManifestError if there is none or it does not decode.
    """
    path = manifest_path(repository, name)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise ManifestError(
            f"model {name!r} is not exported: {repository.name}/{name}/{MANIFEST_FILE} is missing. "
            f"Run `python -m export SOURCE --name {name}`."
        ) from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ManifestError(
            f"{repository.name}/{name}/{MANIFEST_FILE} is not a card of this version ({error}). "
            f"Run `python -m export SOURCE --name {name} --force`."
        ) from error


def list_manifests(repository: Path) -> list[Manifest]:
    """Every card in the repository, by name. Raises ManifestError on the first unreadable one."""
    return [read_manifest(repository, path.parent.name) for path in sorted(repository.glob(f"*/{MANIFEST_FILE}"))]


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write the card into `folder` (the model's own) in one step: a reader sees the old or the new one, whole."""
    return write_card(folder / MANIFEST_FILE, manifest)


def write_card(target: Path, card: msgspec.Struct) -> Path:
    """Write `card` as JSON for people and programs, in one step; see `write_manifest`."""
    partial = target.with_suffix(".json.partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(card, order="deterministic"), indent=2) + b"\n")
    os.replace(partial, target)
    return target
