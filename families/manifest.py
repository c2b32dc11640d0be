"""The card of an exported model: what every service must know about it before it computes anything.

`python -m export` writes one card per model, as the last act of an export, so a readable card means that all its graphs
were compared with torch. The card is `<repository>/<name>/manifest.json`, beside the model's `tokenizer.json`; each
graph has its own folder, `<repository>/<name>_<part>/`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from families.defaults import Defaults, Size, check_sizes
from families.facts import ModelFacts, Net, skips

MANIFEST_FILE = "manifest.json"


class ManifestError(Exception):
    """A card that is missing, unreadable or invalid; the message says what to do about it."""


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
    added: dict[str, Added] = msgspec.field(default_factory=dict)
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


def tokenizer_paths(repository: Path, facts: ModelFacts) -> tuple[Path, ...]:
    """Path of each encoder's tokenizer, for the `tokenizers` library."""
    return tuple(repository / facts.name / encoder.tokenizer for encoder in facts.encoders)


def read_manifest(repository: Path, name: str) -> Manifest:
    """Read the card of one model.

    Raises ManifestError if it is missing or invalid.
    """
    path = manifest_path(repository, name)
    try:
        return msgspec.convert(_as_written_today(msgspec.json.decode(path.read_bytes())), Manifest)
    except FileNotFoundError:
        raise ManifestError(
            f"model {name!r} is not exported: {repository.name}/{name}/{MANIFEST_FILE} is missing. "
            f"Run `python -m export SOURCE --name {name}`."
        ) from None
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise ManifestError(
            f"{repository.name}/{name}/{MANIFEST_FILE} is not a valid card for this version ({error}). "
            f"Run `python -m export SOURCE --name {name} --force`."
        ) from error


def _as_written_today(card: Any) -> Any:
    """A card of a version that knew one text encoder, and one ControlNet a kind, in today's form."""
    if not isinstance(card, dict) or "encoders" in card or "text_layers" not in card:
        return card
    kept = dict(card)
    encoder = {
        "length": kept["text_tokens"],
        "width": kept["text_width"],
        "layers": kept.pop("text_layers"),
        "pad": kept.pop("pad_token_id"),
        "bos": kept.pop("bos_token_id"),
        "eos": kept.pop("eos_token_id"),
    }
    pooled = kept.pop("pooled_controls", ())
    nets = [Net(name=kind, kinds={kind: None}, pooled=kind in pooled) for kind in kept.pop("controls")]
    strides = tuple((int(channels), int(stride)) for channels, stride in kept["residuals"])
    return kept | {"encoders": [encoder], "nets": msgspec.to_builtins(nets), "residuals": skips(strides)}


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
