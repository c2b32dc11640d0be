"""Settings of the gateway."""

import ipaddress
from dataclasses import dataclass

from mesh.server import ServerSettings
from mesh.settings import SettingsError, setting

UNKNOWN_MODEL = ("error", "default")
ASSET_URLS = ("open", "signed", "store")
SHORTEST_SECRET = 16


@dataclass(frozen=True)
class GatewaySettings(ServerSettings):
    """What the gateway takes from the environment."""

    PREFIX = "CN_GATEWAY_"

    address: str = setting("127.0.0.1:8081", "host:port of the HTTP server, behind Envoy's edge.")
    grpc_address: str = setting("127.0.0.1:50050", "host:port of the gateway's own gRPC face.")
    public_address: str = setting("127.0.0.1:8080", "host:port of the edge that clients use.")
    public_url: str = setting("", "Start of the URLs in answers; unset: the address that the client used.")
    mesh_address: str = setting("127.0.0.1:8090", "host:port of Envoy's listener for the three services.")
    api_keys: tuple[str, ...] = setting(
        (),
        "Keys of the clients beside those in the database, with every scope; where there is no key at all, none is "
        "asked for, on loopback only.",
    )
    limits_url: str = setting(
        "",
        "Where requests a minute are counted for all gateways together, as a storage of the package limits "
        "(redis://host:6379); unset: each process counts its own.",
    )
    proxies: tuple[str, ...] = setting(
        ("127.0.0.1", "::1"), "Addresses and networks of the proxy in front, whose word on the client's address counts."
    )
    default_model: str = setting("", "Model taken when a request names none; unset: the first loaded one by name.")
    model_aliases: tuple[str, ...] = setting((), "Other names for loaded models, as a list of name=model.")
    unknown_model: str = setting("error", "What an unknown model means to the vendors' dialects: `error` or `default`.")
    restartable: bool = setting(
        False, "Whether an administrator's request may end this process, for a supervisor to start it anew."
    )
    export_command: str = setting(
        "", "Command that exports models, such as `python -m export`; unset: models can't be loaded or deleted here."
    )
    export_timeout_s: float = setting(3600.0, "Seconds that one export may take.")
    load_timeout_s: float = setting(300.0, "Seconds in which every room must offer a model that was exported.")
    model_repository: str = setting("model_repository", "Folder that exported models go to, as the command sees it.")
    model_sources: tuple[str, ...] = setting((), "Folders that models may be loaded from, beside a hub.")
    protected_models: tuple[str, ...] = setting((), "Models that nobody may replace or delete.")
    storage_url: str = setting(
        "", "Where files are kept: file:///path or s3://bucket/prefix; unset: a folder that ends with the process."
    )
    storage_endpoint: str = setting("", "URL of the S3 server of `s3://`; unset: Amazon's.")
    storage_region: str = setting("", "Region of the bucket; unset: us-east-1.")
    storage_access_key: str = setting("", "Access key of the bucket; unset: the machine's own identity at its cloud.")
    storage_secret_key: str = setting("", "Secret key that belongs to it.")
    storage_allow_http: bool = setting(False, "Whether the S3 server may be asked without TLS.")
    storage_allow: tuple[str, ...] = setting(
        (), "host:port list of private addresses where clients' own storages may be; host:* is any port."
    )
    asset_urls: str = setting(
        "open",
        "How results are read: `open` by whoever knows the unguessable name, `signed` through links that end, "
        "`store` by name, from S3 itself.",
    )
    secret: str = setting(
        "", "Encrypts the secrets of others, such as keys of clients' own storages; unset: none are kept, on disk."
    )
    database_url: str = setting(
        "",
        "Where records are kept: sqlite:////path on one machine, postgresql://user:password@host/name for several; "
        "unset: in a temporary file, gone with the process.",
    )
    retention_s: float = setting(86_400.0, "Seconds that results and records are kept.")
    max_records: int | None = setting(
        None, "Deprecated: no effect any more; records are kept CN_GATEWAY_RETENTION_S seconds."
    )
    max_pictures: int = setting(16, "Pictures made at the same time in this process at most; at least 4.")
    max_waiting: int = setting(64, "Generations that may wait for their turn at most.")
    deadline_s: float = setting(280.0, "Seconds that a generation may run.")
    max_body_bytes: int = setting(24 * 1024 * 1024, "Largest request body in bytes.")
    fetch_allow: tuple[str, ...] = setting(
        (), "host:port list of private addresses that picture URLs may name; host:* is any port."
    )
    webhook_allow: tuple[str, ...] = setting(
        (), "host:port list of private addresses that webhooks may be sent to; host:* is any port."
    )
    fetch_timeout_s: float = setting(10.0, "Seconds in which a picture named by a URL must have arrived.")

    def __post_init__(self) -> None:
        """Check what one variable alone can't show.

        Raises:
            SettingsError: naming the variable and what to change.
        """
        super().__post_init__()
        for pair in self.model_aliases:
            if "=" not in pair:
                raise SettingsError(f"CN_GATEWAY_MODEL_ALIASES has {pair!r}, which is not name=model")
        among("CN_GATEWAY_UNKNOWN_MODEL", self.unknown_model, UNKNOWN_MODEL)
        among("CN_GATEWAY_ASSET_URLS", self.asset_urls, ASSET_URLS)
        if self.secret and len(self.secret) < SHORTEST_SECRET:
            raise SettingsError(f"CN_GATEWAY_SECRET has fewer than {SHORTEST_SECRET} characters")
        if bool(self.storage_access_key) != bool(self.storage_secret_key):
            raise SettingsError("of CN_GATEWAY_STORAGE_ACCESS_KEY and CN_GATEWAY_STORAGE_SECRET_KEY one is missing")
        if self.max_pictures < 4:
            raise SettingsError(f"CN_GATEWAY_MAX_PICTURES={self.max_pictures} is below 4, the most of one request")
        # Whether there are keys in the database is known once it is open.
        if not self.api_keys and not self.database_url:
            self.refuse_strangers()

    def reachable(self) -> dict[str, str]:
        """The addresses that other machines can reach, by variable."""
        addresses = {"ADDRESS": self.address, "PUBLIC_ADDRESS": self.public_address, "GRPC_ADDRESS": self.grpc_address}
        return {f"CN_GATEWAY_{name}": address for name, address in addresses.items() if not is_loopback(address)}

    def refuse_strangers(self) -> None:
        """Where there is no key, only this machine may reach the gateway.

        Raises:
            SettingsError: naming the address that others can reach.
        """
        for name, address in self.reachable().items():
            raise SettingsError(
                f"{name}={address} can be reached from other machines and there are no keys; set CN_GATEWAY_API_KEYS "
                "(or CN_GATEWAY_API_KEYS_FILE), make one with `python -m gateway keys create`, or use a loopback "
                "address"
            )

    def aliases(self) -> dict[str, str]:
        """Other name -> name of a loaded model."""
        return dict(pair.split("=", 1) for pair in self.model_aliases)


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[host]:port` as its two parts.

    Raises:
        SettingsError: there is no port.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        raise SettingsError(f"{address!r} is no address; write host:port")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether `address` can be reached from this machine alone. A name other than localhost is taken to be public."""
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def among(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise SettingsError, naming the variable, for a value that is none of those that are known."""
    if value not in known:
        raise SettingsError(f"{name}={value!r} is unknown; use {' or '.join(known)}")
