"""`python -m gateway`: read the settings, say who is speaking, serve."""

import asyncio
import os
import sys

from gateway.server import run
from gateway.settings import GatewaySettings
from mesh.settings import SettingsError, read
from mesh.telemetry import configure


def main() -> None:
    """Serve until told to stop; a setting that can't be used ends this with one line on standard error."""
    try:
        settings = read(GatewaySettings, os.environ)
        configure("gateway", settings)
        asyncio.run(run(settings))
    except SettingsError as error:
        sys.exit(f"gateway: {error}")


if __name__ == "__main__":
    main()
