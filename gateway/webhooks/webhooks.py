"""Webhooks, put together: endpoints, the outbox that writes what they are told, and the deliveries of it."""

from collections.abc import Mapping, Sequence
from functools import partial

from gateway.database.connection import Database
from gateway.egress.hosts import Egress
from gateway.webhooks import records
from gateway.webhooks.announcement import Announcer, Signer
from gateway.webhooks.deliveries import Deliveries
from gateway.webhooks.endpoints import Endpoints, owners_secret
from gateway.webhooks.outbox import DeliveryOutbox, Linking
from gateway.webhooks.sender import Sender
from gateway.webhooks.timing import Timing
from gateway.workflows.port import DeliveryQueue


class Webhooks:
    """All that is known of webhooks.

    Args:
        database: of the records.
        queue: has deliveries attempted; it asks `deliveries.attempt` for it.
        egress: which hosts may be told.
        announcers: dialect -> how it tells; the native one tells for all others.
        linking: gives the Link of a job's pictures; None: names as they are.
        signers: dialect -> how it signs, if in a way of its own.
        events: dialect -> names of events, of those dialects that endpoints can be set up in.
        sender: posts; None for the usual one.
        timing: when what happens.

    Attributes:
        endpoints: that owners set up.
        outbox: writes what is to be delivered.
        deliveries: attempts them.
        events: as above.
    """

    def __init__(
        self,
        database: Database,
        queue: DeliveryQueue,
        egress: Egress,
        announcers: Mapping[str, Announcer],
        *,
        linking: Linking | None = None,
        signers: Mapping[str, Signer] | None = None,
        events: Mapping[str, Sequence[str]] | None = None,
        sender: Sender | None = None,
        timing: Timing | None = None,
    ) -> None:
        timing = timing or Timing()
        self.endpoints = Endpoints(database, egress, timing.clock.of_database)
        self.outbox = DeliveryOutbox(queue, announcers, linking, timing)
        self.deliveries = Deliveries(database, queue, sender or Sender(egress), signers or {}, timing)
        self.events = events or {}
        self._database = database

    def open(self) -> None:
        """Begin to look for what is overdue."""
        self.deliveries.open()

    async def close(self) -> None:
        """Attempt nothing more; what is pending is for other processes, or for the next one."""
        await self.deliveries.close()

    def check(self, url: object, field: str) -> str:
        """`url` of a request, if something might be delivered there; see Endpoints.check."""
        return self.endpoints.check(url, field)

    async def of_job(self, job_id: str) -> tuple[records.Delivery, ...]:
        """What was, is and will be delivered about a job."""
        return await self._database.run(partial(records.of_job, job_id=job_id))

    async def secret_of(self, owner: str) -> str:
        """What signs the webhooks of an owner's requests, in the form of Standard Webhooks; always the same."""
        return await self._database.run(partial(owners_secret, owner=owner))
