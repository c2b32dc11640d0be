"""`python -m export`: the command line of the exporter."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from mesh.environment import refuse

try:
    import typer
    from rich.console import Console
    from rich.table import Table

    from export import configs, control, remove
    from export.annotators import command as annotators
    from export.errors import StaleConfigs
    from export.exporter import Outcome, export
    from export.facts import facts_of
    from export.made_for import Wished
    from export.options import Options
    from export.source import Source, default_name, open_source
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
    from mesh.command import plainly
except ModuleNotFoundError as missing:
    refuse(missing, "export")

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
_COMMANDS = {
    "annotator": (annotators.app, annotators.PROGRAM),
    "control": (control.app, control.PROGRAM),
    "remove": (remove.app, remove.PROGRAM),
}


@app.command()
def main(
    source: Annotated[
        str,
        typer.Argument(
            help="A diffusers folder, a .safetensors file, a hub id (owner/name), or `demo` for the shipped weights."
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the model in the mesh. Default: the last part of SOURCE.")
    ] = None,
    controlnet: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND=SOURCE", help="A ControlNet for this kind of control; may be repeated."),
    ] = None,
    control_kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Kind of the control picture that the model itself reads, without a ControlNet: `canny` for "
            "FLUX.1-Canny-dev, `depth` for FLUX.1-Depth-dev. Its files do not say it.",
        ),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PLACE",
            help="A part that a single file does not hold, its .safetensors file or its diffusers folder; may be "
            "repeated. A FLUX file needs text_encoder, text_encoder_2, vae, and tokenizer_2 (a folder).",
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Tokenizer of a single file: vocab.json and merges.txt, or tokenizer.json. Default: CLIP's.",
        ),
    ] = None,
    size: Annotated[
        str, typer.Option(help="Default size, a side or WIDTHxHEIGHT in pixels. Default: the model's native size.")
    ] = "",
    steps: Annotated[int | None, typer.Option(help="Default steps of requests that leave them out.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Default guidance scale, likewise.")] = None,
    scheduler: Annotated[str, typer.Option(help="Default scheduler, likewise.")] = "",
    trained_size: Annotated[
        list[str] | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="A size it was trained at; may be repeated. Default: native size."),
    ] = None,
    repository: InRepository = REPOSITORY,
    target: ForTarget = Target.CPU,
    force: Force = False,
    threads: Threads = 1,
    offline: Offline = False,
    configs_only: ConfigsOnly = False,
    check_configs: CheckConfigs = False,
) -> None:
    """Turn a model (SD1.5, SDXL, FLUX.1) into ONNX graphs that Triton serves.

    Every graph is compared with torch at three latent sizes and three batch sizes before anything is moved into
    place; if one differs, the repository is not changed. Sub-folders `controlnet-<kind>` of SOURCE are found
    automatically. Only safetensors weights are read, of a part in one file or in shards with their index, each of which
    must have exactly the tensors that the index names. They are never in memory together: a network of more than
    512 MiB (in 32 bits) is verified in parts, at each of these sizes, but not at each with each other. A second run
    without changes does nothing.

    Defaults for requests that leave them out, and the sizes that the model was trained at, are read from the file
    `controlmesh.json` of a folder, if it is there; options take precedence. A folder whose scheduler shows that it was
    distilled to few steps (Turbo, Lightning, LCM, schnell) gets 4 steps, without guidance; give a single file
    `--steps 4 --guidance 1`.

    **The demo model:** `python -m export demo`

    **Your own model:** `python -m export ./my-model --name mine --controlnet canny=./my-canny`

    **A checkpoint in one file:** `python -m export ./my-model.safetensors --name mine --controlnet
    canny=./my-canny.safetensors`. Its family and sizes are told from its tensors, all of which must be those of such a
    model; no connection is opened. One that was trained for v-prediction must say so by tensors `v_pred` and `ztsnr`,
    as trainers write them. A pickle (.ckpt, .pt, .bin) is refused.

    **From one file of FLUX:** `python -m export ./flux1-dev.safetensors --part text_encoder=./clip_l.safetensors
    --part text_encoder_2=./t5xxl_fp16.safetensors --part vae=./ae.safetensors --part tokenizer_2=./tokenizer_2`

    **A model that reads a control picture or a mask itself:** `python -m export ./FLUX.1-Canny-dev --name flux-canny
    --control-kind canny`. SD1.5 and SDXL for inpainting (9 channels) and FLUX Fill need no option.

    **From the hub:** `python -m export stable-diffusion-v1-5/stable-diffusion-v1-5 --name sd15 --controlnet
    canny=lllyasviel/control_v11p_sd15_canny`

    **A ControlNet for an exported model:** `python -m export control --help`

    **Remove a model:** `python -m export remove mine`

    **A model that extracts hints from pictures** (depth, edges, poses): `python -m export annotator --help`

    Exit status: 0 done or up to date, 2 wrong usage, 3 source refused, 4 hub unreachable, 5 a graph differs from
    torch, 6 configurations out of date (--check-configs), 7 another export of this model is running.
    """
    console = Console(stderr=True)
    with telling(console, "exported"):
        opened = open_source(
            source,
            _pairs(controlnet or [], "--controlnet", "canny=./my-canny"),
            offline,
            tokenizer,
            control_kind,
            _pairs(part or [], "--part", "vae=./ae.safetensors"),
        )
        wished = Wished(size, steps, guidance, scheduler, tuple(trained_size or ()))
        options = Options(repository, name or default_name(source), target.value, force, threads, wished)
        if check_configs or configs_only:
            _configs(opened, options, check_configs, console)
        else:
            _export(opened, options, console)


def _pairs(given: list[str], option: str, example: str) -> dict[str, str]:
    pairs = {kind: place for kind, _, place in (item.partition("=") for item in given)}
    wrong = sorted(kind for kind, place in pairs.items() if not kind or not place)
    if wrong or len(pairs) != len(given):
        raise typer.BadParameter(f"give each {option} once as NAME=PLACE, e.g. {example}")
    return pairs


def _configs(source: Source, options: Options, only_check: bool, console: Console) -> None:
    facts = facts_of(source, options.name)
    stale = configs.stale(options.repository, facts, options.target)
    if only_check and stale:
        raise StaleConfigs(f"config.pbtxt of {', '.join(stale)} is out of date; run again with --configs-only")
    if not only_check:
        configs.write(options.repository, facts, options.target)
    console.print(f"configurations of {facts.name}: {'up to date' if not stale else f'{len(stale)} written'}")


def _export(source: Source, options: Options, console: Console) -> None:
    with showing(console) as progress:
        outcome = export(source, options, progress)
    _report(outcome, console)


def _report(outcome: Outcome, console: Console) -> None:
    card = outcome.manifest
    if outcome.skipped:
        console.print(f"{card.name}: up to date ({len(card.graphs)} graphs, source {card.source})")
        return
    table = Table("graph", "MiB", "largest difference to torch", title=f"{card.name} from {card.source}")
    for graph, facts in card.graphs.items():
        table.add_row(graph, f"{facts.bytes / 2**20:.1f}", f"{facts.max_abs_error:.1e}")
    console.print(table)


def run(arguments: Sequence[str]) -> None:
    """Run the command named by the first argument, or the export of a model if it names none."""
    if named := _COMMANDS.get(next(iter(arguments), "")):
        command, program = named
        command(arguments[1:], prog_name=program)
    else:
        app(arguments, prog_name="python -m export")


if __name__ == "__main__":
    plainly(run, sys.argv[1:])
