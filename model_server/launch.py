"""Run one tritonserver process: command line, log, start and stop."""

import asyncio
import itertools
import os
import shutil
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from families import protocols
from model_server.environment import TritonEnvironment
from model_server.flags import serving_flags
from model_server.triton_log import Line, load_failures, parse
from model_server.workspace import make_backends, remove_shared_memory, shm_prefix

TETHER = Path(__file__).with_name("tethered.py")

# Seconds after Triton's own exit timeout at which it is killed.
KILL_AFTER_S = 5.0

# Lines of Triton's log kept for the message of a start that failed.
KEPT_LINES = 400

# Longest log line that is read, bytes.
LONGEST_LINE = 1 << 20

# Groups of Triton's calls that nothing on one machine uses; one of them writes files.
UNUSED = ("trace", "logging")

_counter = itertools.count()


class StartError(Exception):
    """Triton exited or did not answer during its start; the message names each model that could not be loaded."""


class TritonProcess:
    """Triton with one repository: `async with TritonProcess(...) as triton:` runs it for the duration of the block.

    Args:
        environment: where Triton is, from `find_environment`.
        repository: folder of the graphs.
        models: names to load at start; others can be loaded later through Triton's load API.
        grpc_port, metrics_port: free ports on `host`; metrics_port 0: no metrics.
        threads: threads inside one operator for graphs whose configuration does not set them; 0: every core.
        start_timeout_s, stop_timeout_s: time limits of `start` and of the drain in `stop`.
        repository_key: key that callers need to load models and to register shared memory; empty: they need none.
        report: called with each line that Triton writes.
    """

    def __init__(
        self,
        environment: TritonEnvironment,
        repository: Path,
        models: Sequence[str],
        *,
        grpc_port: int,
        metrics_port: int = 0,
        host: str = "127.0.0.1",
        threads: int = 0,
        start_timeout_s: float = 180.0,
        stop_timeout_s: float = 10.0,
        shm_growth_mib: int = 1,
        repository_key: str = "",
        report: Callable[[Line], None] = lambda line: None,
    ) -> None:
        self.url = f"{host}:{grpc_port}"
        self._host = host
        self._grpc_port = grpc_port
        self._metrics_port = metrics_port
        self._environment = environment
        self._repository = repository
        self._models = tuple(models)
        self._threads = threads
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._shm_growth_mib = shm_growth_mib
        self._repository_key = repository_key
        self._report = report
        self._shm_prefix = f"{shm_prefix(os.getpid())}{next(_counter)}_"
        self._backends: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._pump: asyncio.Task[None] | None = None
        self._lines: deque[Line] = deque(maxlen=KEPT_LINES)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """Process id of tritonserver, which is also its process group's."""
        assert self._process is not None, "start it first"
        return self._process.pid

    async def start(self) -> None:
        """Start Triton and wait until its gRPC service answers, which it does once every model is loaded.

        Raises StartError, with nothing left running.
        """
        for port in filter(None, (self._grpc_port, self._metrics_port)):
            _require_free(self._host, port)
        parameters = {"intra_op_thread_count": str(self._threads)}
        try:
            self._backends = make_backends(self._environment, parameters)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", TETHER, str(os.getpid()), *self._command(self._backends),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=LONGEST_LINE,
                env=self._variables(),
                start_new_session=True,
            )  # fmt: skip
            self._pump = asyncio.create_task(self._read(self._process))
            await self._await_service(self._process)
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Wait until tritonserver exits; returns its status, negative for the signal that killed it."""
        assert self._process is not None, "start it first"
        return await _ended(self._process)

    async def stop(self) -> None:
        """Stop Triton: refuse new work, let running work finish within the time limit, then remove all it created."""
        process = self._process
        if process is not None:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                with suppress(TimeoutError):
                    await asyncio.wait_for(_ended(process), self._stop_timeout_s + KILL_AFTER_S)
            # Stubs are in Triton's process group; one that hangs in a graph would outlive it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if self._pump is not None:
            await self._pump
        remove_shared_memory(self._shm_prefix)
        if self._backends is not None:
            shutil.rmtree(self._backends, ignore_errors=True)

    def _command(self, backends: Path) -> list[str]:
        return [
            str(self._environment.server),
            *serving_flags(self._repository, self._models, self._host, self._grpc_port, self._metrics_port),
            *protocols.flags(self._repository_key, UNUSED),
            f"--backend-directory={backends}",
            "--allow-gpu-metrics=false",
            f"--exit-timeout-secs={max(1, round(self._stop_timeout_s))}",
            f"--backend-config=python,shm-region-prefix-name={self._shm_prefix}",
            f"--backend-config=python,shm-growth-byte-size={self._shm_growth_mib << 20}",
        ]

    def _variables(self) -> dict[str, str]:
        return {
            # The stub finds the environment's packages through the python3 that it finds here.
            "PATH": f"{self._environment.bin}:/usr/local/bin:/usr/bin:/bin",
            "LD_LIBRARY_PATH": ":".join(str(folder) for folder in self._environment.libraries),
            # One process per graph: memory that each reserves for threads it does not have would be wasted.
            "MALLOC_ARENA_MAX": "2",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                raw = await process.stdout.readline()
            except ValueError:  # longer than LONGEST_LINE: asyncio has dropped it
                continue
            if not raw:
                return
            if line := parse(raw.decode(errors="replace")):
                self._lines.append(line)
                self._report(line)

    async def _read_to_end(self) -> None:
        if self._pump is not None:
            await self._pump

    async def _await_service(self, process: asyncio.subprocess.Process) -> None:
        backoff = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50)]
        backoff.append(("grpc.max_reconnect_backoff_ms", 200))
        async with grpc.aio.insecure_channel(self.url, options=backoff) as channel:
            connected = asyncio.ensure_future(channel.channel_ready())
            ended = asyncio.ensure_future(_ended(process))
            try:
                await asyncio.wait(
                    {connected, ended}, timeout=self._start_timeout_s, return_when=asyncio.FIRST_COMPLETED
                )
                if ended.done():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(asyncio.shield(self._read_to_end()), KILL_AFTER_S)
                    raise StartError(self._why_it_ended(ended.result()))
                if not connected.done():
                    raise StartError(f"Triton did not answer within {self._start_timeout_s:g} s after its start")
            finally:
                for task in (connected, ended):
                    task.cancel()
                await asyncio.gather(connected, ended, return_exceptions=True)

    def _why_it_ended(self, status: int) -> str:
        lines = list(self._lines)
        if failures := load_failures(lines):
            return "; ".join(failures.values())
        errors = [line.text for line in lines if line.level in ("error", "critical")] or [line.text for line in lines]
        return f"Triton exited with status {status}: {errors[-1] if errors else 'it wrote nothing'}"


def _require_free(host: str, port: int) -> None:
    """Raise StartError if something already listens there: its answer would be mistaken for Triton's."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(f"can't listen on {host}:{port} ({error.strerror}); choose another port") from None


async def _ended(process: asyncio.subprocess.Process) -> int:
    """Wait until `process` exits; returns its status.

    asyncio's own `wait` also waits for the end of its output, which is kept open by stubs that were loading a graph
    when it was killed.
    """
    exited = asyncio.Event()
    with suppress(ProcessLookupError):  # its status has already been collected
        loop, watched = asyncio.get_running_loop(), os.pidfd_open(process.pid)
        loop.add_reader(watched, exited.set)
        try:
            await exited.wait()
        finally:
            loop.remove_reader(watched)
            os.close(watched)
    while True:
        if (status := process.returncode) is not None:
            return status
        # Another thread is about to collect it.
        await asyncio.sleep(0.01)
