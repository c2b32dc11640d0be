"""The processes of the mesh on one machine: command and environment, one row each."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from families.protocols import new_key
from local.envoy import envoy_command, local_bootstrap
from local.settings import LocalSettings
from mesh.private_files import write_private
from mesh.settings import variable
from model_server.settings import ModelServerSettings

ROOT = Path(__file__).resolve().parent.parent
ENVOY_FILE = ROOT / "k8s" / "envoy" / "envoy.yaml"

# Defaults that differ from a cluster's, unless the environment sets them: nothing routes around a process that drains.
ALONE = {
    "CN_DRAIN_S": "0.2",
    "CN_GATEWAY_UNKNOWN_MODEL": "default",
}
# Whoever may use a mesh without keys, which is on loopback only, can reach loopback anyway. Once keys are needed this
# no longer holds; and who sets CN_GATEWAY_FETCH_ALLOW has said all about it.
KEYLESS_FETCHES = {"CN_GATEWAY_FETCH_ALLOW_KEYLESS": "127.0.0.1:*,localhost:*"}
_FETCHES = "CN_GATEWAY_FETCH_ALLOW"

REPOSITORY_KEY = next(
    variable(ModelServerSettings, field) for field in fields(ModelServerSettings) if field.name == "repository_key"
)


@dataclass(frozen=True, slots=True)
class Process:
    """One supervised process: its name, command line and additional environment."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def procfile() -> dict[str, str]:
    """Name -> command line of every process, from the Procfile."""
    rows = (line.split(":", 1) for line in (ROOT / "Procfile").read_text().splitlines() if line and line[0] != "#")
    return {name.strip(): command.strip() for name, command in rows}


def processes(settings: LocalSettings, run: Path, environ: Mapping[str, str]) -> list[Process]:
    """Every process of the mesh in the Procfile's order, with its addresses from `settings`.

    Args:
        settings: addresses and folders.
        run: folder for generated configuration; Envoy's bootstrap is written there.
        environ: the environment that the processes inherit; it takes precedence over ALONE.
    """
    bootstrap = run / "envoy.yaml"
    write_private(
        bootstrap,
        local_bootstrap(
            ENVOY_FILE.read_text(),
            edge=settings.edge_address,
            internal=settings.internal_address,
            mesh=settings.mesh_address,
            metrics=settings.envoy_metrics_address,
            admin=run.resolve() / "envoy-admin.sock",
            upstreams={
                "gateway": settings.gateway_address,
                "gateway_grpc": settings.gateway_grpc_address,
                "preprocess": settings.preprocess_address,
                "unet": settings.unet_address,
                "vae": settings.vae_address,
            },
        ),
    )
    # A key of this run, so that only unet_svc can have Triton load models; one that the environment sets is kept.
    given = REPOSITORY_KEY in environ or REPOSITORY_KEY + "_FILE" in environ
    environments = _environments(settings, {} if given else {REPOSITORY_KEY: new_key()})
    kept = {
        "CN_GATEWAY_DATABASE_URL": database_url(run),
        "CN_GATEWAY_STORAGE_URL": (run.resolve() / "assets").as_uri(),
    }

    def is_set(name: str) -> bool:
        return name in environ or f"{name}_FILE" in environ

    defaults = ALONE | kept | ({} if is_set(_FETCHES) else KEYLESS_FETCHES)
    alone = {name: value for name, value in defaults.items() if not is_set(name)}
    commands = {name: shlex.split(line) for name, line in procfile().items()}
    # The Procfile's `python` and `envoy` are replaced by those of this environment.
    programs = {"python": [sys.executable], "envoy": envoy_command(bootstrap)}
    return [
        Process(name, (*programs[command[0]], *command[1:]), {**alone, **environments[name]})
        for name, command in commands.items()
    ]


def database_url(run: Path) -> str:
    """URL of the database of the mesh with run folder `run`, unless the environment sets another one."""
    return f"sqlite:///{run.resolve()}/records.db"


def _environments(settings: LocalSettings, repository_key: Mapping[str, str]) -> dict[str, dict[str, str]]:
    repository = str(Path(settings.model_repository).resolve())
    service_settings = {"TRITON_URL": f"127.0.0.1:{settings.triton_port}", "MODEL_REPOSITORY": repository}
    return {
        "model_server": {
            "CN_MODEL_SERVER_GRPC_PORT": str(settings.triton_port),
            "CN_MODEL_SERVER_METRICS_PORT": str(settings.triton_metrics_port),
            "CN_MODEL_SERVER_ADMIN_PORT": str(settings.model_server_admin_port),
            "CN_MODEL_SERVER_REPOSITORY": repository,
            **repository_key,
        },
        "preprocess_svc": _prefixed(
            "CN_PREPROCESS_",
            service_settings,
            ADDRESS=settings.preprocess_address,
            METRICS_ADDRESS=settings.preprocess_metrics_address,
        ),
        "unet_svc": _prefixed(
            "CN_UNET_",
            service_settings,
            ADDRESS=settings.unet_address,
            METRICS_ADDRESS=settings.unet_metrics_address,
            # One machine: /dev/shm is the same for both.
            SHARED_MEMORY="true",
        )
        | repository_key,
        "vae_svc": _prefixed(
            "CN_VAE_", service_settings, ADDRESS=settings.vae_address, METRICS_ADDRESS=settings.vae_metrics_address
        ),
        "gateway": {
            "CN_GATEWAY_ADDRESS": settings.gateway_address,
            "CN_GATEWAY_GRPC_ADDRESS": settings.gateway_grpc_address,
            "CN_GATEWAY_METRICS_ADDRESS": settings.gateway_metrics_address,
            "CN_GATEWAY_MESH_ADDRESS": settings.mesh_address,
            "CN_GATEWAY_PUBLIC_ADDRESS": settings.edge_address,
            # For callers with an admin key; without keys nobody may load models.
            "CN_GATEWAY_EXPORT_COMMAND": shlex.join([sys.executable, "-m", "export"]),
            "CN_GATEWAY_MODEL_REPOSITORY": repository,
        },
        "envoy": {},
    }


def _prefixed(prefix: str, shared: Mapping[str, str], **own: str) -> dict[str, str]:
    return {prefix + name: value for name, value in {**shared, **own}.items()}
