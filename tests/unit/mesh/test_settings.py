from dataclasses import dataclass
from pathlib import Path

import pytest

from mesh.command import settings_of
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
        ("CN_LOG_LEVEL", "loud"),
        ("CN_LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read(Example, {name: value})


def test_the_table_shows_every_variable() -> None:
    text = table(Example)
    assert "| `CN_EXAMPLE_STEPS` | `20` | Steps. |" in text
    assert "`CN_LOG_LEVEL`" in text


def test_help_names_every_variable_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        settings_of(Example, "Does things.", ["--help"], {})
    text = capsys.readouterr().out
    assert not ended.value.code
    assert text.startswith("Does things.")
    assert "CN_EXAMPLE_STEPS (20)\n      Steps." in text


@pytest.mark.parametrize(("arguments", "environ"), [(["--port", "1"], {}), ([], {"CN_EXAMPLE_STEPS": "many"})])
def test_a_wrong_start_is_one_line(arguments: list[str], environ: dict[str, str]) -> None:
    with pytest.raises(SystemExit) as ended:
        settings_of(Example, "Does things.", arguments, environ)
    assert isinstance(ended.value.code, str)
    assert "\n" not in ended.value.code
