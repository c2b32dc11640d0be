"""A dialect's entry in the table of dialects, from which every list of dialects is derived."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.bootstrap import Gateway, Voice
from gateway.dialects.common.dialect import Dialect


@dataclass(frozen=True)
class Entry:
    """A dialect.

    Attributes:
        name: its name in paths, in the records of its jobs, and in the options of keys.
        title, about: title and description of its documentation.
        make: creates it from the gateway's parts and, if it has settings, from their values.
        words: field names that only this API uses; within the gateway they occur only in its package.
        voice: its webhooks; None: its jobs are announced like native ones.
        key_options: option that a key may set -> meaning of yes.
        settings: the dataclass of its own settings, read by `mesh.settings`; None if it has none.
        at: where it is served, for people.
        starts: what its paths begin with; paths that begin otherwise belong to none.
        paths: whole paths of its own.
    """

    name: str
    title: str
    about: str
    make: Callable[..., Dialect]
    words: frozenset[str] = frozenset()
    voice: Voice | None = None
    key_options: Mapping[str, str] = field(default_factory=dict)
    settings: type[Any] | None = None
    at: str = ""
    starts: tuple[str, ...] = ()
    paths: frozenset[str] = frozenset()

    def owns(self, path: str) -> bool:
        """Whether `path`, of a route or not, belongs to this API."""
        return path in self.paths or path.startswith(self.starts)

    def dialect(self, gateway: Gateway, settings: Mapping[str, Any]) -> Dialect:
        """Create the dialect.

        Args:
            gateway: its parts.
            settings: dialect -> its settings; a missing dialect gets the defaults.
        """
        if self.settings is None:
            return self.make(gateway)
        return self.make(gateway, settings[self.name] if self.name in settings else self.settings())
