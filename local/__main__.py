"""`python -m local`: the whole mesh on this machine, no Docker, no GPU."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

from mesh.environment import refuse

try:
    import typer
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from controlmesh_client import Client, ControlMeshError
    from local.demo import PROMPT, extract_canny, generate, source_picture, write
    from local.processes import database_url
    from local.settings import LocalSettings
    from local.supervision import LocalMesh, MeshStartError, stop_running
    from mesh.command import plainly
    from mesh.errors import MeshError
    from mesh.settings import SettingsError, read
except ModuleNotFoundError as missing:
    refuse(missing, "local")

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False)


def _settings(listening: bool = True) -> LocalSettings:
    """The settings; with the ports that PORT moves them to if something is to listen there."""
    try:
        settings = read(LocalSettings, os.environ)
        return settings.shifted(os.environ) if listening else settings
    except SettingsError as error:
        console.print(f"[red]{error}[/]")
        raise typer.Exit(2) from None


def _stop_on_signals() -> None:
    """Let SIGTERM and Ctrl-C end the command through its `finally`, even if a shell started it in the background."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _start(settings: LocalSettings) -> LocalMesh:
    mesh = LocalMesh(settings, os.environ, report=lambda line: console.print(f"  {line}", style="dim"))
    console.print("starting the mesh (logs: [bold]run/logs/[/])")
    try:
        mesh.start()
    except MeshStartError as error:
        console.print(f"[red]{error}[/]")
        raise typer.Exit(1) from None
    return mesh


@app.command()
def up() -> None:
    """Start the whole mesh, print its URLs, and run until Ctrl-C."""
    settings = _settings()
    _stop_on_signals()
    mesh = _start(settings)
    try:
        console.print(
            f"\n[green]ready[/]\n"
            f"  API and docs     {mesh.url}/docs\n"
            f"  native API       {mesh.url}/controlmesh/v1/generations\n"
            f"  Hugging Face     {mesh.url}/  (and {mesh.url}/hf/NAME)\n"
            f"  enterprise       {mesh.url}/api/v1/enterprise/controlnet\n"
            f"  gRPC             {settings.internal_address}  (controlmesh.v1.GenerationService)\n"
            f"  logs             {mesh.run / 'logs'}\n"
            f"Ctrl-C stops everything."
        )
        mesh.wait()
    except KeyboardInterrupt:
        pass
    finally:
        console.print("\nstopping: every service drains first")
        mesh.stop()


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("run/demo"),
    free_ports: Annotated[bool, typer.Option(help="Use free ports instead of the configured ones.")] = False,
) -> None:
    """Start the whole mesh, generate one picture from a prompt and edges, and stop."""
    settings = _settings()
    _stop_on_signals()
    mesh = _start(settings.with_free_ports() if free_ports else settings)
    # The first of the configured keys, if there are any.
    key = os.environ.get("CN_GATEWAY_API_KEYS", "").split(",")[0]
    try:
        source = source_picture()
        hint = asyncio.run(extract_canny(mesh.settings.mesh_address, source))
        console.print(f'\nprompt: "{PROMPT}", edges from a rendered yellow star on purple')
        columns = (TextColumn("denoising"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("denoising", total=None)
            picture = generate(mesh.url, key, source, lambda s, n: progress.update(bar, completed=s, total=n))
        written = write(out, source, hint, picture)
    except (ControlMeshError, MeshError) as error:
        console.print(f"[red]the mesh answered: {error}[/]")
        raise typer.Exit(1) from None
    finally:
        mesh.stop()
    console.print(f"source | edges | picture: {written.strip.resolve()}\n{written.picture.resolve()}", soft_wrap=True)


def _beside_a_mesh(*command: str) -> int:
    """Run a command of `demo` against a mesh started for it; returns its exit status."""
    mesh = _start(_settings().with_free_ports())
    try:
        whole = [sys.executable, "-m", "demo", *command, "--url", mesh.url]
        return subprocess.run(whole, check=False).returncode
    finally:
        mesh.stop()


@app.command()
def evaluate(
    count: Annotated[
        int, typer.Option(min=2, help="Number of prompts; each is drawn free and with every control.")
    ] = 256,
    grid: Annotated[Path, typer.Option(help="File for the sheet of samples.")] = Path("docs/demo_grid.png"),
    markdown: Annotated[Path, typer.Option(help="File for the table.")] = Path("docs/adherence.md"),
) -> None:
    """Start the whole mesh, measure how well the demo model follows prompts and hints, print the table, and stop."""
    files = ("--grid", str(grid), "--markdown", str(markdown))
    raise typer.Exit(_beside_a_mesh("evaluate", "--count", str(count), *files))


@app.command()
def sweep(
    count: Annotated[int, typer.Option(min=2, help="Number of prompts; each is drawn with every setting.")] = 64,
    out: Annotated[Path, typer.Option(help="Folder for the table and the plot.")] = Path("docs"),
) -> None:
    """Start the whole mesh, measure and plot edges by canny's weight, end and guess mode, and stop."""
    raise typer.Exit(_beside_a_mesh("sweep", "--count", str(count), "--out", str(out)))


@app.command()
def gallery(
    out: Annotated[Path, typer.Option(help="Folder for the page and its pictures.")] = Path("docs"),
) -> None:
    """Start the whole mesh, show every control type on the same pictures, and stop."""
    from local import gallery_page
    from local.gallery import gallery as run
    from local.gallery_inputs import inputs

    mesh = _start(_settings().with_free_ports())
    key = os.environ.get("CN_GATEWAY_API_KEYS", "").split(",")[0]
    try:
        with Client(mesh.url, key or None) as client:
            sections = run(client, lambda case: console.print(f"  {case.kind} {case.extractor}", style="dim"))
    except ControlMeshError as error:
        console.print(f"[red]the mesh answered: {error}[/]")
        raise typer.Exit(1) from None
    finally:
        mesh.stop()
    console.print(gallery_page.write(out, inputs(), sections).resolve(), soft_wrap=True)


@app.command()
def docs(
    check: Annotated[bool, typer.Option(help="Write nothing; fail if a generated part is out of date.")] = False,
) -> None:
    """Rewrite the generated parts of the documentation: settings, controls, schedulers."""
    # Imports the schedulers and with them torch, which no other command needs.
    from local.docs import refresh

    stale = refresh(write=not check)
    if stale and check:
        console.print(f"[red]out of date: {', '.join(stale)}; run `python -m local docs` and commit[/]")
        raise typer.Exit(1)
    console.print("generated parts are up to date" if not stale else f"rewritten: {', '.join(stale)}")


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def keys(context: typer.Context) -> None:
    """Create, list and revoke API keys of this folder's mesh: `python -m gateway keys` with its database."""
    records = {"CN_GATEWAY_DATABASE_URL": database_url(Path(_settings(listening=False).run_folder))}
    command = [sys.executable, "-m", "gateway", "keys", *context.args]
    raise typer.Exit(subprocess.run(command, check=False, env={**records, **os.environ}).returncode)


@app.command()
def down() -> None:
    """Stop a mesh that `up` left running from the same run folder."""
    settings = _settings(listening=False)
    stopped = stop_running(Path(settings.run_folder).resolve())
    console.print("stopped" if stopped else "no mesh is running here")


if __name__ == "__main__":
    plainly(lambda arguments: app(arguments, prog_name="python -m local"), sys.argv[1:])
