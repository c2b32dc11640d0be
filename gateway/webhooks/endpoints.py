"""Webhook endpoints: URLs that are notified of all of an owner's jobs."""

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
    """A secret in the format of Standard Webhooks: "whsec_" and base64."""
    return f"whsec_{pybase64.b64encode_as_string(content)}"


def owners_secret(connection: Connection, owner: str) -> str:
    """The secret for the webhooks of an owner's requests, derived from the deployment's key, so always the same."""
    key = shared_key(connection, "webhooks")
    return endpoint_secret(hmac.new(key, owner.encode(), hashlib.sha256).digest())


class Endpoints:
    """Creates, reads, changes and deletes endpoints. Another owner's endpoint looks like an unknown one.

    Args:
        database: of the records.
        egress: knows which hosts may be notified.
        now: SQL expression for the current time.
    """

    def __init__(self, database: Database, egress: Egress, now: Callable[[Dialect], Moment]) -> None:
        self._database = database
        self._egress = egress
        self._of_database = now

    def check(self, url: object, field: str) -> str:
        """`url`, if it is allowed as a webhook URL.

        Raises:
            InvalidInput: not a URL, another scheme or port, user information, or a private address.
        """
        return self._egress.check(_text(url, field), field)

    async def named(self, url: object, field: str) -> str:
        """`url`, if it is allowed as a webhook URL and its host can be notified now.

        Raises:
            InvalidInput: as `check`; or the name does not exist, or is one of a private address.
        """
        return await self._egress.named(_text(url, field), field)

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
        """Create an endpoint; the result includes its secret.

        Args:
            owner: whose jobs it is notified of.
            url: see `named`.
            events: event names, or "*" for all.
            description: for people to read.
            dialect: dialect of the bodies and event names.
            fields: names of `url`, `events` and `description` in errors.

        Raises:
            InvalidInput: one of the three is invalid, or the owner has too many endpoints.
        """
        row = {
            "id": f"ep_{secrets.token_hex(12)}",
            "owner": owner,
            "dialect": dialect,
            "url": await self.named(url, fields[0]),
            "events": _events(events, fields[1]),
            "description": _description(description, fields[2]),
            "secret": endpoint_secret(secrets.token_bytes(_SECRET_BYTES)),
        }

        def create(connection: Connection) -> Endpoint:
            return records.create(connection, self._now(connection), row)

        return await self._database.run(create)

    async def list(self, owner: str) -> tuple[Endpoint, ...]:
        """All endpoints of an owner, oldest first."""
        return await self._database.run(partial(records.of_owner, owner=owner))

    async def get(self, id: str, owner: str) -> Endpoint:
        """An owner's endpoint; NotFound."""
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
        """Change what is not None, see `create`; NotFound, InvalidInput. Once enabled, it gets events from then on."""
        changes: dict[str, Any] = {}
        if url is not None:
            changes["url"] = await self.named(url, fields[0])
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
        """Delete an owner's endpoint; NotFound."""
        await self._database.run(partial(records.remove, id=id, owner=owner))

    async def sent(
        self, id: str, owner: str, limit: int, after: str | None = None
    ) -> tuple[tuple[Delivery, ...], str | None]:
        """A page of an endpoint's deliveries, newest first, and the cursor of the next page."""
        work = partial(webhook_records.of_endpoint, endpoint_id=id, owner=owner, limit=limit, after=after)
        return await self._database.run(work)

    async def delivery(self, id: str, endpoint_id: str, owner: str) -> Delivery:
        """A delivery to an endpoint; NotFound."""
        return await self._database.run(partial(webhook_records.get, id=id, endpoint_id=endpoint_id, owner=owner))

    def _now(self, connection: Connection) -> Moment:
        return self._of_database(connection.dialect)


def _text(url: object, field: str) -> str:
    if not isinstance(url, str):
        raise InvalidInput(f"{field} must be an http or https URL", field=field)
    return url


def _events(events: object, field: str) -> Sequence[str]:
    wanted = list(events) if isinstance(events, list | tuple) else []
    if not 1 <= len(wanted) <= MOST_EVENTS or not all(
        isinstance(name, str) and len(name) <= _LONGEST_EVENT and (name == ALL_EVENTS or _EVENT.fullmatch(name))
        for name in wanted
    ):
        raise InvalidInput(
            f'{field} must be a list of 1 to {MOST_EVENTS} event names such as "generation.completed", or ["*"]',
            field=field,
        )
    return list(dict.fromkeys(wanted))


def _description(description: object, field: str) -> str:
    if not isinstance(description, str) or len(description) > LONGEST_DESCRIPTION or "\0" in description:
        raise InvalidInput(f"{field} must be text of at most {LONGEST_DESCRIPTION} characters", field=field)
    return description
