"""`python -m gateway`: read the settings, say who is speaking, serve."""

import asyncio
import os
import sys

from gateway.server import run
from gateway.settings import GatewaySettings
from mesh.command import settings_of
from mesh.telemetry import configure

if __name__ == "__main__":
    settings = settings_of(GatewaySettings, __doc__, sys.argv[1:], os.environ)
    configure("gateway", settings)
    asyncio.run(run(settings))
