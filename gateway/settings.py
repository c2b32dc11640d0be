"""Settings of the gateway."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from mesh.server import ServerSettings
from mesh.settings import SettingsError, setting

UNKNOWN_MODEL = ("error", "default")
ASSET_URLS = ("open", "signed", "store")
SHORTEST_SECRET = 16
INSTANCE_HEADER = "X-ControlMesh-Instance"
"""Header of /readyz with the setting `instance`, if that is set."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_INSTANCE = re.compile(r"[A-Za-z0-9._-]{0,64}")


@dataclass(frozen=True)
class GatewaySettings(ServerSettings):
    """The gateway's settings, from the environment."""

    PREFIX = "CN_GATEWAY_"

    address: str = setting("127.0.0.1:8081", "host:port of the HTTP server, behind Envoy's edge.")
    grpc_address: str = setting("127.0.0.1:50050", "host:port of the gateway's gRPC server.")
    public_address: str = setting("127.0.0.1:8080", "host:port of the edge that clients use.")
    public_url: str = setting("", "Base of the URLs in answers; unset: the address that the client used.")
    mesh_address: str = setting("127.0.0.1:8090", "host:port of Envoy's internal listener for the three services.")
    api_keys: tuple[str, ...] = setting(
        (),
        "Clients' keys in addition to those in the database, with every scope; if there is no key at all, none is "
        "required, on loopback only.",
    )
    origins: tuple[str, ...] = setting(
        (),
        "Origins whose web pages may call every API, as a list of scheme://host[:port]; unset: none.",
    )
    instance: str = setting("", "Name of this process, in a header of /readyz; unset: none.")
    limits_url: str = setting(
        "",
        "Where requests per minute are counted for all gateways together, as a storage of the package limits "
        "(redis://host:6379); unset: each process counts its own.",
    )
    proxies: tuple[str, ...] = setting(
        ("127.0.0.1", "::1"),
        "Addresses and networks of the trusted proxies in front, which report the client's address.",
    )
    default_model: str = setting("", "Model for requests that name none; unset: the first loaded one by name.")
    model_aliases: tuple[str, ...] = setting((), "Other names for loaded models, as a list of name=model.")
    unknown_model: str = setting(
        "error", "How the vendors' dialects treat an unknown model: `error`, or `default` to use the default model."
    )
    restartable: bool = setting(
        False, "Whether an administrator's request may stop this process, for a supervisor to restart it."
    )
    export_command: str = setting(
        "", "Command that exports models, such as `python -m export`; unset: models can't be loaded or deleted here."
    )
    export_timeout_s: float = setting(3600.0, "Timeout of one export in seconds.")
    load_timeout_s: float = setting(300.0, "Seconds within which every service must serve an exported model.")
    model_repository: str = setting("model_repository", "Folder for exported models, as the command sees it.")
    model_sources: tuple[str, ...] = setting((), "Folders that models may be loaded from, in addition to a hub.")
    protected_models: tuple[str, ...] = setting((), "Models that can't be replaced or deleted.")
    storage_url: str = setting(
        "", "Where files are stored: file:///path or s3://bucket/prefix; unset: a temporary folder."
    )
    storage_endpoint: str = setting("", "URL of the S3 server of `s3://`; unset: Amazon's.")
    storage_region: str = setting("", "Region of the bucket; unset: us-east-1.")
    storage_access_key: str = setting("", "Access key of the bucket; unset: the machine's own cloud identity.")
    storage_secret_key: str = setting("", "Secret key for the access key.")
    storage_allow_http: bool = setting(False, "Whether the S3 server may be accessed without TLS.")
    storage_allow: tuple[str, ...] = setting(
        (), "host:port list of private addresses allowed for clients' own storages; host:* is any port."
    )
    asset_urls: str = setting(
        "open",
        "How results are read: `open` by anyone who knows the unguessable name, `signed` through links that expire, "
        "`store` by name, from S3 itself.",
    )
    secret: str = setting(
        "",
        "Encrypts clients' secrets, such as keys of their own storages; unset: none are kept longer than the process.",
    )
    database_url: str = setting(
        "",
        "Database of the records: sqlite:////path on one machine, postgresql://user:password@host/name for several; "
        "unset: a temporary file of this process, removed at its end.",
    )
    retention_s: float = setting(86_400.0, "Seconds for which results and records are kept.")
    max_records: int | None = setting(
        None, "Deprecated, no effect: records are kept for CN_GATEWAY_RETENTION_S seconds."
    )
    max_pictures: int = setting(
        16,
        "Maximum number of pictures made at the same time in this process; at least 4. With keys, an owner alone gets "
        "three quarters of them: the others are for whoever comes next.",
    )
    max_waiting: int = setting(64, "Maximum number of waiting generations.")
    max_hints: int = setting(
        6,
        "Maximum number of hints without a generation made at the same time in this process; eight times as many wait.",
    )
    owner_waiting: float = setting(
        1.0,
        "An owner's waiting generations are at most so many times the places that are free, and so are its waiting "
        "hints: 1 leaves one owner half of them, two a third each; 0: no such limit. Without keys there is none.",
    )
    owner_records: int = setting(
        100_000, "Maximum number of an owner's generations on record, finished ones included; 0: any number."
    )
    owner_bytes: int = setting(
        20 * 1024**3, "Maximum size in bytes of an owner's files, uploaded and generated, in this store; 0: any size."
    )
    owner_files: int = setting(100_000, "Maximum number of an owner's files in this store; 0: any number.")
    storage_floor_bytes: int = setting(
        256 * 1024**2,
        "Bytes of the disk of CN_GATEWAY_STORAGE_URL, at most a tenth of it, that clients' files leave free; 0: none.",
    )
    deadline_s: float = setting(280.0, "Timeout of a generation in seconds.")
    max_body_bytes: int = setting(24 * 1024 * 1024, "Maximum size of a request body in bytes.")
    body_budget_bytes: int = setting(
        256 * 1024 * 1024,
        "Maximum number of bytes of all request bodies that this process holds at the same time, at least one of the "
        "maximum size; half of them from one address, a quarter of them without a known key, an eighth without one "
        "from one address.",
    )
    body_portion_s: float = setting(
        5.0, "Seconds within which each 64 KiB of a request body without a known key must arrive."
    )
    body_unkeyed_bytes: int = setting(
        64 * 1024 * 1024,
        "What request bodies without a valid key may cost an address a minute, in bytes of plain text; beyond it only "
        "requests with a valid key in a header are read, and others get 429; 0: any number.",
    )
    fetch_allow: tuple[str, ...] = setting(
        (), "host:port list of private addresses allowed in picture URLs; host:* is any port."
    )
    fetch_allow_keyless: tuple[str, ...] = setting((), "The same, in addition, while no API key is asked for.")
    webhook_allow: tuple[str, ...] = setting(
        (), "host:port list of private addresses allowed for webhooks; host:* is any port."
    )
    fetch_timeout_s: float = setting(10.0, "Timeout in seconds for fetching a picture from a URL.")

    def __post_init__(self) -> None:
        """Check values and combinations of variables.

        Raises:
            SettingsError: naming the variable and what to change.
        """
        super().__post_init__()
        for pair in self.model_aliases:
            if "=" not in pair:
                raise SettingsError(f"CN_GATEWAY_MODEL_ALIASES has {pair!r}; write name=model")
        for text in self.origins:
            self._check_origin(text)
        if not _INSTANCE.fullmatch(self.instance):
            raise SettingsError(
                f"CN_GATEWAY_INSTANCE={self.instance!r} may have up to 64 letters, digits, `.`, `_` and `-`"
            )
        among("CN_GATEWAY_UNKNOWN_MODEL", self.unknown_model, UNKNOWN_MODEL)
        among("CN_GATEWAY_ASSET_URLS", self.asset_urls, ASSET_URLS)
        if self.secret and len(self.secret) < SHORTEST_SECRET:
            raise SettingsError(f"CN_GATEWAY_SECRET must have at least {SHORTEST_SECRET} characters")
        if bool(self.storage_access_key) != bool(self.storage_secret_key):
            raise SettingsError("set both CN_GATEWAY_STORAGE_ACCESS_KEY and CN_GATEWAY_STORAGE_SECRET_KEY, or neither")
        if self.max_pictures < 4:
            raise SettingsError(
                f"CN_GATEWAY_MAX_PICTURES={self.max_pictures} is below 4, the maximum number of pictures of one request"
            )
        for name in (
            "owner_waiting",
            "owner_records",
            "owner_bytes",
            "owner_files",
            "storage_floor_bytes",
            "body_unkeyed_bytes",
        ):
            if getattr(self, name) < 0:
                raise SettingsError(f"CN_GATEWAY_{name.upper()}={getattr(self, name):g} is below 0; 0 is no limit")
        if self.max_hints < 1:
            raise SettingsError(f"CN_GATEWAY_MAX_HINTS={self.max_hints} is below 1")
        # Whether there are keys in the database is known only once it is open.
        if not self.api_keys and not self.database_url:
            self.refuse_strangers()

    @staticmethod
    def _check_origin(text: str) -> None:
        try:
            written = origin(text)
        except ValueError as error:
            raise SettingsError(
                f"CN_GATEWAY_ORIGINS has {text!r}, which is {error}; list each origin, such as https://app.example"
            ) from None
        if written != text:
            raise SettingsError(f"CN_GATEWAY_ORIGINS has {text!r}; browsers send it as {written}")

    def reachable(self) -> dict[str, str]:
        """Variable -> address, for the addresses that other machines can reach."""
        addresses = {"ADDRESS": self.address, "PUBLIC_ADDRESS": self.public_address, "GRPC_ADDRESS": self.grpc_address}
        return {f"CN_GATEWAY_{name}": address for name, address in addresses.items() if not is_loopback(address)}

    def refuse_strangers(self) -> None:
        """Check that only this machine can reach the gateway, as required if there are no keys.

        Raises:
            SettingsError: naming the address that others can reach.
        """
        for name, address in self.reachable().items():
            raise SettingsError(
                f"{name}={address} can be reached from other machines and there are no keys; set CN_GATEWAY_API_KEYS "
                "(or CN_GATEWAY_API_KEYS_FILE), create one with `python -m gateway keys create`, or use a loopback "
                "address"
            )

    def aliases(self) -> dict[str, str]:
        """Alias -> name of a model."""
        return dict(pair.split("=", 1) for pair in self.model_aliases)


def origin(text: str) -> str:
    """`text` as browsers write an origin: lower case, without a default port.

    Raises:
        ValueError: it is no origin, such as `*`, `null` or one with a path.
    """
    parts = urlsplit(text.strip().lower())
    if not parts.scheme or not parts.hostname or parts.username is not None or any(parts[2:]):
        raise ValueError("not scheme://host or scheme://host:port")
    if not text.isascii() or "*" in text or any(character.isspace() for character in text.strip()):
        raise ValueError("names are written as browsers send them, without wildcards")
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[host]:port` as its two parts.

    Raises:
        SettingsError: the port is missing.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        raise SettingsError(f"{address!r} is not a valid address; write host:port")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether `address` can be reached from this machine only. Names other than localhost are assumed to be public."""
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def among(name: str, value: str, known: tuple[str, ...]) -> None:
    """Check that `value` is one of `known`. Raises SettingsError naming the variable."""
    if value not in known:
        raise SettingsError(f"{name}={value!r} is unknown; use {' or '.join(known)}")
