"""Train the demo model and its annotator, or measure them: the model through a running mesh, the annotator alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

from mesh.environment import refuse

try:
    import typer

    from mesh.command import plainly
except ModuleNotFoundError as missing:
    refuse(missing, "demo")

# Set before torch and its friends are imported, here and in the training processes, which inherit them:
# one thread per process, and no warnings about parts that the demo does not use.
for name, setting in {
    "OMP_NUM_THREADS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
}.items():
    os.environ.setdefault(name, setting)

app = typer.Typer(
    help=__doc__,
    epilog="A picture of the demo shows one to three coloured solids on a coloured background, 128 x 128 pixels. "
    "All training pictures are rendered here; nothing is downloaded.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of the run. The finished model is in its sub-folder `weights`.")],
    steps_scale: Annotated[
        float, typer.Option(min=0.0001, max=10, help="Factor for steps and pictures; 0.01 is a trial run of minutes.")
    ] = 1.0,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Retrain this stage, and stages that it needs and that are missing, e.g. controlnet-depth. May be "
            "repeated. Later stages that used its old result are not retrained."
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            help="A finished demo model, e.g. demo/weights: its parts are used if this run has none of its own, "
            "so that only a new control has to be trained.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Single-threaded training processes.")] = 2,
) -> None:
    """Train the demo model from scratch. It takes a little over two hours on two idle cores.

    Stages: tokenizer, text_encoder, vae, latents, unet, one controlnet-KIND per control, annotator, weights. You can
    interrupt it: the same command continues with the interrupted stage. Lengths are in steps, so a busy machine takes
    longer for the same model.
    """
    from demo.distributed import CrewError
    from demo.stages import Workshop
    from demo.train import OtherRecipe, UnknownStage
    from demo.train import train as run

    try:
        typer.echo(run(Workshop(out, steps_scale, base), only or (), processes))
    except (CrewError, OtherRecipe, UnknownStage) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None


@app.command()
def evaluate(
    url: Annotated[str, typer.Option(help="URL of the mesh.")] = "http://127.0.0.1:8080",
    count: Annotated[
        int, typer.Option(min=2, help="Number of prompts; each is drawn with every control and free.")
    ] = 256,
    first_seed: Annotated[
        int, typer.Option(min=0, help="Number of the first prompt; prompts are never training prompts.")
    ] = 0,
    in_flight: Annotated[int, typer.Option(min=1, help="Concurrent requests.")] = 8,
    grid: Annotated[Path | None, typer.Option(help="Write a sheet of sample pictures here (PNG).")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here (Markdown).")] = None,
) -> None:
    """Measure a running mesh that serves the demo model: do pictures show what was requested, and where?

    Fresh prompts, 20 steps of UniPC, guidance 3. Exits with status 1 if a floor is missed, and with 2 if the
    mesh fails.
    """
    import asyncio

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from controlmesh_client import AsyncClient
    from demo import report
    from demo.adherence import missed, requests
    from demo.evaluate import MeshError, Settings, offered
    from demo.evaluate import evaluate as run

    settings, console = Settings(in_flight=in_flight), Console()
    prompts = requests(count, first_seed)
    columns = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

    async def ask() -> tuple[dict[str, Any], dict[str, Any]]:
        async with AsyncClient(url) as client:
            rows = await offered(client)
            with Progress(*columns, console=console) as progress:
                bars = {row: progress.add_task(row, total=count) for row in rows}
                return await run(client, prompts, settings, lambda row: progress.advance(bars[row]), rows)

    try:
        table, pictures = asyncio.run(ask())
    except MeshError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    console.print(report.screen_table(table))
    if grid is not None:
        report.write_grid(grid, prompts, pictures)
    if markdown is not None:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        markdown.write_text(report.markdown(table, settings), encoding="utf-8")
    lost = missed(table)
    for floor in lost:
        typer.echo(f"Floor missed: {floor}, measured {floor.value(table):.3f}", err=True)
    raise typer.Exit(1 if lost else 0)


@app.command()
def sweep(
    url: Annotated[str, typer.Option(help="URL of the mesh.")] = "http://127.0.0.1:8080",
    out: Annotated[Path, typer.Option(help="Folder for the page and its plot.", file_okay=False)] = Path("docs"),
    count: Annotated[int, typer.Option(min=2, help="Number of prompts; each is drawn with every setting.")] = 64,
    first_seed: Annotated[
        int, typer.Option(min=0, help="Number of the first prompt; prompts are never training prompts.")
    ] = 0,
    in_flight: Annotated[int, typer.Option(min=1, help="Concurrent requests.")] = 8,
) -> None:
    """Measure the effect of a control's weight, end and guess mode on a running mesh; writes a page with a plot.

    Fresh prompts with canny hints, 20 steps of UniPC, guidance 3. Exits with status 2 if the mesh fails.
    """
    import asyncio

    from rich.progress import Progress

    from controlmesh_client import AsyncClient
    from demo import sweep_report
    from demo.adherence import Adherence, requests
    from demo.evaluate import MeshError, Settings
    from demo.sweep import POINTS, Point
    from demo.sweep import sweep as run

    settings, prompts = Settings(in_flight=in_flight), requests(count, first_seed)

    async def ask() -> dict[Point, Adherence]:
        with Progress() as progress:
            bar = progress.add_task("pictures", total=count * len(POINTS))
            async with AsyncClient(url) as client:
                return await run(client, prompts, settings, told=lambda: progress.advance(bar))

    try:
        sweep_report.write(out, asyncio.run(ask()), settings)
    except MeshError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None


@app.command("annotator-report")
def annotator_report(
    repository: Annotated[
        Path, typer.Option(help="Model repository with the exported annotator.", file_okay=False)
    ] = Path("model_repository"),
    name: Annotated[str, typer.Option(help="Name of the annotator; it must have all heads of the demo's.")] = "demo",
    base: Annotated[
        Path, typer.Option(help="The demo model; its autoencoder redraws the pictures of one row.", file_okay=False)
    ] = Path("demo/weights"),
    count: Annotated[int, typer.Option(min=8, help="Number of scenes, the same for every row.")] = 256,
    write: Annotated[
        Path | None, typer.Option(help="Write the page to this file (Markdown), with its pictures beside it.")
    ] = None,
) -> None:
    """Measure an exported annotator of the demo's shapes against the renderer's own geometry.

    Fresh scenes, the graph in ONNX Runtime. Exits with status 1 if a floor is missed, and with 2 if the annotator
    is missing.
    """
    import torch
    from diffusers import AutoencoderKL
    from rich.progress import Progress

    from demo import annotator_report as report
    from families.manifest import ManifestError

    torch.set_num_threads(1)
    vae = AutoencoderKL.from_pretrained(base / "vae", torch_dtype=torch.float32)
    scenes = report.held_out(count)
    try:
        annotate = report.exported(repository, name)
    except ManifestError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    with Progress() as progress:
        bar = progress.add_task("rows", total=len(report.ROWS))
        table = report.measure(annotate, scenes, vae, told=lambda: progress.advance(bar))
    typer.echo(report.tables(table))
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        sheet = write.with_suffix(".png")
        sheet.write_bytes(report.sheet(annotate, scenes))
        write.write_text(report.markdown(table, sheet.name), encoding="utf-8")
    lost = report.missed(table)
    for floor in lost:
        typer.echo(f"Floor missed: {floor}, measured {getattr(table[floor.row], floor.figure):.3f}", err=True)
    raise typer.Exit(1 if lost else 0)


if __name__ == "__main__":
    plainly(lambda arguments: app(arguments, prog_name="python -m demo"), sys.argv[1:])
