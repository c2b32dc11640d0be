"""The gateway's settings, and its refusal to serve strangers without keys."""

import pytest

from gateway.settings import GatewaySettings, is_loopback, split_address
from mesh.settings import SettingsError, read


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:80", True),
        ("127.9.9.9:80", True),
        ("localhost:80", True),
        ("[::1]:80", True),
        ("0.0.0.0:80", False),
        ("[::]:80", False),
        ("10.0.0.1:80", False),
        ("example.org:80", False),
        ("localhost.example.org:80", False),
    ],
)
def test_loopback(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


@pytest.mark.parametrize("address", ["", "8080", "host:", "host:x", "host:８０"])
def test_an_address_needs_a_port(address: str) -> None:
    with pytest.raises(SettingsError):
        split_address(address)


@pytest.mark.parametrize("name", ["CN_GATEWAY_ADDRESS", "CN_GATEWAY_PUBLIC_ADDRESS", "CN_GATEWAY_GRPC_ADDRESS"])
def test_strangers_are_not_served_without_keys(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}=0.0.0.0:80 .*CN_GATEWAY_API_KEYS"):
        read(GatewaySettings, {name: "0.0.0.0:80"})
    assert read(GatewaySettings, {name: "0.0.0.0:80", "CN_GATEWAY_API_KEYS": "a, b"}).api_keys == ("a", "b")


def test_keys_come_from_a_file_too(tmp_path: object) -> None:
    path = f"{tmp_path}/keys"
    with open(path, "w") as file:
        file.write("one,two\n")
    settings = read(GatewaySettings, {"CN_GATEWAY_API_KEYS_FILE": path, "CN_GATEWAY_ADDRESS": "0.0.0.0:80"})
    assert settings.api_keys == ("one", "two")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CN_GATEWAY_UNKNOWN_MODEL", "guess"),
        ("CN_GATEWAY_MODEL_ALIASES", "midjourney"),
        ("CN_GATEWAY_MAX_PICTURES", "3"),
    ],
)
def test_settings_that_can_not_be_are_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read(GatewaySettings, {name: value})


def test_aliases() -> None:
    assert read(GatewaySettings, {"CN_GATEWAY_MODEL_ALIASES": "a=b, c=d"}).aliases() == {"a": "b", "c": "d"}
