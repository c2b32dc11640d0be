"""Settings of the enterprise dialect."""

from dataclasses import dataclass

from gateway.settings import among
from mesh.settings import setting

STATUS = ("legacy", "strict")
BASE64 = ("file", "inline")


@dataclass(frozen=True)
class EnterpriseSettings:
    """What the dialect takes from the environment; a key may choose otherwise for itself."""

    PREFIX = "CN_GATEWAY_ENTERPRISE_"

    status: str = setting("legacy", "Enterprise errors: `legacy` answers 200, `strict` a status of 400 up.")
    base64: str = setting(
        "file", "Enterprise answers as base64: `file` gives links to texts, `inline` the text itself in place of links."
    )
    hold_s: float = setting(25.0, "Seconds before an enterprise request answers `processing`.")

    def __post_init__(self) -> None:
        """Raises SettingsError for a word that a setting does not know."""
        among("CN_GATEWAY_ENTERPRISE_STATUS", self.status, STATUS)
        among("CN_GATEWAY_ENTERPRISE_BASE64", self.base64, BASE64)
