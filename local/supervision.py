"""Start, watch and stop the processes: configure supervisord, which does the work, and wait for the result.

A process that dies is restarted at once; one that keeps dying at start is given up after five attempts.
"""

import http.client
import os
import secrets
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
from supervisor.xmlrpc import SupervisorTransport

from gateway.settings import INSTANCE_HEADER, split_address
from local import ports
from local.logs import last_error, last_line
from local.processes import ROOT, processes
from local.settings import LocalSettings
from local.supervisor_config import GROUPS, STOP_SECONDS, supervisord_config
from mesh.private_files import UMASK, private_folder, tighten, write_private

START_SECONDS = 180.0
_TICK_S = 0.2
# Above it PORT would move other ports past the last one.
_HIGHEST_EDGE = 23_000
CONFIG = "supervisord.conf"

_FULL_NAMES = {name: f"{group}:{name}" for group, names in GROUPS.items() for name in names}


class MeshStartError(Exception):
    """The mesh did not become ready; the message names the process and its log."""


class LocalMesh:
    """The whole mesh on one machine, as a context manager.

    Args:
        settings: addresses and folders.
        environ: environment that every process inherits; local/processes.py adds to it.
        report: called with a line of text when the state changes during start.
    """

    def __init__(
        self, settings: LocalSettings, environ: Mapping[str, str], report: Callable[[str], None] = lambda _: None
    ) -> None:
        self.settings = settings
        self.url = f"http://{settings.edge_address}"
        self.run = Path(settings.run_folder).resolve()
        # Told from other meshes by this; the gateway says it with its readiness.
        self._instance = secrets.token_hex(8)
        self._environ = {**environ, "CN_GATEWAY_INSTANCE": self._instance}
        self._report = report
        self._supervisord: subprocess.Popen[bytes] | None = None
        # Logs of the runs before stay in the same files.
        self._since = ""

    def __enter__(self) -> "LocalMesh":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every process and wait until a request would be answered.

        Raises:
            MeshStartError: a port is taken, a process keeps dying, or nothing answers within START_SECONDS.
        """
        private_run(self.run)
        self._take_pidfile()
        if taken := ports.faults(self.settings):
            *_, edge = split_address(self.settings.edge_address)
            raise MeshStartError("\n".join([*taken, f"or move all ports: PORT={_other(edge)} make up"]))
        rows = processes(self.settings, self.run, self._environ)
        config = self.run / CONFIG
        write_private(config, supervisord_config(rows, self.run))
        command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config)]
        self._since = datetime.now(UTC).isoformat()
        # A separate session, so that Ctrl-C reaches only this process, which stops the others in order.
        self._supervisord = subprocess.Popen(
            command,
            env=self._environ,
            cwd=ROOT,
            start_new_session=True,
            umask=UMASK,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait_ready([row.name for row in rows])
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every process, each after its drain. Safe to call twice."""
        if self._supervisord is None:
            return
        self._supervisord.terminate()
        try:
            self._supervisord.wait(STOP_SECONDS * 2)
        except subprocess.TimeoutExpired:
            os.killpg(self._supervisord.pid, signal.SIGKILL)
            self._supervisord.wait()
        self._supervisord = None
        (self.run / "supervisord.pid").unlink(missing_ok=True)

    def wait(self) -> None:
        """Block until the supervisor exits."""
        if self._supervisord is not None:
            self._supervisord.wait()

    def states(self) -> dict[str, dict[str, Any]]:
        """Name -> state name and pid of every process, from supervisord."""
        rows: list[dict[str, Any]] = self._rpc().getAllProcessInfo()
        return {row["name"]: {"state": row["statename"], "pid": row["pid"]} for row in rows}

    def pid(self, name: str) -> int:
        """Process id of `name`."""
        return int(self.states()[name]["pid"])

    def halt(self, name: str) -> None:
        """Stop one process and leave it stopped."""
        self._rpc().stopProcess(_FULL_NAMES[name])

    def resume(self, name: str) -> None:
        """Start a process that `halt` stopped."""
        self._rpc().startProcess(_FULL_NAMES[name])

    def ready(self) -> bool:
        """Whether the edge reports that the whole mesh would answer a request."""
        return self._readiness()[0]

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until `ready`, e.g. after a process was killed. Raises MeshStartError after `seconds`."""
        self._wait_ready(list(self.states()), seconds)

    def _rpc(self) -> Any:
        transport = SupervisorTransport(serverurl=f"unix://{self.run / 'supervisor.sock'}")
        return xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor

    def _readiness(self) -> tuple[bool, str]:
        try:
            answer = httpx2.get(f"{self.url}/readyz", timeout=5)
        except httpx2.HTTPError:
            return False, "envoy"
        if answer.headers.get(INSTANCE_HEADER) != self._instance:
            return False, f"another server answers at {self.url}"
        return answer.status_code == 200, answer.text[:200]

    def _wait_ready(self, names: list[str], seconds: float = START_SECONDS) -> None:
        end = time.monotonic() + seconds
        seen: dict[str, str] = {}
        while time.monotonic() < end:
            if self._supervisord is not None and self._supervisord.poll() is not None:
                raise MeshStartError(f"the supervisor exited at once; see {self._log('supervisord')}")
            try:
                states = {name: row["state"] for name, row in self.states().items()}
            except (OSError, http.client.HTTPException, xmlrpc.client.Error):
                states = {}
            for name, state in states.items():
                if seen.get(name) != state:
                    seen[name] = state
                    self._report(f"{name}: {state.lower()}")
                if state == "FATAL":
                    log = self._log(name)
                    raise MeshStartError(f"{name} does not start: {last_line(log)}\nits log: {log}")
            if len(states) == len(names) and self._readiness()[0]:
                return
            # The readiness of five processes has no single signal to wait for, so this polls, as a probe does.
            time.sleep(_TICK_S)
        said = [f"{name}: {error}" for name in names if (error := last_error(self._log(name), self._since))]
        late = f"not ready after {seconds:.0f} s: {self._readiness()[1]}"
        raise MeshStartError("\n".join([late, *said, f"logs: {self.run / 'logs'}"]))

    def _log(self, name: str) -> Path:
        return self.run / "logs" / f"{name}.log"

    def _take_pidfile(self) -> None:
        if (pid := running_pid(self.run)) is not None:
            raise MeshStartError(
                f"a mesh is already running from {self.run} (pid {pid}); stop it with `python -m local down`, "
                "or set CN_RUN_FOLDER and PORT to run another one"
            )


def _other(port: int) -> int:
    """A port to propose in place of `port`."""
    return port + 100 if port + 100 <= _HIGHEST_EDGE else port - 100


def private_run(run: Path) -> None:
    """Create the run folder and its logs for their owner alone, and take what older versions wrote from the others.

    A folder that held no mesh before keeps its mode: it may be anything.
    """
    if (run / CONFIG).exists():
        tighten(run)
    private_folder(run)
    tighten(private_folder(run / "logs"))
    kept = (run / name for name in (CONFIG, "envoy.yaml", "supervisord.pid", "assets"))
    for path in (*kept, *(run / "logs").iterdir(), *run.glob("records.db*")):
        tighten(path)


def running_pid(run: Path) -> int | None:
    """Process id of the supervisor of the mesh with run folder `run`; None if it is not running."""
    try:
        pid = int((run / "supervisord.pid").read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def stop_running(run: Path) -> bool:
    """Stop the mesh with run folder `run`; False if it is not running, or does not stop in time."""
    pid = running_pid(run)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS * 2
    while time.monotonic() < end:
        if running_pid(run) is None:
            return True
        time.sleep(_TICK_S)
    return False
