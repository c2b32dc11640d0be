"""The endpoints that owners set up: URLs that hear of all their jobs."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pybase64
from sqlalchemy import Connection, Dialect

from gateway.database.connection import Database
from gateway.database.secrets import shared_key
from gateway.database.tables import Moment
from gateway.egress.hosts import Egress
from gateway.webhooks import endpoint_records as records
from gateway.webhooks import records as webhook_records
from gateway.webhooks.announcement import ALL_EVENTS
from gateway.webhooks.endpoint_records import Endpoint
from gateway.webhooks.records import Delivery
from mesh.errors import InvalidInput

_EVENT = re.compile(r"[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*")
_LONGEST_EVENT = 64
MOST_EVENTS = 50
LONGEST_DESCRIPTION = 1000
_SECRET_BYTES = 32


def endpoint_secret(content: bytes) -> str:
    """A secret in the form of Standard Webhooks."""
    return f"whsec_{pybase64.b64encode_as_string(content)}"


def owners_secret(connection: Connection, owner: str) -> str:
    """What signs the webhooks of an owner's requests: made of the deployment's key, so that it is always the same."""
    key = shared_key(connection, "webhooks")
    return endpoint_secret(hmac.new(key, owner.encode(), hashlib.sha256).digest())


class Endpoints:
    """Makes, shows, changes and deletes them. Another owner's endpoint is as unknown as one that never was.

    Args:
        database: of the records.
        egress: which hosts may be told.
        now: the moment, as the database is asked for it.
    """

    def __init__(self, database: Database, egress: Egress, now: Callable[[Dialect], Moment]) -> None:
        self._database = database
        self._egress = egress
        self._of_database = now

    def check(self, url: object, field: str) -> str:
        """`url`, if something might be delivered there.

        Raises:
            InvalidInput: nothing ever will: no URL, another scheme or port, user information, a private address.
        """
        if not isinstance(url, str):
            raise InvalidInput(f"{field} must be an http or https URL", field=field)
        return self._egress.check(url, field)

    async def create(
        self,
        owner: str,
        url: object,
        events: object = (ALL_EVENTS,),
        description: object = "",
        *,
        dialect: str = "native",
        fields: tuple[str, str, str] = ("url", "events", "description"),
    ) -> Endpoint:
        """A new endpoint; its secret is in the answer.

        Args:
            owner: who hears of its jobs there.
            url: as of `check`.
            events: names, or "*" for all.
            description: the owner's words.
            dialect: whose bodies and names of events are sent.
            fields: names of the three in errors.

        Raises:
            InvalidInput: one of the three can't be taken, or there are too many.
        """
        row = {
            "id": f"ep_{secrets.token_hex(12)}",
            "owner": owner,
            "dialect": dialect,
            "url": self.check(url, fields[0]),
            "events": _events(events, fields[1]),
            "description": _description(description, fields[2]),
            "secret": endpoint_secret(secrets.token_bytes(_SECRET_BYTES)),
        }

        def create(connection: Connection) -> Endpoint:
            return records.create(connection, self._now(connection), row)

        return await self._database.run(create)

    async def list(self, owner: str) -> tuple[Endpoint, ...]:
        """All of an owner's, the oldest first."""
        return await self._database.run(partial(records.of_owner, owner=owner))

    async def get(self, id: str, owner: str) -> Endpoint:
        """One; NotFound."""
        return await self._database.run(partial(records.get, id=id, owner=owner))

    async def update(
        self,
        id: str,
        owner: str,
        *,
        url: object = None,
        events: object = None,
        description: object = None,
        enabled: bool | None = None,
        fields: tuple[str, str, str] = ("url", "events", "description"),
    ) -> Endpoint:
        """Change what is not None, as of `create`; NotFound, InvalidInput. Enabling sends what comes from then on."""
        changes: dict[str, Any] = {}
        if url is not None:
            changes["url"] = self.check(url, fields[0])
        if events is not None:
            changes["events"] = _events(events, fields[1])
        if description is not None:
            changes["description"] = _description(description, fields[2])
        if enabled is not None:
            changes |= {"enabled": enabled, "disabled_because": None}

        def change(connection: Connection) -> Endpoint:
            return records.change(connection, self._now(connection), id, owner, changes)

        return await self._database.run(change)

    async def delete(self, id: str, owner: str) -> None:
        """Send nothing more there; NotFound."""
        await self._database.run(partial(records.remove, id=id, owner=owner))

    async def sent(
        self, id: str, owner: str, limit: int, after: str | None = None
    ) -> tuple[tuple[Delivery, ...], str | None]:
        """What was, is and will be delivered to one, the newest first, and the cursor to go on with."""
        work = partial(webhook_records.of_endpoint, endpoint_id=id, owner=owner, limit=limit, after=after)
        return await self._database.run(work)

    async def delivery(self, id: str, endpoint_id: str, owner: str) -> Delivery:
        """One of those; NotFound."""
        return await self._database.run(partial(webhook_records.get, id=id, endpoint_id=endpoint_id, owner=owner))

    def _now(self, connection: Connection) -> Moment:
        return self._of_database(connection.dialect)


def _events(events: object, field: str) -> Sequence[str]:
    wanted = list(events) if isinstance(events, list | tuple) else []
    if not 1 <= len(wanted) <= MOST_EVENTS or not all(
        isinstance(name, str) and len(name) <= _LONGEST_EVENT and (name == ALL_EVENTS or _EVENT.fullmatch(name))
        for name in wanted
    ):
        raise InvalidInput(
            f'{field} must be a list of 1 to {MOST_EVENTS} names of events such as "generation.completed", or of "*"',
            field=field,
        )
    return list(dict.fromkeys(wanted))


def _description(description: object, field: str) -> str:
    if not isinstance(description, str) or len(description) > LONGEST_DESCRIPTION or "\0" in description:
        raise InvalidInput(f"{field} must be text of at most {LONGEST_DESCRIPTION} characters", field=field)
    return description
