"""`python -m gateway`: read the settings, set up logs and traces, serve.

`python -m gateway keys` creates, lists and revokes the keys of clients; see its --help.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import uvloop

from gateway.commands import keys as key_command
from gateway.dialects.table import SETTINGS
from gateway.server import run
from gateway.settings import GatewaySettings
from mesh.command import all_settings_of
from mesh.private_files import UMASK
from mesh.settings import SettingsError
from mesh.telemetry import configure


def read(about: str | None, arguments: Sequence[str]) -> tuple[GatewaySettings, dict[str, Any]]:
    """The gateway's settings, and those of each dialect that has some; exits the process if they are invalid."""
    first, *others = all_settings_of([GatewaySettings, *SETTINGS.values()], about, arguments, os.environ)
    return first, dict(zip(SETTINGS, others, strict=True))


if __name__ == "__main__":
    # Records, pictures and keys are nobody else's.
    os.umask(UMASK)
    if sys.argv[1:2] == ["keys"]:
        key_command.run(sys.argv[2:], lambda: read(None, ())[0].database_url)
    settings, dialect_settings = read(__doc__, sys.argv[1:])
    configure("gateway", settings)
    try:
        uvloop.run(run(settings, dialect_settings))
    except SettingsError as error:
        # Errors that show only once the database is open.
        sys.exit(str(error))
