"""`python -m export annotator`: the command line that exports annotators."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from export.annotators import table
from export.annotators.exporter import Outcome, export, heads_of, stale_configs, write_configs
from export.annotators.source import Source, open_source
from export.errors import StaleConfigs
from export.options import Options
from export.terminal import (
    REPOSITORY,
    CheckConfigs,
    ConfigsOnly,
    Force,
    ForTarget,
    InRepository,
    Offline,
    Target,
    Threads,
    showing,
    telling,
)

PROGRAM = "python -m export annotator"


def _help() -> str:
    lines = [
        "Turn a model that extracts hints from pictures into ONNX graphs that Triton serves.",
        "Every graph is compared with its library's own forward pass, at several sizes and batch sizes, before "
        "anything is moved into place; if one differs, the repository is not changed. A second run without "
        "changes does nothing. No code of a source is ever run: weights are safetensors, or pickled tensors that are "
        "read without executing anything. Restart the mesh afterwards: services look for annotators when they start.",
        "**The demo annotator:** `python -m export annotator demo`",
        "**A folder:** `python -m export annotator depth ./my-dpt`",
        "**From the hub:** `python -m export annotator depth Intel/dpt-large`",
        "**One file of a hub repository:** `python -m export annotator hed lllyasviel/Annotators:ControlNetHED.pth`",
        "**KIND, and the sources it supports:**",
    ]
    for kind, rows in table.kinds().items():
        lines += [f"`{kind}`: " + " ".join(row.description for row in rows)]
    lines.append(
        "Exit status: 0 done or up to date, 2 wrong usage, 3 source refused, 4 hub unreachable, 5 a graph differs from "
        "its library, 6 configurations out of date (--check-configs), 7 another export of this annotator is running."
    )
    return "\n\n".join(lines)


app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(help=_help())
def annotator(
    kind: Annotated[str, typer.Argument(help=f"What it finds: {', '.join(table.kinds())}.")],
    source: Annotated[
        str | None,
        typer.Argument(help="A folder, a file, a hub id (owner/name) or owner/name:FILE. `demo` needs none."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the annotator in the mesh. Default: KIND.")] = None,
    repository: InRepository = REPOSITORY,
    target: ForTarget = Target.CPU,
    force: Force = False,
    threads: Threads = 1,
    offline: Offline = False,
    configs_only: ConfigsOnly = False,
    check_configs: CheckConfigs = False,
) -> None:
    console = Console(stderr=True)
    with telling(console, "exported"):
        opened = open_source(kind, source, offline)
        options = Options(repository, name or kind, target.value, force, threads)
        if check_configs or configs_only:
            _configs(opened, options, check_configs, console)
        else:
            with showing(console) as progress:
                outcome = export(opened, options, progress)
            _report(outcome, console)


def _configs(source: Source, options: Options, only_check: bool, console: Console) -> None:
    heads = heads_of(source, options.name)
    stale = stale_configs(options.repository, heads, options.target)
    if only_check and stale:
        raise StaleConfigs(f"config.pbtxt of {', '.join(stale)} is out of date; run again with --configs-only")
    if not only_check:
        write_configs(options.repository, heads, options.target)
    console.print(f"configurations of {options.name}: {'up to date' if not stale else f'{len(stale)} written'}")


def _report(outcome: Outcome, console: Console) -> None:
    card = outcome.card
    if outcome.skipped:
        console.print(f"annotator {card.name}: up to date ({', '.join(card.heads)}; source {card.source})")
        return
    shown = Table("graph", "finds", "MiB", "largest difference", title=f"annotator {card.name} from {card.source}")
    for graph, facts in card.graphs.items():
        finds = ", ".join(head for head, of in card.heads.items() if of == graph)
        shown.add_row(graph, finds, f"{facts.bytes / 2**20:.1f}", f"{facts.max_abs_error:.1e}")
    console.print(shown)
