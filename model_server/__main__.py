"""`python -m model_server`: run Triton until SIGTERM or SIGINT, or until a model is lost."""

import asyncio
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

from families.annotators import list_annotators
from families.manifest import ManifestError, list_manifests
from mesh.command import settings_of
from mesh.telemetry import configure, log
from model_server.admin import serve_admin
from model_server.canary import Canary
from model_server.canary_inputs import Card
from model_server.environment import UnfitEnvironment, find_environment
from model_server.launch import StartError, TritonProcess
from model_server.repository import RepositoryError, models_to_load
from model_server.settings import ModelServerSettings
from model_server.triton_log import Line
from model_server.watch import ModelLost, Watch
from model_server.workspace import sweep


async def main(settings: ModelServerSettings) -> int:
    """Run the server; returns the exit status of the process."""
    configure("model_server", settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    serving = asyncio.create_task(_serve(settings))
    await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    serving.cancel()
    try:
        await serving
    except asyncio.CancelledError:
        log.info("stopped")
        return 0
    except (UnfitEnvironment, RepositoryError, ManifestError, StartError, ModelLost, OSError) as error:
        log.error("ended", reason=str(error))
    return 1


async def _serve(settings: ModelServerSettings) -> None:
    """Start Triton, its canary and the admin endpoints, and watch them; ends only with an exception."""
    started = time.monotonic()
    for name in sweep():
        log.info("removed leftovers of a killed run", name=name)
    environment = find_environment(Path(settings.environment))
    repository = Path(settings.repository)
    models = models_to_load(repository, settings.models)
    async with AsyncExitStack() as stack:
        cards: tuple[Card, ...] = (*list_manifests(repository), *list_annotators(repository))
        canary = Canary(
            f"{settings.host}:{settings.grpc_port}", cards, settings.canary_timeout_s, settings.repository_key
        )
        stack.push_async_callback(canary.close)
        watch = Watch(
            canary,
            interval_s=settings.canary_interval_s,
            misses=settings.canary_misses,
            stall_s=settings.stall_s,
        )
        stop_admin = serve_admin(watch, settings.host, settings.admin_port)
        stack.push_async_callback(asyncio.to_thread, stop_admin)
        log.info("starting triton", models=list(models))
        triton = await stack.enter_async_context(
            TritonProcess(
                environment,
                repository,
                models,
                host=settings.host,
                grpc_port=settings.grpc_port,
                metrics_port=settings.metrics_port,
                threads=settings.threads,
                start_timeout_s=settings.start_timeout_s,
                stop_timeout_s=settings.stop_timeout_s,
                shm_growth_mib=settings.shm_growth_mib,
                repository_key=settings.repository_key,
                report=_report,
            )
        )
        log.info("triton answers", url=triton.url, seconds=round(time.monotonic() - started, 1))
        ended = asyncio.create_task(triton.wait())
        watching = asyncio.create_task(watch.run())
        listening = asyncio.create_task(watch.listen())
        try:
            await asyncio.wait({ended, watching}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise StartError(f"Triton exited unexpectedly with status {ended.result()}")
            watching.result()
        finally:
            for task in (ended, watching, listening):
                task.cancel()
            await asyncio.gather(ended, watching, listening, return_exceptions=True)


def _report(line: Line) -> None:
    getattr(log, line.level)(line.text, source=line.source or "model")


if __name__ == "__main__":
    sys.exit(asyncio.run(main(settings_of(ModelServerSettings, __doc__, sys.argv[1:], os.environ))))
