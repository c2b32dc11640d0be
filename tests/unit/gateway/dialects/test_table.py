"""The table of dialects, and what is made from it: settings, options of keys, voices."""

import pytest

from gateway.commands import key_options
from gateway.dialects.table import DIALECTS, KEY_OPTIONS, SETTINGS, VOICES
from gateway.settings import GatewaySettings
from mesh.command import all_settings_of
from mesh.settings import SettingsError, read

CLASSES = [GatewaySettings, *SETTINGS.values()]


def test_entries_are_told_apart_and_described() -> None:
    assert all(entry.title and entry.about for entry in DIALECTS.values())
    assert len({entry.title for entry in DIALECTS.values()}) == len(DIALECTS)


def test_an_entry_has_what_its_lists_have() -> None:
    assert {name for name, entry in DIALECTS.items() if entry.voice} == set(VOICES)
    assert {name for name, entry in DIALECTS.items() if entry.key_options} == set(KEY_OPTIONS)
    assert set(key_options.read(f"{name}.{one}=yes" for name, own in KEY_OPTIONS.items() for one in own)) == set(
        KEY_OPTIONS
    )


def test_settings_of_dialects_keep_their_variables() -> None:
    settings = read(
        SETTINGS["enterprise"],
        {
            "CN_GATEWAY_ENTERPRISE_STATUS": "strict",
            "CN_GATEWAY_ENTERPRISE_BASE64": "inline",
            "CN_GATEWAY_ENTERPRISE_HOLD_S": "1.5",
        },
    )
    assert vars(settings) == {"status": "strict", "base64": "inline", "hold_s": 1.5}
    assert vars(SETTINGS["enterprise"]()) == {"status": "legacy", "base64": "file", "hold_s": 25.0}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "CN_GATEWAY_ENTERPRISE_STATUS",
            "loud",
            "CN_GATEWAY_ENTERPRISE_STATUS='loud' is unknown; use legacy or strict",
        ),
        ("CN_GATEWAY_ENTERPRISE_BASE64", "x", "CN_GATEWAY_ENTERPRISE_BASE64='x' is unknown; use file or inline"),
        ("CN_GATEWAY_ENTERPRISE_HOLD_S", "soon", "CN_GATEWAY_ENTERPRISE_HOLD_S='soon' is "),
    ],
)
def test_a_dialect_s_setting_that_can_not_be_ends_the_process_with_one_line(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read(SETTINGS["enterprise"], {name: value})
    with pytest.raises(SystemExit) as ended:
        all_settings_of(CLASSES, "", (), {name: value})
    assert str(ended.value).startswith(words)


def test_help_lists_the_variables_of_the_gateway_and_of_its_dialects(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        all_settings_of(CLASSES, "Serve.", ["--help"], {})
    shown = capsys.readouterr().out
    assert shown.startswith("Serve.\n")
    for name in ("CN_GATEWAY_ADDRESS (127.0.0.1:8081)", "CN_GATEWAY_ENTERPRISE_HOLD_S (25.0)"):
        assert f"  {name}\n" in shown
