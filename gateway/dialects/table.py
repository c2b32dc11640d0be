"""The table of dialects. To add one: write its package and add its line here."""

from collections.abc import Mapping

from gateway.bootstrap import Voice
from gateway.dialects.common.entry import Entry
from gateway.dialects.enterprise import entry as enterprise
from gateway.dialects.huggingface import entry as huggingface
from gateway.dialects.native import entry as native
from gateway.dialects.scenario import entry as scenario

DIALECTS: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        native.ENTRY,
        huggingface.ENTRY,
        enterprise.ENTRY,
        scenario.ENTRY,
    )
}
"""Name -> entry, in the order of the documentation."""

VOICES: Mapping[str, Voice] = {name: entry.voice for name, entry in DIALECTS.items() if entry.voice is not None}
"""Dialect -> its webhooks. The others use the native announcements."""

KEY_OPTIONS: Mapping[str, Mapping[str, str]] = {
    name: entry.key_options for name, entry in DIALECTS.items() if entry.key_options
}
"""Dialect -> option of a key -> meaning of yes."""

SETTINGS: Mapping[str, type] = {name: entry.settings for name, entry in DIALECTS.items() if entry.settings is not None}
"""Dialect -> the dataclass of its settings."""
