"""What a key may choose for itself in the enterprise dialect, where the deployment's settings choose for the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from gateway.dialects.enterprise.settings import EnterpriseSettings
from gateway.keys.keys import Holder

DIALECT = "enterprise"
OPTIONS: Mapping[str, str] = {
    "strict": "errors have a status of 400 up, else 200; see CN_GATEWAY_ENTERPRISE_STATUS",
    "inline": "answers as base64 hold the text itself, else links to it; see CN_GATEWAY_ENTERPRISE_BASE64",
}
"""Option -> what yes means."""


@dataclass(frozen=True)
class Options:
    """How one request is answered; the fields are OPTIONS."""

    strict: bool
    inline: bool

    @classmethod
    def of(cls, settings: EnterpriseSettings, holder: Holder | None = None) -> Self:
        """Those of a key, or of the deployment where the key says nothing or is not known yet."""
        own = holder.options.get(DIALECT, {}) if holder else {}
        return cls(
            strict=own.get("strict", settings.status == "strict"),
            inline=own.get("inline", settings.base64 == "inline"),
        )
