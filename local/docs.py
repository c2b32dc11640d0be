"""The parts of README.md that are generated from the code, so that a default or a name stands once."""

import re
from pathlib import Path

from gateway.settings import GatewaySettings
from local.processes import ROOT, procfile
from local.settings import LocalSettings
from mesh.settings import table
from model_server.settings import ModelServerSettings
from preprocess_svc.controls import CONTROLS
from preprocess_svc.controls.control import Algorithm, Extractor, Learned, Written
from preprocess_svc.settings import PreprocessSettings
from unet_svc.schedulers import SCHEDULERS
from unet_svc.settings import UnetSettings
from vae_svc.settings import VaeSettings

README = ROOT / "README.md"
_BLOCK = "<!-- generated: {name} -->\n{text}\n<!-- end -->"


def _settings() -> str:
    sections = {
        "The whole mesh on one machine (`make up`)": LocalSettings,
        "Gateway": GatewaySettings,
        "preprocess_svc": PreprocessSettings,
        "unet_svc": UnetSettings,
        "vae_svc": VaeSettings,
        "Model server": ModelServerSettings,
    }
    return "\n\n".join(f"**{title}**\n\n{table(cls)}" for title, cls in sections.items())


def _controls() -> str:
    rows = ["| kind | hint | made by | reads a mask |", "| --- | --- | --- | --- |"]
    for control in CONTROLS.values():
        made_by = "<br>".join(_extractor(extractor) for extractor in control.extractors) or "ready hints only"
        mask = "yes" if control.reads_mask else "-"
        rows.append(f"| `{control.kind}` | {control.description} | {made_by} | {mask} |")
    return "\n".join(rows)


def _extractor(extractor: Extractor) -> str:
    traits = {
        "learned": isinstance(extractor, Learned),
        "from words": isinstance(extractor, Written),
        "stand-in": isinstance(extractor, Algorithm) and extractor.stand_in,
    }
    noted = ", ".join(trait for trait, held in traits.items() if held)
    parameters = "; ".join(f"{p.name} {p.minimum:g}-{p.maximum:g} ({p.default:g})" for p in extractor.parameters)
    return f"`{extractor.name}`{f' ({noted})' if noted else ''}{f': {parameters}' if parameters else ''}"


def _schedulers() -> str:
    rows = ["| scheduler | what it is | model calls for n steps | Karras sigmas | algorithm_type |"]
    rows.append("| --- | --- | --- | --- | --- |")
    for kind in SCHEDULERS.values():
        variants = ", ".join(f"`{variant}`" for variant in kind.algorithm_types) or "-"
        karras = "yes" if kind.karras_sigmas else "-"
        rows.append(f"| `{kind.name}` | {kind.description} | {kind.model_calls} | {karras} | {variants} |")
    return "\n".join(rows)


def _processes() -> str:
    return "\n".join(f"- `{name}`: `{command}`" for name, command in procfile().items())


def _adherence() -> str:
    """docs/adherence.md without its title."""
    return (ROOT / "docs" / "adherence.md").read_text().split("\n", 1)[1].strip()


def _benchmark() -> str:
    """The first section of docs/benchmark.md without its heading."""
    return (ROOT / "docs" / "benchmark.md").read_text().split("\n## ")[1].split("\n", 1)[1].strip()


PARTS = {
    "adherence": _adherence,
    "controls": _controls,
    "schedulers": _schedulers,
    "benchmark": _benchmark,
    "settings": _settings,
    "processes": _processes,
}


def refresh(write: bool, readme: Path = README) -> list[str]:
    """Names of the generated parts of `readme` that were stale; they are rewritten if `write`."""
    text = readme.read_text()
    stale = []
    for name, make in PARTS.items():
        fresh = _BLOCK.format(name=name, text=make())
        begin, end = fresh.partition("\n")[0], fresh.rpartition("\n")[2]
        found = re.search(f"{re.escape(begin)}\n.*?{re.escape(end)}", text, re.DOTALL)
        if found is None:
            raise LookupError(f"{readme.name} has no part that begins with {begin}")
        if found[0] != fresh:
            stale.append(name)
            text = text[: found.start()] + fresh + text[found.end() :]
    if write and stale:
        readme.write_text(text)
    return stale
