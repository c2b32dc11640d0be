"""Settings of the enterprise dialect."""

from dataclasses import dataclass

from gateway.settings import among
from mesh.settings import setting

STATUS = ("legacy", "strict")
BASE64 = ("file", "inline")


@dataclass(frozen=True)
class EnterpriseSettings:
    """The dialect's settings, from the environment; keys may override some of them."""

    PREFIX = "CN_GATEWAY_ENTERPRISE_"

    status: str = setting("legacy", "Enterprise errors: `legacy` has status 200, `strict` a status of 400 or above.")
    base64: str = setting(
        "file", "Enterprise base64 answers: `file` returns links to the text, `inline` the text itself."
    )
    hold_s: float = setting(25.0, "Seconds after which an enterprise request is answered with `processing`.")

    def __post_init__(self) -> None:
        """Raises SettingsError for an unknown value."""
        among("CN_GATEWAY_ENTERPRISE_STATUS", self.status, STATUS)
        among("CN_GATEWAY_ENTERPRISE_BASE64", self.base64, BASE64)
