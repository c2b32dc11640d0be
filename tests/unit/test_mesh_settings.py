from dataclasses import dataclass
from pathlib import Path

import pytest

from mesh.settings import Common, SettingsError, read, setting, table


@dataclass(frozen=True)
class Example(Common):
    PREFIX = "CN_EXAMPLE_"

    steps: int = setting(20, "Steps.")
    shared: bool = setting(False, "Whether memory is shared.")
    keys: tuple[str, ...] = setting((), "Keys.")
    aliases: dict[str, str] = setting(None, "Other names.")


def test_defaults_hold_without_environment() -> None:
    assert read(Example, {}) == Example()


def test_every_kind_of_value_is_read() -> None:
    environ = {
        "CN_EXAMPLE_STEPS": "7",
        "CN_EXAMPLE_SHARED": "true",
        "CN_EXAMPLE_KEYS": "a, b",
        "CN_EXAMPLE_ALIASES": "midjourney=demo,sd15=tiny",
        "CN_LOG_LEVEL": "debug",
    }
    settings = read(Example, environ)
    assert (settings.steps, settings.shared, settings.keys) == (7, True, ("a", "b"))
    assert settings.aliases == {"midjourney": "demo", "sd15": "tiny"}
    assert settings.log_level == "debug"


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "keys"
    secret.write_text("one,two\n")
    assert read(Example, {"CN_EXAMPLE_KEYS_FILE": str(secret)}).keys == ("one", "two")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CN_EXAMPLE_STEPS", "many"),
        ("CN_EXAMPLE_SHARED", "perhaps"),
        ("CN_EXAMPLE_ALIASES", "demo"),
        ("CN_EXAMPLE_KEYS_FILE", "/nowhere/at/all"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read(Example, {name: value})


def test_the_table_shows_every_variable() -> None:
    text = table(Example)
    assert "| `CN_EXAMPLE_STEPS` | `20` | Steps. |" in text
    assert "`CN_LOG_LEVEL`" in text
