"""`python -m export control KIND SOURCE --model NAME`: add a ControlNet to an exported model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from export import configs
from export.errors import SourceRefused
from export.families.table import FAMILIES
from export.hostile import refusing
from export.options import Options, Progress, quiet
from export.parts import ControlNetSource
from export.place import Placement
from export.source import open_controlnet
from export.terminal import REPOSITORY, InRepository, Offline, Threads, showing, telling
from families import graphs
from families.additions import folders, with_control, without
from families.facts import MASKED_CONTROLS, Net, is_name
from families.manifest import (
    Added,
    GraphFacts,
    Manifest,
    ManifestError,
    list_manifests,
    read_manifest,
    write_manifest,
)

PROGRAM = "python -m export control"
app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    kind: Annotated[str, typer.Argument(help="Kind of control whose hints it takes, such as `canny`.")],
    source: Annotated[
        str, typer.Argument(help="A ControlNet's diffusers folder, hub id (owner/name) or .safetensors file.")
    ],
    model: Annotated[str, typer.Option(help="The exported model to add it to.")],
    name: Annotated[str | None, typer.Option(help="Its name in requests. Default: KIND.")] = None,
    repository: InRepository = REPOSITORY,
    threads: Threads = 1,
    offline: Offline = False,
) -> None:
    """Add a ControlNet to an exported model; a running mesh offers it within seconds.

    Its graph is compared with torch as in a full export, and the model's other graphs are not changed. An added
    ControlNet of the same name is replaced. It stays until `python -m export remove NAME`, or until the model is
    exported again because its source changed.

    **In addition to the model's own:** `python -m export control canny ./my-canny --model demo --name my-canny`

    **From one file, named as in its training code or in diffusers:** `python -m export control canny
    ./control_v11p_sd15_canny.safetensors --model sd15`

    Exit status: 0 done, 2 wrong usage, 3 source, name or model refused, 4 hub unreachable, 5 the graph differs from
    torch, 7 an export of this model is running, 8 the ControlNet belongs to another family of models.
    """
    console = Console(stderr=True)
    with telling(console, "added"):
        check_name(model, model)
        opened = open_controlnet(source, kind, FAMILIES[_card(repository, model).family], offline)
        options = Options(repository, model, threads=threads)
        with showing(console) as progress:
            card = add(opened, kind, name or kind, options, progress)
    made = card.graphs[graphs.controlnet(card.name, name or kind)]
    console.print(
        f"{card.name}: {name or kind} added, {made.bytes / 2**20:.1f} MiB, difference to torch {made.max_abs_error:.1e}"
    )


def add(source: ControlNetSource, kind: str, name: str, options: Options, progress: Progress = quiet) -> Manifest:
    """Add the ControlNet `name` for hints of `kind` to the model `options.name`; returns its new card.

    Raises SourceRefused, Misfit, Mismatch or Busy; the repository is then unchanged.
    """
    repository, model = options.repository, options.name
    check_name(name, kind)
    check_name(model, model)
    placement = Placement(repository, model, options.rename)
    with placement.exclusive():
        before = _card(repository, model)
        _check_free(repository, before, name)
        family = FAMILIES[before.family]
        family.check_fit(source.part.config, before, source.label)
        stage = placement.new_stage()
        added, net = Added(takes=kind, source=source.label), family.net(source.part, name)
        # The graph is written for the new card, which needs facts of the graph: blank ones until it is written.
        blank = GraphFacts(sha256="", bytes=0, max_abs_error=0.0)
        facts = with_control(before, net, added, blank)
        after = with_control(before, net, added, _made(source, facts, net, options, stage, progress))
        for folder in sorted(folders(after, without(before, name))):
            (stage / folder / "1").mkdir(parents=True, exist_ok=True)
            (stage / folder / configs.CONFIG_FILE).write_text(configs.texts(after, before.target)[folder], "utf-8")
        placement.swap(frozenset())
        # In place, so that services that look in between never find the model missing.
        write_manifest(repository / model, after)
    return after


def check_name(name: str, kind: str) -> None:
    """Raise SourceRefused for an invalid name or kind of a ControlNet."""
    for word in (name, kind):
        if not is_name(word):
            raise SourceRefused(f"{word!r} is not a valid name: use lower-case letters, digits and single '-' or '_'")
    if {name, kind} & MASKED_CONTROLS and name != kind:
        # The control's name alone tells whether its hint has a mask.
        raise SourceRefused(
            f"{name!r} can't take hints of {kind!r}: a control whose hint has a mask must be named {kind!r}"
        )


def _card(repository: Path, model: str) -> Manifest:
    try:
        return read_manifest(repository, model)
    except ManifestError as error:
        raise SourceRefused(str(error)) from None


def _check_free(repository: Path, card: Manifest, name: str) -> None:
    if name in card.controls and name not in card.added:
        raise SourceRefused(f"model {card.name!r} was exported with a ControlNet {name!r}; give another --name")
    for other in list_manifests(repository):
        if name == other.name or (other.name != card.name and name in other.added):
            what = "the name of a model" if name == other.name else f"a ControlNet that was added to {other.name!r}"
            raise SourceRefused(f"{name!r} is {what}; give another --name")


def _made(
    source: ControlNetSource, facts: Manifest, net: Net, options: Options, stage: Path, progress: Progress
) -> GraphFacts:
    # Imported late, so that a refusal does not wait for torch.
    from export import graph_writer as making

    family = FAMILIES[facts.family]
    begin = making.counted(progress, 3)
    begin("loading weights")
    with refusing(f"controlnet {net.name}"):
        module = family.load_net(source.part, net.name)
    making.require_finite(f"controlnet {net.name}", module)
    with making.threads(options.threads):
        _, worst = making.make_graph(family, family.net_row(facts, net, module), facts, options, stage, begin)
    return making.graph_facts(stage / graphs.controlnet(facts.name, net.name), worst)
