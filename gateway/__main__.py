"""`python -m gateway`: read the settings, say who is speaking, serve.

`python -m gateway keys` makes, lists and revokes the keys of clients; its --help says more.
"""

import os
import sys

import uvloop

from gateway.commands import keys as key_command
from gateway.server import run
from gateway.settings import GatewaySettings
from mesh.command import settings_of
from mesh.settings import SettingsError
from mesh.telemetry import configure

if __name__ == "__main__":
    if sys.argv[1:2] == ["keys"]:
        key_command.run(sys.argv[2:], lambda: settings_of(GatewaySettings, None, (), os.environ).database_url)
    settings = settings_of(GatewaySettings, __doc__, sys.argv[1:], os.environ)
    configure("gateway", settings)
    try:
        uvloop.run(run(settings))
    except SettingsError as error:
        # What shows only once the database is open.
        sys.exit(str(error))
