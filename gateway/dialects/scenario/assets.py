"""The Scenario dialect's assets: results and uploaded pictures, by id, in lists, in bulk."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.bootstrap import Gateway
from gateway.dialects.common.dialect import base_url
from gateway.dialects.scenario import answers, lists
from gateway.dialects.scenario.fields import wrong
from gateway.dialects.scenario.job_view import told
from gateway.dialects.scenario.pictures import UPLOADED
from gateway.dialects.scenario.resource import Resource, Table
from gateway.files.records import AssetRecord
from gateway.generation.generation import Task
from gateway.generation.pictures import decode_base64
from gateway.jobs.job import Job
from mesh.errors import NotFound

MOST_LISTED = 100
LINK_S = 3600.0
"""Lifetime of an asset's URL in seconds; requesting the asset again returns a new URL."""
_UNKNOWN = "unknown"
"""Type and source of pictures whose job has expired."""


def asset_body(gateway: Gateway, request: Request, record: AssetRecord, job: Job | None) -> dict[str, Any]:
    """A picture's record in the vendor's format; `job` is the one that made it, if it has not expired."""
    kind, source, made = _origin(record, job)
    at = answers.moment(record.created_at)
    named = {"fileName": record.name, "name": record.name} if record.name else {}
    size = {"width": record.width, "height": record.height}
    return {
        "id": answers.asset_id(record.id),
        "url": gateway.assets.url(base_url(gateway, request), record.id, expires_s=LINK_S),
        "mimeType": record.media_type,
        "kind": "image",
        "status": "success",
        "privacy": "private",
        "source": source,
        "ownerId": answers.project(request, record.owner),
        "authorId": answers.author(record.owner),
        "createdAt": at,
        "updatedAt": at,
        "tags": [],
        "collectionIds": [],
        "editCapabilities": ["DETECTION"],
        "metadata": {"kind": "image", "type": kind, **named, **size, **made},
        "properties": {"size": record.size, **size},
    }


def type_of(record: AssetRecord, job: Job | None) -> str:
    """The vendor's term for the picture's origin."""
    return _origin(record, job)[0]


def _origin(record: AssetRecord, job: Job | None) -> tuple[str, str, dict[str, Any]]:
    """Type, source and details of the request behind it."""
    if not record.job_id:
        return UPLOADED, UPLOADED, {}
    if job is None:
        return _UNKNOWN, _UNKNOWN, {"parentJobId": f"job_{record.job_id}"}
    asked, said = job.generation, told(job)
    sent = said["input"]
    picture = next((one for one in job.pictures if one.asset == record.id), None)
    made: dict[str, Any] = {"parentJobId": f"job_{job.id}"}
    parents = [sent[name] for name in ("image", "imageId", "controlImage", "controlImageId") if name in sent]
    if parents and answers.ASSET_ID.fullmatch(parents[0]):
        made["parentId"] = parents[0]
    if job.task == Task.HINT:
        return said["asset_type"], said["source"], {**made, "modality": sent["modality"]}
    made |= {
        "prompt": asked.prompt,
        "negativePrompt": asked.negative_prompt,
        "modelId": said["model"],
        "guidance": asked.guidance_scale,
        "numInferenceSteps": asked.steps,
        "scheduler": asked.scheduler,
    }
    if picture is not None:
        made["seed"] = str(picture.seed)
    if asked.strength is not None:
        made["strength"] = asked.strength
    return said["asset_type"], said["source"], made


class ScenarioAssets(Resource):
    """Routes of assets."""

    def table(self) -> Table:
        return (
            ("GET", "/assets", self._list),
            ("POST", "/assets", self._create),
            ("DELETE", "/assets", self._delete),
            ("POST", "/assets/get-bulk", self._several),
            ("GET", "/assets/{id}", self._show),
        )

    async def _show(self, request: Request) -> Response:
        """An asset; its `url` works without a key for a limited time."""
        record = await self._record(request.path_params["id"], self._owner(request))
        return answers.respond({"asset": await self._body(request, record)})

    async def _create(self, request: Request) -> Response:
        """Upload a picture."""
        owner, fields = self._owner(request), await self._fields(request)
        name = fields.required("name")
        content = decode_base64(fields.required("image"), "image")
        record = await self._gateway.assets.keep(content, owner, source=UPLOADED, name=name)
        return answers.respond({"asset": await self._body(request, record)})

    async def _several(self, request: Request) -> Response:
        """Assets by id; unknown ones are left out."""
        owner, fields = self._owner(request), await self._fields(request)
        records = []
        for id in dict.fromkeys(fields.texts("assetIds")):
            try:
                records.append(await self._record(id, owner))
            except NotFound:
                continue
        return answers.respond({"assets": await self._bodies(request, records)})

    async def _delete(self, request: Request) -> Response:
        """Delete assets; unknown ones are ignored."""
        owner, fields = self._owner(request), await self._fields(request)
        found = [answers.ASSET_ID.fullmatch(id) for id in fields.texts("assetIds")]
        await self._gateway.assets.drop([match[1] for match in found if match], owner)
        return answers.respond({})

    async def _list(self, request: Request) -> Response:
        """Your assets, newest first unless the query says otherwise."""
        owner, query = self._owner(request), request.query_params
        for name, taken in (("sortBy", ("createdAt", "updatedAt")), ("sortDirection", ("desc", "asc"))):
            if query.get(name) and query[name] not in taken:
                raise wrong(name, f"one of {', '.join(taken)}", query[name])
        size, types = lists.page_size(request, MOST_LISTED), lists.words(request, "types", "type")
        # An asset never changes: its two times are equal.
        begins = [lists.after(request, name) for name in ("createdAfter", "updatedAfter")]
        ends = [lists.after(request, name) for name in ("createdBefore", "updatedBefore")]
        inference, model = query.get("inferenceId"), query.get("modelId")
        others = query.get("authorId") not in (None, "", answers.author(owner))
        if others or query.get("collectionId") or query.get("privacy") == "public" or query.get("deleted") == "true":
            return answers.respond({"assets": []})
        known: dict[str, Job | None] = {}

        async def look(limit: int, token: str | None) -> tuple[Sequence[AssetRecord], str | None]:
            page = await self._gateway.assets.page(
                owner, limit, token, oldest_first=query.get("sortDirection") == "asc"
            )
            for record in page.records:
                if record.job_id not in known:
                    known[record.job_id] = await self._maker(record)
            return page.records, page.next

        def fits(record: AssetRecord) -> bool:
            job = known[record.job_id]
            return (
                (not types or type_of(record, job) in types)
                and (not inference or inference == f"job_{record.job_id}")
                and (not model or (job is not None and told(job)["model"] == model))
                and all(begin is None or record.created_at > begin for begin in begins)
                and all(end is None or record.created_at < end for end in ends)
            )

        records, token = await lists.picked(look, fits, size, query.get("paginationToken") or None)
        body = {"assets": [asset_body(self._gateway, request, record, known[record.job_id]) for record in records]}
        return answers.respond(body | ({"nextPaginationToken": token} if token else {}))

    async def _record(self, asked: str, owner: str) -> AssetRecord:
        if found := answers.ASSET_ID.fullmatch(asked):
            try:
                return await self._gateway.assets.record(found[1], owner)
            except NotFound:
                pass
        raise NotFound(f"Asset {asked[:80]} not found")

    async def _body(self, request: Request, record: AssetRecord) -> dict[str, Any]:
        return asset_body(self._gateway, request, record, await self._maker(record))

    async def _bodies(self, request: Request, records: Sequence[AssetRecord]) -> list[dict[str, Any]]:
        jobs = {record.job_id: record for record in records}
        made = {id: await self._maker(record) for id, record in jobs.items()}
        return [asset_body(self._gateway, request, record, made[record.job_id]) for record in records]

    async def _maker(self, record: AssetRecord) -> Job | None:
        """The job that made it, if it has not expired."""
        if not record.job_id:
            return None
        try:
            return await self._gateway.jobs.get(record.job_id, record.owner)
        except NotFound:
            return None
