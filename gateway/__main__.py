"""`python -m gateway`: read the settings, set up logs and traces, serve.

`python -m gateway keys` creates, lists and revokes the keys of clients; see its --help.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

from mesh.environment import refuse

try:
    import uvloop

    from gateway.commands import keys as key_command
    from gateway.dialects.table import SETTINGS
    from gateway.server import run
    from gateway.settings import GatewaySettings
    from mesh.command import all_settings_of, plainly
    from mesh.private_files import UMASK
    from mesh.settings import SettingsError
    from mesh.telemetry import configure
except ModuleNotFoundError as missing:
    refuse(missing, "gateway")


def read(about: str | None, arguments: Sequence[str]) -> tuple[GatewaySettings, dict[str, Any]]:
    """The gateway's settings, and those of each dialect that has some; exits the process if they are invalid."""
    first, *others = all_settings_of([GatewaySettings, *SETTINGS.values()], about, arguments, os.environ)
    return first, dict(zip(SETTINGS, others, strict=True))


def main(arguments: Sequence[str]) -> None:
    """Run the process, or the command that the first argument names."""
    # Records, pictures and keys are nobody else's.
    os.umask(UMASK)
    if arguments[:1] == ["keys"]:
        key_command.run(list(arguments[1:]), lambda: read(None, ())[0].database_url)
    settings, dialect_settings = read(__doc__, arguments)
    configure("gateway", settings)
    try:
        uvloop.run(run(settings, dialect_settings))
    except SettingsError as error:
        # Errors that show only once the database is open.
        sys.exit(str(error))


if __name__ == "__main__":
    plainly(main, sys.argv[1:])
