"""A whole mesh on this machine with two gateways and one database, whose processes can be killed."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil

from local.processes import ROOT, processes
from local.settings import LocalSettings
from local.supervision import LocalMesh

SECOND = "gateway 2"
TRITON = "triton"
PARTS = ("gateway", SECOND, "preprocess_svc", "unet_svc", "vae_svc", "model_server", TRITON, "envoy")
"""Processes that may be killed. `model_server` starts and watches Triton."""
_TICK_S = 0.1


class _Kept:
    """A process that is restarted whenever it exits."""

    def __init__(self, command: tuple[str, ...], environ: Mapping[str, str], log: Path) -> None:
        self._command = command
        self._environ = dict(environ)
        self._log = log
        self._leaving = threading.Event()
        self._changing = threading.Lock()
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        with self._changing:
            self._leaving.set()
            self._process.terminate()
        self._thread.join(60)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, env=self._environ, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _keep(self) -> None:
        while True:
            self._process.wait()
            # A pause, in case it can't start at all.
            if self._leaving.wait(_TICK_S):
                return
            with self._changing:
                if self._leaving.is_set():
                    return
                self._process = self._start()


class FrailMesh:
    """A running mesh whose processes can be killed.

    Attributes:
        urls: of the edge, which is in front of the first gateway, and of the second gateway.
        grpc_addresses: of their gRPC APIs, the first one behind Envoy's internal listener.
    """

    def __init__(self, mesh: LocalMesh, second: _Kept, others: LocalSettings) -> None:
        self._mesh = mesh
        self._second = second
        self.urls = (mesh.url, f"http://{others.gateway_address}")
        self.grpc_addresses = (mesh.settings.internal_address, others.gateway_grpc_address)

    def kill(self, name: str) -> int:
        """Kill -9 one of PARTS as soon as it runs; returns its process id."""
        while True:
            pid = self._pid(name)
            if pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                    return pid
                except ProcessLookupError:
                    pass
            # It is being restarted.
            time.sleep(_TICK_S)

    def kill_first(self, names: Sequence[str]) -> str:
        """Kill -9 the first of these that runs now; returns its name."""
        while True:
            for name in names:
                try:
                    if pid := self._pid(name):
                        os.kill(pid, signal.SIGKILL)
                        return name
                except ProcessLookupError:
                    continue
            time.sleep(_TICK_S)

    def wait_ready(self, seconds: float = 180.0) -> None:
        """Wait until both gateways would answer a request."""
        end = time.monotonic() + seconds
        while not all(map(_is_ready, self.urls)):
            if time.monotonic() > end:
                raise TimeoutError("the mesh did not become ready again; its logs have the reason")
            time.sleep(_TICK_S)

    def _pid(self, name: str) -> int:
        if name == SECOND:
            return self._second.pid
        if name != TRITON:
            return self._mesh.pid(name)
        try:
            children = psutil.Process(self._mesh.pid("model_server")).children()
        except psutil.Error:
            return 0
        return next((child.pid for child in children), 0)


def _is_ready(url: str) -> bool:
    try:
        return bool(httpx2.get(f"{url}/readyz", timeout=5).status_code == 200)
    except httpx2.HTTPError:
        return False


@contextmanager
def frail_mesh(repository: Path, run: Path, environ: Mapping[str, str]) -> Iterator[FrailMesh]:
    """Start a mesh on free ports, and wait until it is ready.

    Args:
        repository: of the models.
        run: folder for its logs and files.
        environ: of all its processes.
    """
    settings = LocalSettings(model_repository=str(repository), run_folder=str(run)).with_free_ports()
    others = settings.with_free_ports()
    with LocalMesh(settings, environ) as mesh:
        (gateway,) = [row for row in processes(settings, mesh.run, environ) if row.name == "gateway"]
        own = {
            "CN_GATEWAY_ADDRESS": others.gateway_address,
            "CN_GATEWAY_GRPC_ADDRESS": others.gateway_grpc_address,
            "CN_GATEWAY_METRICS_ADDRESS": "",
            "CN_GATEWAY_PUBLIC_ADDRESS": others.gateway_address,
        }
        log = mesh.run / "logs" / "gateway_2.log"
        second = _Kept(gateway.command, {**environ, **gateway.environment, **own}, log)
        try:
            frail = FrailMesh(mesh, second, others)
            frail.wait_ready()
            yield frail
        finally:
            second.stop()
