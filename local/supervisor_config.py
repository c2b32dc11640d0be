"""The configuration of supervisord: groups of processes, and in which order they stop."""

import resource
from pathlib import Path

from local.processes import ROOT, Process
from mesh.private_files import UMASK

# A service's drain plus grace, see mesh/server.py; after that supervisord kills it.
STOP_SECONDS = 30
# Envoy's edge takes some ten thousand connections.
_FILES = 20_000

# Groups stop one after the other, the last one first: callers stop before the services that they call.
GROUPS = {
    "models": ("model_server",),
    "services": ("preprocess_svc", "unet_svc", "vae_svc"),
    "front": ("gateway", "envoy"),
}


def _files() -> int:
    """How many files a process may have open, as far as this user may say so."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)


def supervisord_config(rows: list[Process], run: Path) -> str:
    """The text of supervisord.conf for `rows`, with logs, socket and pid file under `run`."""

    def quoted(text: str) -> str:
        return text.replace("%", "%%")

    parts = [
        "[supervisord]",
        f"logfile={run}/logs/supervisord.log",
        f"pidfile={run}/supervisord.pid",
        "logfile_maxbytes=10MB",
        "logfile_backups=1",
        f"minfds={_files()}",
        f"umask={UMASK:03o}",
        "[unix_http_server]",
        f"file={run}/supervisor.sock",
        "chmod=0700",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for row in rows:
        environment = ",".join(f'{name}="{quoted(value)}"' for name, value in row.environment.items())
        command = " ".join(f"'{quoted(part)}'" for part in row.command)
        parts += [
            f"[program:{row.name}]",
            f"command={command}",
            f"environment={environment}",
            f"directory={ROOT}",
            "autorestart=true",
            "startsecs=1",
            "startretries=5",
            "stopsignal=TERM",
            f"stopwaitsecs={STOP_SECONDS}",
            "stopasgroup=false",
            "killasgroup=true",
            f"umask={UMASK:03o}",
            "redirect_stderr=true",
            f"stdout_logfile={run}/logs/{row.name}.log",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=1",
        ]
    for priority, (group, names) in enumerate(GROUPS.items(), start=1):
        parts += [f"[group:{group}]", f"programs={','.join(names)}", f"priority={priority}"]
    return "\n".join(parts) + "\n"
