"""What a dialect tells of itself: one entry in its folder, from which everything that lists the dialects is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.bootstrap import Gateway, Voice
from gateway.dialects.common.dialect import Dialect


@dataclass(frozen=True)
class Entry:
    """A dialect.

    Attributes:
        name: in paths, in the records of its jobs, in the options of keys.
        title, about: of its documentation: a headline, and a sentence or two.
        make: makes it of the gateway's parts and, if it has settings, of their values.
        words: names of fields that only APIs of its kind use; in the gateway they stand in its folder alone.
        voice: how it speaks in webhooks; None: it has none of its own, its jobs are told of as the native ones are.
        key_options: what a key may choose for itself -> what yes means.
        settings: the dataclass of its own settings, read as `mesh.settings` reads it; None if it has none.
    """

    name: str
    title: str
    about: str
    make: Callable[..., Dialect]
    words: frozenset[str] = frozenset()
    voice: Voice | None = None
    key_options: Mapping[str, str] = field(default_factory=dict)
    settings: type[Any] | None = None

    def dialect(self, gateway: Gateway, settings: Mapping[str, Any]) -> Dialect:
        """The dialect over `gateway`.

        Args:
            gateway: its parts.
            settings: name of a dialect -> values of its settings; those of a dialect that is missing are the defaults.
        """
        if self.settings is None:
            return self.make(gateway)
        return self.make(gateway, settings[self.name] if self.name in settings else self.settings())
