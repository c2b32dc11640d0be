"""Find and check the model to export, before torch is imported and before any library opens the folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from export import hub, sd15
from export.errors import SourceRefused
from export.hostile import one_line, read_object, refusing, require_plain_files, shown

DEMO = "demo"
DEMO_WEIGHTS = Path(__file__).parents[1] / "demo" / "weights"
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".msgpack", ".h5")
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


@dataclass(frozen=True, slots=True)
class Part:
    """One checked sub-model: its folder, its configuration and the weights file that will be read."""

    folder: Path
    config: Mapping[str, Any]
    weights: Path

    @property
    def variant(self) -> str | None:
        """diffusers' variant of the weights' file name: `fp16` for model.fp16.safetensors."""
        middle = self.weights.name.split(".")[1:-1]
        return middle[0] if middle else None


@dataclass(frozen=True, slots=True)
class Source:
    """A checked SD1.5-shaped model in the folder `root`. `label` names it without any path."""

    root: Path
    label: str
    text_encoder: Part
    unet: Part
    vae: Part
    tokenizer: Path
    scheduler: Mapping[str, Any]
    controlnets: Mapping[str, Part]

    def files(self) -> tuple[Path, ...]:
        """Every file that affects the export, in a fixed order."""
        parts = (
            self.text_encoder,
            self.unet,
            self.vae,
            *(self.controlnets[kind] for kind in sorted(self.controlnets)),
        )
        of_parts = [path for part in parts for path in (part.folder / "config.json", part.weights)]
        of_tokenizer = [self.tokenizer / name for name in TOKENIZER_FILES if (self.tokenizer / name).is_file()]
        return (*of_parts, *of_tokenizer)


def default_name(source: str) -> str:
    """Make a model name from the last part of a folder or hub id: `owner/Some_Model.v1` -> `some_model-v1`."""
    return re.sub(
        r"[^a-z0-9]+",
        lambda match: "_" if match.group() == "_" else "-",
        source.rstrip("/").split("/")[-1].lower(),
    )


def open_source(source: str, controlnets: Mapping[str, str], offline: bool = False) -> Source:
    """Check `source` (a folder, a hub id or `demo`) and its ControlNets.

    ControlNets are those of `controlnets` (kind -> folder or hub id) and the `controlnet-<kind>` sub-folders of the
    source; an explicit one takes precedence.
    Raises SourceRefused or HubUnreachable.
    """
    with refusing("source"):
        return _opened(source, controlnets, offline)


def _opened(source: str, controlnets: Mapping[str, str], offline: bool) -> Source:
    root = DEMO_WEIGHTS if source == DEMO else _folder(source, hub.PIPELINE, offline)
    index = _config(root / "model_index.json", "model_index.json")
    _allowed(index, sd15.PIPELINES, "model_index.json")
    parts = {name: _part(root / name, kind, name) for name, kind in sd15.PARTS.items()}
    scheduler = _config(root / "scheduler" / "scheduler_config.json", "scheduler")
    _allowed(scheduler, sd15.SCHEDULERS, "scheduler")
    _settings(scheduler, sd15.SCHEDULER_CHECKS, "scheduler")
    if not any((root / "tokenizer" / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise SourceRefused("tokenizer: tokenizer.json, or vocab.json with merges.txt, is missing")
    require_plain_files(root / "tokenizer", "tokenizer")
    for path in (root / "tokenizer" / name for name in TOKENIZER_FILES):
        if path.suffix == ".json" and path.exists():
            read_object(path, "tokenizer")
    found = {path.name.removeprefix("controlnet-"): path for path in sorted(root.glob("controlnet-*")) if path.is_dir()}
    found |= {kind: _folder(place, hub.CONTROLNET, offline) for kind, place in controlnets.items()}
    checked = {kind: _part(path, sd15.CONTROLNET, f"controlnet {kind}") for kind, path in sorted(found.items())}
    for kind, part in checked.items():
        _fits(part.config, parts["unet"].config, kind)
    if parts["text_encoder"].config["hidden_size"] != parts["unet"].config["cross_attention_dim"]:
        raise SourceRefused(
            f"the text encoder is {parts['text_encoder'].config['hidden_size']} wide but the UNet expects "
            f"{parts['unet'].config['cross_attention_dim']}: these parts are not of the same model"
        )
    label = DEMO if source == DEMO else one_line(root.name if Path(source).is_dir() else source)
    return Source(
        root=root, label=label, tokenizer=root / "tokenizer", scheduler=scheduler, controlnets=checked, **parts
    )


@dataclass(frozen=True, slots=True)
class ControlNetSource:
    """A checked ControlNet without its model. `label` names it without any path."""

    label: str
    part: Part


def open_controlnet(source: str, kind: str, offline: bool = False) -> ControlNetSource:
    """Check a single ControlNet (a folder or a hub id) for hints of `kind`. Raises SourceRefused or HubUnreachable."""
    with refusing(f"controlnet {kind}"):
        root = _folder(source, hub.CONTROLNET, offline)
        label = one_line(root.name if Path(source).is_dir() else source)
        return ControlNetSource(label, _part(root, sd15.CONTROLNET, f"controlnet {kind}"))


def _folder(source: str, wanted: hub.Wanted, offline: bool) -> Path:
    path = Path(source)
    if path.is_dir():
        return path
    if path.is_absolute() or source.startswith((".", "~")) or not hub.is_id(source):
        raise SourceRefused(f"{source!r} is neither a folder nor a hub id like owner/name")
    return hub.fetch(source, wanted, offline)


def _config(path: Path, what: str) -> dict[str, Any]:
    try:
        return read_object(path, what)
    except FileNotFoundError:
        raise SourceRefused(f"{what}: {path.name} is missing. {sd15.EXPECTED}") from None


def _allowed(config: Mapping[str, Any], names: frozenset[str], what: str) -> None:
    found = config.get("_class_name")
    if not isinstance(found, str) or found not in names:
        raise SourceRefused(
            f"{what}: class {shown(found)} is not supported. {sd15.EXPECTED} "
            f"Known for this file: {', '.join(sorted(names))}."
        )


def _part(folder: Path, kind: str, what: str) -> Part:
    config = _config(folder / "config.json", what)
    named = config["_class_name"] if "_class_name" in config else config.get("architectures")
    if named not in (kind, [kind]):
        raise SourceRefused(f"{what}: config.json names {shown(named)}, not {kind}. {sd15.EXPECTED}")
    if "auto_map" in config:
        raise SourceRefused(f"{what}: config.json asks for custom code (auto_map), which is never loaded")
    missing = sorted(sd15.REQUIRED[kind] - config.keys())
    if missing:
        raise SourceRefused(f"{what}: config.json lacks {missing}. {sd15.EXPECTED}")
    _settings(config, sd15.CHECKS[kind], what)
    return Part(folder, config, _weights(folder, what))


def _settings(config: Mapping[str, Any], checks: Mapping[str, sd15.Check], what: str) -> None:
    wrong = [key for key, fits in checks.items() if key in config and not fits(config[key])]
    if wrong:
        values = ", ".join(f"{key}={shown(config[key])}" for key in wrong)
        raise SourceRefused(f"{what}: {values} is not SD1.5-shaped. {sd15.EXPECTED}")


def _weights(folder: Path, what: str) -> Path:
    require_plain_files(folder, what)
    files = {path.name: path for path in folder.iterdir() if path.is_file()}
    for name in hub.WEIGHTS:
        if name in files:
            _intact(files[name], what)
            return files[name]
    pickles = sorted(name for name in files if name.endswith(PICKLES))
    if pickles:
        raise SourceRefused(
            f"{what}: {', '.join(pickles)} can run code when loaded and is refused. If you trust it, convert it "
            "once: DiffusionPipeline.from_pretrained(SOURCE).save_pretrained(FOLDER, safe_serialization=True)."
        )
    raise SourceRefused(f"{what}: weights are missing; expected one of {', '.join(hub.WEIGHTS)}")


def _intact(path: Path, what: str) -> None:
    try:
        with safe_open(path, framework="numpy") as opened:
            opened.keys()
    except (SafetensorError, OSError) as error:
        raise SourceRefused(f"{what}: {path.name} is not a complete safetensors file ({error})") from error


def _fits(control: Mapping[str, Any], unet: Mapping[str, Any], kind: str) -> None:
    for key in sd15.SAME_IN_CONTROLNET:
        if key in control and key in unet and control[key] != unet[key]:
            raise SourceRefused(
                f"controlnet {kind}: {key} is {shown(control[key])} but the UNet has {shown(unet[key])}: it belongs to "
                "another model"
            )
