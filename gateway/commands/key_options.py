"""Command-line syntax of the per-key options of the dialects."""

from collections.abc import Iterable, Mapping

from gateway.dialects.table import KEY_OPTIONS
from gateway.keys.keys import Options
from mesh.errors import InvalidInput

_VALUES: Mapping[str, bool | None] = {"yes": True, "no": False, "default": None}


def help_text() -> str:
    """All options and their meanings, for --help."""
    return "; ".join(
        f"{dialect}.{name}=yes: {meaning}" for dialect, own in KEY_OPTIONS.items() for name, meaning in own.items()
    )


def read(texts: Iterable[str]) -> Mapping[str, Mapping[str, bool | None]]:
    """Parse options written as `dialect.name=yes`; `=default` becomes None: the deployment's setting.

    Raises:
        InvalidInput: an unknown option; the message lists the known ones.
    """
    given: dict[str, dict[str, bool | None]] = {}
    for text in texts:
        path, _, value = text.partition("=")
        dialect, _, name = path.partition(".")
        if name not in KEY_OPTIONS.get(dialect, {}) or value not in _VALUES:
            known = ", ".join(f"{dialect}.{name}" for dialect, own in KEY_OPTIONS.items() for name in own)
            raise InvalidInput(
                f"option {text[:80]!r} is unknown; write NAME=yes, no or default, with NAME of: {known}", field="option"
            )
        given.setdefault(dialect, {})[name] = _VALUES[value]
    return given


def spelled(options: Options) -> str:
    """Options in the syntax that `read` parses, separated by blanks."""
    return ",".join(
        f"{dialect}.{name}={'yes' if value else 'no'}"
        for dialect, own in sorted(options.items())
        for name, value in sorted(own.items())
    )
