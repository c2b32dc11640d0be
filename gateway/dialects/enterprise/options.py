"""Options of keys in the enterprise dialect, which override the deployment's settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from gateway.dialects.enterprise.settings import EnterpriseSettings
from gateway.keys.keys import Holder

DIALECT = "enterprise"
OPTIONS: Mapping[str, str] = {
    "strict": "errors have a status of 400 or above, else 200; see CN_GATEWAY_ENTERPRISE_STATUS",
    "inline": "base64 answers contain the text itself, else links to it; see CN_GATEWAY_ENTERPRISE_BASE64",
}
"""Option -> meaning of yes."""


@dataclass(frozen=True)
class Options:
    """How a request is answered; the fields are OPTIONS."""

    strict: bool
    inline: bool

    @classmethod
    def of(cls, settings: EnterpriseSettings, holder: Holder | None = None) -> Self:
        """The options of a key; the deployment's for options that the key does not set, or if there is no key yet."""
        own = holder.options.get(DIALECT, {}) if holder else {}
        return cls(
            strict=own.get("strict", settings.status == "strict"),
            inline=own.get("inline", settings.base64 == "inline"),
        )
