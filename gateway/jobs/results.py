"""File records of a job's results."""

from sqlalchemy import Connection, insert

from gateway.database.tables import ASSETS, now
from gateway.files.names import media_type
from gateway.files.records import GENERATED, places
from gateway.jobs.job import Job, Status


def of_job(connection: Connection, job: Job, retention_s: float) -> None:
    """Insert the file records of a job's results, in the transaction that ends it; none for one that was accepted."""
    if job.status != Status.SUCCEEDED or not job.pictures:
        return
    moment = now(connection.dialect)
    elsewhere = places(connection, [picture.asset for picture in job.pictures])
    rows = [
        {
            "id": picture.asset,
            "owner": job.owner,
            "name": "",
            "media_type": media_type(picture.asset),
            "size": picture.size,
            "stored": 0 if picture.asset in elsewhere else picture.size,
            "width": picture.width,
            "height": picture.height,
            "sha256": picture.sha256,
            "source": GENERATED,
            "job_id": job.id,
            "fingerprint": None,
            "created_at": moment,
            "expires_at": moment + retention_s,
        }
        for picture in job.pictures
    ]
    connection.execute(insert(ASSETS).values(rows))
