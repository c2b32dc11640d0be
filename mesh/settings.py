"""Settings: one frozen dataclass per process, read once from the environment in its `__main__`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("json", "console")


class SettingsError(Exception):
    """A variable has an invalid value, or a required one is missing."""


def setting(default: Any, doc: str, env: str | None = None) -> Any:
    """Declare a field of a settings dataclass.

    Args:
        default: value when the variable is unset; its unit belongs in `doc`.
        doc: one line for `--help` and the table of settings.
        env: name of the variable, if it is not the class's PREFIX + the field's name in capitals.
    """
    return dataclasses.field(default=default, metadata={"doc": doc, "env": env})


def variable(cls: type, field: "dataclasses.Field[Any]") -> str:
    """Name of the environment variable that sets `field` of `cls`."""
    prefix: str = getattr(cls, "PREFIX", "CN_")
    return field.metadata.get("env") or prefix + field.name.upper()


def read(cls: type[T], environ: Mapping[str, str]) -> T:
    """Build `cls` from `environ`.

    The value of every variable NAME may also be read from the file that NAME_FILE names (for mounted secrets). Lists
    are comma-separated, mappings are `key=value` pairs separated by commas, booleans are true/false/1/0.

    Raises:
        SettingsError: names the variable, its value and what is expected.
    """
    given: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = variable(cls, field)
        text = environ.get(name)
        if (path := environ.get(name + "_FILE")) is not None:
            try:
                text = Path(path).read_text().strip()
            except OSError as error:
                raise SettingsError(f"{name}_FILE={path!r} can't be read: {error.strerror}") from None
        if text is None:
            continue
        given[field.name] = _convert(name, text, field.type)
    return cls(**given)


def _convert(name: str, text: str, kind: Any) -> Any:
    raw: Any = text
    origin = getattr(kind, "__origin__", None)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if origin in (tuple, list):
        raw = parts
    elif origin in (dict, Mapping):
        if any("=" not in part for part in parts):
            raise SettingsError(f"{name}={text!r} is not a list of key=value pairs separated by commas")
        raw = dict(part.split("=", 1) for part in parts)
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{name}={text!r} is invalid: {error}") from None


def table(*classes: type) -> str:
    """Markdown table of every variable of `classes`: name, default, meaning."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for cls in classes:
        for field in dataclasses.fields(cls):
            default = field.default if field.default not in ("", (), None) else "(unset)"
            rows.append(f"| `{variable(cls, field)}` | `{default}` | {field.metadata['doc']} |")
    return "\n".join(dict.fromkeys(rows))


@dataclasses.dataclass(frozen=True)
class Common:
    """Settings that every process of the mesh has."""

    PREFIX = "CN_"

    log_level: str = setting("info", "Lowest severity that is logged: debug, info, warning, error.", env="CN_LOG_LEVEL")
    log_format: str = setting("json", "`json` for machines, `console` for people.", env="CN_LOG_FORMAT")
    otlp_endpoint: str = setting(
        "", "OTLP gRPC endpoint for traces, such as http://collector:4317; unset: traces are not sent.",
        env="CN_OTLP_ENDPOINT",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Raises SettingsError for an unknown log level or format."""
        for name, value, known in (
            ("CN_LOG_LEVEL", self.log_level, LOG_LEVELS),
            ("CN_LOG_FORMAT", self.log_format, LOG_FORMATS),
        ):
            if value not in known:
                raise SettingsError(f"{name}={value!r} is invalid; use {', '.join(known)}")
