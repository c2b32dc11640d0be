"""Generate parts of the documentation from the code, so that a default or a name is stated once."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from families.annotators import HEADS, folder_name
from gateway.dialects.enterprise import unsupported as enterprise_absent
from gateway.dialects.table import SETTINGS
from gateway.settings import GatewaySettings
from local import examples
from local.processes import ROOT, procfile
from local.settings import LocalSettings
from mesh.settings import table
from model_server.settings import ModelServerSettings
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Algorithm, Extractor, Learned, Written
from preprocess_svc.settings import PreprocessSettings
from unet_svc.schedulers import FLOW, FLOW_ONLY, SCHEDULERS
from unet_svc.settings import UnetSettings
from vae_svc.settings import VaeSettings

DEMO = "demo"
_BLOCK = "<!-- generated: {name} -->\n{text}\n<!-- end -->"


def _settings() -> str:
    sections = {
        "The whole mesh on one machine (`make up`)": (LocalSettings,),
        "Gateway": (GatewaySettings, *SETTINGS.values()),
        "preprocess_svc": (PreprocessSettings,),
        "unet_svc": (UnetSettings,),
        "vae_svc": (VaeSettings,),
        "Model server": (ModelServerSettings,),
    }
    return "\n\n".join(f"**{title}**\n\n{table(*classes)}" for title, classes in sections.items())


def _controls() -> str:
    rows = ["| kind | hint | made by |", "| --- | --- | --- |"]
    for control in CONTROLS.values():
        made_by = ", ".join(dict.fromkeys(_sort(extractor) for extractor in control.extractors))
        rows.append(f"| `{control.kind}` | {control.description} | {made_by or 'ready hints only'} |")
    return "\n".join(rows)


def _extractors() -> str:
    rows = ["| kind | extractor | made by | annotator of the demo | what it does | parameters | follows |"]
    rows.append("| --- | --- | --- | --- | --- | --- | --- |")
    heads = _demo_heads()
    for control in CONTROLS.values():
        for one in control.extractors:
            parameters = "<br>".join(f"`{p.name}` {p.minimum:g}-{p.maximum:g} ({p.default:g})" for p in one.parameters)
            served = isinstance(one, Learned) and heads.issuperset(one.heads)
            cells = (_sort(one), DEMO if served else "-", one.description, parameters or "-", one.source)
            rows.append(f"| `{control.kind}` | `{one.name}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def _controlnets() -> str:
    families = list(dict.fromkeys(family for control in CONTROLS.values() for family in control.controlnets))
    rows = [f"| kind | {' | '.join(families)} |", f"| --- |{' --- |' * len(families)}"]
    for control in CONTROLS.values():
        cells = ("<br>".join(control.controlnets.get(family, ())) or "-" for family in families)
        rows.append(f"| `{control.kind}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def _commands() -> str:
    rows = ["| for | command |", "| --- | --- |"]
    wanted: dict[str, list[str]] = {}
    for control in CONTROLS.values():
        for one in control.extractors:
            if isinstance(one, Learned):
                wanted.setdefault(one.how_to_get, []).append(f"`{control.kind}` by `{one.name}`")
    for command, uses in wanted.items():
        what, comma, rest = command.partition(",")
        rows.append(f"| {', '.join(uses)} | `{what}`{comma}{rest} |")
    return "\n".join(rows)


def _sort(extractor: Extractor) -> str:
    if isinstance(extractor, Algorithm) and extractor.stand_in:
        return "stand-in"
    return "model" if isinstance(extractor, Learned) else "text" if isinstance(extractor, Written) else "algorithm"


def _demo_heads() -> set[str]:
    """The heads of the demo's annotator, from the outputs of its committed configurations."""
    found: set[str] = set()
    for path in (ROOT / "model_repository").glob(f"{folder_name(DEMO)}*/config.pbtxt"):
        outputs = {tensor.name for tensor in text_format.Parse(path.read_text(), triton.ModelConfig()).output}
        found |= {head for head, tensors in HEADS.items() if outputs.issuperset(tensor.name for tensor in tensors)}
    return found


def _schedulers() -> str:
    rows = ["| scheduler | what it is | model calls for n steps | Karras sigmas | algorithm_type | on a flow (FLUX) |"]
    rows.append("| --- | --- | --- | --- | --- | --- |")
    for kind in (*SCHEDULERS.values(), *(FLOW[name] for name in FLOW_ONLY)):
        variants = ", ".join(f"`{variant}`" for variant in kind.algorithm_types) or "-"
        karras = "yes" if kind.karras_sigmas else "-"
        walker = FLOW[kind.on_flow].name if kind.on_flow else ""
        if kind.name in FLOW_ONLY:
            flow = "only there"
        elif not kind.on_flow:
            flow = "refused"
        else:
            noise = ", with fresh noise" if FLOW[kind.on_flow].stochastic else ""
            flow = "itself" if walker == kind.name else f"`{walker}`{noise}"
        shown = (f"`{kind.name}`", kind.description, kind.model_calls, karras, variants, flow)
        rows.append(f"| {' | '.join(shown)} |")
    return "\n".join(rows)


def _processes() -> str:
    return "\n".join(f"- `{name}`: `{command}`" for name, command in procfile().items())


def _adherence() -> str:
    """docs/adherence.md without its title."""
    return (ROOT / "docs" / "adherence.md").read_text().split("\n", 1)[1].strip()


def _benchmark() -> str:
    """The first section of docs/benchmark.md without its heading."""
    return (ROOT / "docs" / "benchmark.md").read_text().split("\n## ")[1].split("\n", 1)[1].strip()


PAGES = {
    "README.md": {
        "adherence": _adherence,
        "controls": _controls,
        "schedulers": _schedulers,
        "absent": enterprise_absent.table,
        "benchmark": _benchmark,
        "settings": _settings,
        "processes": _processes,
    },
    "docs/hints.md": {"extractors": _extractors, "commands": _commands, "controlnets": _controlnets},
}
"""Page -> name of a generated part -> the function that writes it."""


FILES: Mapping[str, Callable[[], str]] = examples.files()
"""Path of a generated file -> what writes it."""


def refresh(write: bool, root: Path = ROOT) -> list[str]:
    """Names of the generated parts of the pages, and of the generated files, under `root` that were out of date; they
    are rewritten if `write`."""
    stale = [name for page, parts in PAGES.items() for name in _refresh(write, root / page, parts)]
    for name, make in FILES.items():
        path, fresh = root / name, make()
        if not path.exists() or path.read_text() != fresh:
            stale.append(name)
            if write:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(fresh)
    return stale


def _refresh(write: bool, page: Path, parts: Mapping[str, Callable[[], str]]) -> list[str]:
    text = page.read_text()
    stale = []
    for name, make in parts.items():
        fresh = _BLOCK.format(name=name, text=make())
        begin, end = fresh.partition("\n")[0], fresh.rpartition("\n")[2]
        found = re.search(f"{re.escape(begin)}\n.*?{re.escape(end)}", text, re.DOTALL)
        if found is None:
            raise LookupError(f"{page.name} has no part that begins with {begin}")
        if found[0] != fresh:
            stale.append(name)
            text = text[: found.start()] + fresh + text[found.end() :]
    if write and stale:
        page.write_text(text)
    return stale
