"""`python3 -m model_server.container`: replace this process by NVIDIA's tritonserver, with a repository's models.

The entry point of the image in model_server/Dockerfile. Unknown arguments are passed on to tritonserver.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from families import protocols
from families.manifest import ManifestError
from model_server.flags import KeyMissing, read_key, serving_flags
from model_server.repository import RepositoryError, models_to_load

SERVER = "tritonserver"


def _repository_key(file: Path | None) -> str:
    if file is not None and not file.exists():
        # Nobody may load models then; to leave it open would be the worse surprise.
        print(f"--repository-key-file {file} is missing: no model can be loaded at run time", file=sys.stderr)
        return protocols.new_key()
    return read_key(file)


def command(arguments: Sequence[str]) -> list[str]:
    """The command line of tritonserver.

    Raises RepositoryError or ManifestError if the repository lacks a requested model or has an invalid card, KeyMissing
    for a file of the repository key that can't be read or is empty.
    """
    parser = argparse.ArgumentParser(prog="python3 -m model_server.container", description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path("/models"), help="folder of graphs and cards")
    parser.add_argument(
        "--model", action="append", default=[], help="load only this one; may be repeated; unset: those of every card"
    )
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on; a network policy protects the pod")
    parser.add_argument("--grpc-port", type=int, default=8001)
    parser.add_argument("--metrics-port", type=int, default=8002)
    parser.add_argument("--exit-timeout-secs", type=int, default=40, help="seconds for inferences in flight at exit")
    parser.add_argument(
        "--closed", default=",".join(protocols.CLOSED), help="gRPC protocols to disable, separated by commas"
    )
    parser.add_argument(
        "--repository-key-file", type=Path, help="file with the key that loading models needs; unset: it needs none"
    )
    given, rest = parser.parse_known_args(arguments)
    models = models_to_load(given.repository, tuple(given.model))
    flags = serving_flags(given.repository, models, given.host, given.grpc_port, given.metrics_port)
    closed = [group for group in given.closed.split(",") if group]
    restricted = protocols.flags(_repository_key(given.repository_key_file), closed)
    return [SERVER, *flags, f"--exit-timeout-secs={given.exit_timeout_secs}", *restricted, *rest]


if __name__ == "__main__":
    try:
        line = command(sys.argv[1:])
    except (KeyMissing, ManifestError, RepositoryError) as error:
        sys.exit(str(error))
    os.execvp(line[0], line)
