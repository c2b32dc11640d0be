"""`python -m gateway keys`: create, list, change and revoke the API keys of clients."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, NoReturn

import typer

from gateway.commands import key_options
from gateway.database.connection import Database, open_database
from gateway.jobs.job import PRIORITIES
from gateway.keys import records as key_records
from gateway.keys.keys import ANYBODY, GENERATE, SCOPES
from gateway.keys.records import KeyRecord, NewKey
from gateway.webhooks.endpoints import owners_secret
from mesh.errors import MeshError, NotFound
from mesh.settings import SettingsError

_ABOUT = """Create, list, change and revoke the API keys of clients.

Keys are stored in the database of CN_GATEWAY_DATABASE_URL as digests: a key is shown once, when it is created. A
running gateway picks up new, changed and revoked keys within two seconds. Once a key was created, requests without a
key are refused, also on loopback.

A client sends its key as its API requires: `Authorization: Bearer KEY`, a field `key` of the body, or Basic.
"""

_OPTION = (
    "How its requests are answered, as NAME=yes, no or default (the deployment's setting); may be repeated. "
    f"{key_options.help_text()}."
)

DatabaseUrl = Callable[[], str]


def run(arguments: Sequence[str], database_url: DatabaseUrl) -> NoReturn:
    """Run a command and exit the process.

    Args:
        arguments: the arguments after `keys`.
        database_url: returns the database's URL; called only when a command needs it, so that --help works without one.
    """
    command(database_url)(list(arguments), prog_name="python -m gateway keys")
    sys.exit(0)


def command(database_url: DatabaseUrl) -> typer.Typer:
    """The commands, for the database at the URL that `database_url` returns."""
    app = typer.Typer(help=_ABOUT, no_args_is_help=True, add_completion=False, rich_markup_mode=None)

    @app.command()
    def create(
        name: Annotated[str, typer.Option(help="What the key is for, for people to read.")],
        owner: Annotated[
            str,
            typer.Option(
                help="Who holds the key. Keys of one owner see the same jobs and files; left out: an owner of its own. "
                "`anybody` owns what was made before keys were required."
            ),
        ] = "",
        scope: Annotated[
            list[str] | None,
            typer.Option(
                help=f"What the key allows: {' or '.join(SCOPES)}; may be repeated. admin includes generate, and lets "
                "the client load models, change storage and the like."
            ),
        ] = None,
        most_waiting: Annotated[
            int | None,
            typer.Option(min=0, help="Maximum number of its owner's waiting jobs; more are refused with status 429."),
        ] = None,
        per_minute: Annotated[
            int | None,
            typer.Option(min=1, help="Maximum number of its requests per minute; more are refused with status 429."),
        ] = None,
        most_priority: Annotated[
            int | None,
            typer.Option(min=PRIORITIES[0], max=PRIORITIES[-1], help="Highest priority of its owner's jobs."),
        ] = None,
        option: Annotated[list[str] | None, typer.Option(help=_OPTION)] = None,
    ) -> None:
        """Create a key and print it. It can't be shown again."""
        with _telling(), _opened(database_url()) as database:
            new = NewKey(
                name=name,
                owner=owner,
                scopes=tuple(scope or [GENERATE]),
                most_waiting=most_waiting,
                requests_per_minute=per_minute,
                most_priority=most_priority,
                options=key_records.chosen(key_options.read(option or [])),
            )
            record, key = database.run_here(lambda connection: key_records.create(connection, new))
        scopes = ", ".join(sorted(record.holder.scopes))
        typer.echo(
            f"{record.holder.key_id} for owner {record.holder.owner}, scopes {scopes}. This is the key; save it, it "
            "is not shown again:",
            err=True,
        )
        # The only line on standard output, for scripts.
        typer.echo(key)

    @app.command("list")
    def show(owner: Annotated[str, typer.Option(help="Only the keys of this owner.")] = "") -> None:
        """List the keys: ids, owners, scopes, limits, and when they were last used (to about a minute)."""
        with _telling(), _opened(database_url()) as database:
            records = database.run_here(lambda connection: key_records.listed(connection, owner))
        if not records:
            typer.echo("there are no keys; `python -m gateway keys create --name NAME` creates one", err=True)
            return
        for line in _table(records):
            typer.echo(line)

    @app.command("set")
    def change(
        id: Annotated[str, typer.Argument(help="As `list` shows it, such as k_1a2b3c4d.")],
        option: Annotated[list[str], typer.Option(help=_OPTION)],
    ) -> None:
        """Change options of a key. Its scopes, limits and other options stay as they are."""
        with _telling(), _opened(database_url()) as database:
            read = key_options.read(option)
            record = database.run_here(lambda connection: key_records.change(connection, id, read))
        told = key_options.spelled(record.holder.options) or "as the deployment"
        typer.echo(f"{record.holder.key_id} ({record.name}): {told}", err=True)

    @app.command()
    def revoke(id: Annotated[str, typer.Argument(help="As `list` shows it, such as k_1a2b3c4d.")]) -> None:
        """Revoke a key permanently. Its owner's jobs and files remain, for the owner's other keys."""
        with _telling(), _opened(database_url()) as database:
            record = database.run_here(lambda connection: key_records.revoke(connection, id))
        typer.echo(f"{record.holder.key_id} ({record.name}) is revoked", err=True)

    @app.command("webhook-secret")
    def webhook_secret(owner: Annotated[str, typer.Argument(help="As `list` shows it.")]) -> None:
        """Print the secret that signs the webhooks of an owner's requests. Its keys share the secret; it never changes.

        The owner can read it with a key: GET /controlmesh/v1/webhook-secret.
        """
        with _telling(), _opened(database_url()) as database:
            if owner != ANYBODY and not database.run_here(lambda connection: key_records.listed(connection, owner)):
                raise NotFound(f"owner {owner!r} has no keys; `python -m gateway keys list` shows the owners")
            typer.echo(database.run_here(lambda connection: owners_secret(connection, owner)))

    return app


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    if not url:
        raise SettingsError(
            "CN_GATEWAY_DATABASE_URL is not set, so there is nowhere to store keys; set it for this command and for "
            "the gateway, such as sqlite:////var/lib/controlmesh/records.db"
        )
    with open_database(url) as database:
        yield database


@contextmanager
def _telling() -> Iterator[None]:
    """Print errors as one line and exit with a failure status."""
    try:
        yield
    except (MeshError, SettingsError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


_HEAD = (
    *("id", "name", "owner", "scopes", "waiting", "per minute", "priority", "options"),
    *("made", "last used", "revoked"),
)


def _table(records: Sequence[KeyRecord]) -> Iterator[str]:
    rows = [_HEAD]
    rows += [
        (
            record.holder.key_id,
            record.name,
            record.holder.owner,
            ",".join(sorted(record.holder.scopes)),
            _bound(record.holder.most_waiting),
            _bound(record.holder.requests_per_minute),
            _bound(record.holder.most_priority),
            key_options.spelled(record.holder.options) or "-",
            _time(record.created_at),
            _time(record.last_used_at),
            _time(record.revoked_at),
        )
        for record in records
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _bound(number: int | None) -> str:
    return "-" if number is None else str(number)


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else moment.strftime("%Y-%m-%d %H:%M")
