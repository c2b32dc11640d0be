"""Settings of a gateway as tests name them, with those of its dialects among them: `dialect_name`."""

from collections.abc import Mapping
from typing import Any

from gateway.dialects.table import SETTINGS
from gateway.settings import GatewaySettings


def split(settings: Mapping[str, Any]) -> tuple[GatewaySettings, dict[str, Any]]:
    """The gateway's settings, and each dialect's own."""
    rest, own = dict(settings), {}
    for dialect, cls in SETTINGS.items():
        named = [name for name in rest if name.startswith(f"{dialect}_")]
        own[dialect] = cls(**{name.removeprefix(f"{dialect}_"): rest.pop(name) for name in named})
    return GatewaySettings(**rest), own
