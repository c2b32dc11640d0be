"""Assembles webhooks: endpoints, the outbox that writes deliveries, and their attempts."""

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
    """Endpoints, outbox and deliveries over one database.

    Args:
        database: of the records.
        queue: schedules attempts; it calls `deliveries.attempt`.
        egress: knows which hosts may be notified.
        announcers: dialect -> its announcer; other dialects use the native one.
        linking: returns the Link for a job's pictures; None: names are used as they are.
        signers: dialect -> its own signature headers, if it has some.
        events: dialect -> event names, for the dialects that have endpoints.
        sender: posts the messages; None for the default one.
        timing: the schedule, the retention time and the clock.

    Attributes:
        endpoints: the owners' endpoints.
        outbox: writes deliveries.
        deliveries: attempts deliveries.
        events: see above.
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
        """Start to look for overdue deliveries."""
        self.deliveries.open()

    async def close(self) -> None:
        """Stop; pending deliveries are left to other processes, or to the next one."""
        await self.deliveries.close()

    def check(self, url: object, field: str) -> str:
        """`url`, if it is allowed as the webhook URL of a request; see Endpoints.check."""
        return self.endpoints.check(url, field)

    async def named(self, url: object, field: str) -> str:
        """`url`, if it is allowed as the webhook URL of a request and its host exists; see Endpoints.named."""
        return await self.endpoints.named(url, field)

    async def of_job(self, job_id: str) -> tuple[records.Delivery, ...]:
        """The deliveries about a job."""
        return await self._database.run(partial(records.of_job, job_id=job_id))

    async def secret_of(self, owner: str) -> str:
        """The secret that signs the webhooks of an owner's requests, as in Standard Webhooks; it never changes."""
        return await self._database.run(partial(owners_secret, owner=owner))
