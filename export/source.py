"""Find and check the model to export, before torch is imported and before any library opens the folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from export import hub, shards
from export.errors import SourceRefused
from export.families.checks import Check
from export.families.family import ExportFamily
from export.families.table import FAMILIES
from export.hostile import one_line, read_object, refusing, require_plain_files, shown
from export.parts import TOKENIZER_FILES, ControlNetSource, Part, Source
from export.single_files import opening
from families.facts import MASKED_CONTROLS, is_name

DEMO = "demo"
DEMO_WEIGHTS = Path(__file__).parents[1] / "demo" / "weights"


def default_name(source: str) -> str:
    """Make a model name from the last part of a folder, file or hub id: `owner/Some_Model.v1` -> `some_model-v1`."""
    return re.sub(
        r"[^a-z0-9]+",
        lambda match: "_" if match.group() == "_" else "-",
        source.rstrip("/").split("/")[-1].lower().removesuffix(shards.SUFFIX),
    )


def open_source(
    source: str,
    controlnets: Mapping[str, str],
    offline: bool = False,
    tokenizer: Path | None = None,
    control: str | None = None,
    beside: Mapping[str, str] | None = None,
) -> Source:
    """Check `source` (a folder, a hub id, a safetensors file or `demo`) and its ControlNets.

    ControlNets are those of `controlnets` (kind -> folder, hub id or safetensors file) and the `controlnet-<kind>`
    sub-folders of the source; an explicit one takes precedence. `tokenizer` is the folder of a single file's tokenizer,
    if that is not CLIP's own. `control` is the kind of the control picture that the model itself reads, if it does.
    `beside` are parts that a single file does not hold -> file or folder.
    Raises SourceRefused or HubUnreachable.
    """
    with refusing("source"):
        if _is_single(source):
            opened = _of_file(Path(source), tokenizer, beside or {})
        elif beside:
            raise SourceRefused("--part is for a model in a single file; a folder has its own parts")
        elif tokenizer is not None:
            raise SourceRefused("--tokenizer is for a model in a single file; a folder has its own in tokenizer/")
        else:
            opened = _of_folder(source, offline)
        return _complete(replace(opened, control=_kind(control)), controlnets, offline)


def _kind(control: str | None) -> str | None:
    """`control`, if it is a kind whose picture can be read beside the latents. Raises SourceRefused."""
    if control is not None and not is_name(control):
        raise SourceRefused(f"--control-kind: {shown(control)} is not a kind of control such as canny or depth")
    if control in MASKED_CONTROLS:
        raise SourceRefused(f"--control-kind: hints of {control!r} have a mask, which is no picture")
    return control


def _complete(opened: Source, controlnets: Mapping[str, str], offline: bool) -> Source:
    """The source with its ControlNets, all its parts compared with each other."""
    family = FAMILIES[opened.family]
    inside = [] if opened.root is None else sorted(opened.root.glob("controlnet-*"))
    found = {path.name.removeprefix("controlnet-"): str(path) for path in inside if path.is_dir()} | controlnets
    nets = {kind: _controlnet(place, kind, family, offline) for kind, place in sorted(found.items())}
    opened = replace(opened, controlnets=nets)
    family.check(opened)
    for kind, part in opened.controlnets.items():
        family.check_net(part.config, opened, kind)
    return opened


def _of_file(path: Path, tokenizer: Path | None, beside: Mapping[str, str]) -> Source:
    if tokenizer is not None:
        _tokenizer(tokenizer, "--tokenizer")
    places = {name: _place(place, f"--part {name}") for name, place in beside.items()}
    for name in places:
        if name.startswith("tokenizer"):
            _tokenizer(places[name], f"--part {name}")
    found = opening.open_model(path, tokenizer, places, _part_of)
    family = FAMILIES[found.family]
    for name, part in found.parts.items():
        _check(part.config, family, frozenset({family.parts[name]}), name)
    return Source(
        root=None,
        label=one_line(path.name),
        family=found.family,
        index=found.index,
        parts=found.parts,
        tokenizers=found.tokenizers,
        scheduler=found.scheduler,
        controlnets={},
        kept=found.scratch,
    )


def _place(place: str, what: str) -> Path:
    """The file or folder of that name. Raises SourceRefused."""
    if not _is_single(place) and not Path(place).is_dir():
        raise SourceRefused(f"{what}: {shown(place)} is neither a .safetensors file nor a folder")
    return Path(place)


def _part_of(family: str, name: str, folder: Path) -> Part:
    return _part(folder, FAMILIES[family], frozenset({FAMILIES[family].parts[name]}), name)


def _of_folder(source: str, offline: bool) -> Source:
    root = DEMO_WEIGHTS if source == DEMO else _folder(source, hub.PIPELINE, offline)
    family, index = _family(root)
    parts = {name: _part_of(family.name, name, root / name) for name in family.parts}
    scheduler = _config(root / "scheduler" / "scheduler_config.json", "scheduler", family)
    _allowed(scheduler, family.schedulers, "scheduler", family)
    _settings(scheduler, family.scheduler_checks, "scheduler", family)
    return Source(
        root=root,
        label=DEMO if source == DEMO else one_line(root.name if Path(source).is_dir() else source),
        family=family.name,
        index=index,
        parts=parts,
        tokenizers={name: _tokenizer(root / name, name) for name in family.tokenizers},
        scheduler=scheduler,
        controlnets={},
    )


def _family(root: Path) -> tuple[ExportFamily, Mapping[str, Any]]:
    """The family of the pipeline that model_index.json names, and that file's content."""
    index = "model_index.json"
    try:
        found = read_object(root / index, index)
    except FileNotFoundError:
        expected = " ".join(family.expected for family in FAMILIES.values())
        raise SourceRefused(f"{index}: {index} is missing. {expected}") from None
    named = found.get("_class_name")
    for family in FAMILIES.values():
        if isinstance(named, str) and named in family.pipelines:
            return family, found
    known = ", ".join(sorted(name for family in FAMILIES.values() for name in family.pipelines))
    raise SourceRefused(f"{index}: class {shown(named)} is not supported; known for this file: {known}")


def _tokenizer(folder: Path, what: str) -> Path:
    """`folder`, its JSON files read once. Raises SourceRefused."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise SourceRefused(f"{what}: tokenizer.json, or vocab.json with merges.txt, is missing")
    require_plain_files(folder, what)
    for path in (folder / name for name in TOKENIZER_FILES):
        if path.suffix == ".json" and path.exists():
            read_object(path, what)
    return folder


def open_controlnet(source: str, kind: str, family: ExportFamily, offline: bool = False) -> ControlNetSource:
    """Check a single ControlNet (a folder, a hub id or a safetensors file) of `family` for hints of `kind`.

    Raises SourceRefused or HubUnreachable.
    """
    with refusing(f"controlnet {kind}"):
        part = _controlnet(source, kind, family, offline)
        return ControlNetSource(one_line(Path(source).name if Path(source).exists() else source), part)


def _controlnet(source: str, kind: str, family: ExportFamily, offline: bool) -> Part:
    what = f"controlnet {kind}"
    if not _is_single(source):
        return _part(_folder(source, hub.CONTROLNET, offline), family, family.controlnets, what)
    part = opening.open_controlnet(Path(source), family.name, what)
    _check(part.config, family, family.controlnets, what)
    return part


def _is_single(source: str) -> bool:
    """Whether it names a safetensors file. Raises SourceRefused for a file of any other kind."""
    path = Path(source)
    if path.is_dir() or not path.exists():
        return False
    if path.suffix.lower() in shards.PICKLES:
        raise SourceRefused(
            f"{shown(path.name)} can run code when loaded and is refused. If you trust it, convert it once: "
            'safetensors.torch.save_file(torch.load(FILE, weights_only=True)["state_dict"], "NAME.safetensors").'
        )
    if path.suffix != shards.SUFFIX:
        raise SourceRefused(
            f"{shown(path.name)} is a file, but no .safetensors file: that, or a diffusers folder, is read"
        )
    return True


def _folder(source: str, wanted: hub.Wanted, offline: bool) -> Path:
    path = Path(source)
    if path.is_dir():
        return path
    is_file = path.suffix.lower() in (shards.SUFFIX, *shards.PICKLES)
    if is_file or path.is_absolute() or source.startswith((".", "~")) or not hub.is_id(source):
        raise SourceRefused(f"{source!r} is neither a folder, nor a .safetensors file, nor a hub id like owner/name")
    return hub.fetch(source, wanted, offline)


def _config(path: Path, what: str, family: ExportFamily) -> dict[str, Any]:
    try:
        return read_object(path, what)
    except FileNotFoundError:
        raise SourceRefused(f"{what}: {path.name} is missing. {family.expected}") from None


def _allowed(config: Mapping[str, Any], names: frozenset[str], what: str, family: ExportFamily) -> None:
    found = config.get("_class_name")
    if not isinstance(found, str) or found not in names:
        raise SourceRefused(
            f"{what}: class {shown(found)} is not supported. {family.expected} "
            f"Known for this file: {', '.join(sorted(names))}."
        )


def _part(folder: Path, family: ExportFamily, kinds: frozenset[str], what: str) -> Part:
    config = _config(folder / "config.json", what, family)
    _check(config, family, kinds, what)
    weights, found = shards.weights_in(folder, what)
    return Part(folder, config, weights, found)


def _check(config: Mapping[str, Any], family: ExportFamily, kinds: frozenset[str], what: str) -> None:
    """Raise SourceRefused unless it configures one of the classes `kinds` as the family's graphs compute it."""
    named = config["_class_name"] if "_class_name" in config else config.get("architectures")
    kind = next((kind for kind in sorted(kinds) if named in (kind, [kind])), None)
    if kind is None:
        wanted = " or ".join(sorted(kinds))
        raise SourceRefused(f"{what}: config.json names {shown(named)}, not {wanted}. {family.expected}")
    if "auto_map" in config:
        raise SourceRefused(f"{what}: config.json asks for custom code (auto_map), which is never loaded")
    missing = sorted(family.required[kind] - config.keys())
    if missing:
        raise SourceRefused(f"{what}: config.json lacks {missing}. {family.expected}")
    _settings(config, family.settings[kind], what, family)


def _settings(config: Mapping[str, Any], checks: Mapping[str, Check], what: str, family: ExportFamily) -> None:
    wrong = [key for key, fits in checks.items() if key in config and not fits(config[key])]
    if wrong:
        values = ", ".join(f"{key}={shown(config[key])}" for key in wrong)
        raise SourceRefused(f"{what}: {values} is not {family.shape}. {family.expected}")
