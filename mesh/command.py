"""The command line of a process configured by its environment: `--help`, and one line for an invalid setting."""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from mesh.settings import SettingsError, read, variable

T = TypeVar("T")


DEBUG = "--debug"


def plainly(run: Callable[[Sequence[str]], object], arguments: Sequence[str]) -> None:
    """Run a command. An error that it does not expect itself is one sentence; with --debug it is a traceback.

    Args:
        run: the command; called with the arguments, without --debug.
        arguments: of the command line.
    """
    try:
        run([argument for argument in arguments if argument != DEBUG])
    except Exception as error:
        if DEBUG in arguments:
            raise
        first = (str(error).strip() or "no details").splitlines()[0]
        sys.exit(f"{type(error).__name__}: {first}\nRun it again with {DEBUG} for the traceback.")


def settings_of(cls: type[T], about: str | None, arguments: Sequence[str], environ: Mapping[str, str]) -> T:
    """As `all_settings_of`, for a process with one settings dataclass."""
    settings: T
    (settings,) = all_settings_of([cls], about, arguments, environ)
    return settings


def all_settings_of(
    classes: Sequence[type[Any]], about: str | None, arguments: Sequence[str], environ: Mapping[str, str]
) -> list[Any]:
    """Read the process's settings; exit with the help text, or with one line that says what is wrong.

    Args:
        classes: the settings dataclasses.
        about: what the process does; the `__main__`'s docstring.
        arguments: of the command line; only --help is accepted.
        environ: the environment.
    """
    if any(argument in ("-h", "--help") for argument in arguments):
        print(help_of(classes, about or ""))
        sys.exit(0)
    if arguments:
        sys.exit(
            f"unknown argument {arguments[0]!r}: this process is configured by its environment; "
            "--help lists the variables"
        )
    try:
        return [read(cls, environ) for cls in classes]
    except SettingsError as error:
        sys.exit(str(error))


def help_of(classes: Sequence[type], about: str) -> str:
    """The help text: what the process does, and every variable that it reads with its default."""
    lines = [about.strip(), "", "Configured by environment variables (NAME_FILE reads the value from a file):", ""]
    for cls in classes:
        for field in dataclasses.fields(cls):
            shown = field.default if field.default not in ("", (), None) else "unset"
            lines.append(f"  {variable(cls, field)} ({shown})")
            lines.append(f"      {field.metadata['doc']}")
    return "\n".join(lines)
