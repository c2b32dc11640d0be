"""Looks at jobs, assets, uploads, models and webhook endpoints of the Scenario dialect; rows as in scenario_pairs."""

from tests.contract.scenario_client import ASSET, COST, ENDPOINT, ERROR, JOB, MODEL, POLLED, UPLOAD, Maybe
from tests.contract.scenario_pairs import Pair

_TOKEN = {"nextPaginationToken": Maybe(str)}

RECORD_PAIRS: dict[str, Pair] = {
    # --- jobs -------------------------------------------------------------------------------------------------------
    "a job": Pair("GET", "/v1/jobs/{job}", shape=POLLED, says={"job.jobId": "{job}", "asset.id": "{result}"}),
    "a job of a project": Pair("GET", "/v1/jobs/{job}?projectId=proj_mine", shape=POLLED),
    "an unknown job": Pair(
        "GET", "/v1/jobs/job_ocZCnG1Df35XRL1QyCZSRxAG8", status=404, shape=ERROR,
        says={"reason": "Job job_ocZCnG1Df35XRL1QyCZSRxAG8 not found"},
    ),
    "jobs": Pair(
        "GET", "/v1/jobs", shape={"jobs": [JOB], **_TOKEN}, says={"jobs.0.jobType": "inference"}, after=("job",),
    ),
    "jobs by status and type": Pair(
        "GET", "/v1/jobs?status=success&types=inference,flux&pageSize=1", shape={"jobs": [JOB], **_TOKEN},
        says={"jobs.0.status": "success", "jobs.0.jobType": "inference"}, after=("job",),
    ),
    "jobs of nobody": Pair("GET", "/v1/jobs?authorId=user_x", shape={"jobs": [JOB]}, says={"jobs": []}, after=("job",)),
    "too large a page of jobs": Pair("GET", "/v1/jobs?pageSize=1000", status=400, shape=ERROR),
    "a broken token of jobs": Pair("GET", "/v1/jobs?paginationToken=%21", status=400, shape=ERROR),
    "cancelling what has ended": Pair(
        "POST", "/v1/jobs/{job}/action", {"action": "cancel"}, shape=POLLED, says={"job.status": "success"},
    ),
    "an unknown action": Pair("POST", "/v1/jobs/{job}/action", {"action": "dance"}, 400, ERROR),
    # --- assets -----------------------------------------------------------------------------------------------------
    "an asset": Pair(
        "GET", "/v1/assets/{result}", shape={"asset": ASSET},
        says={"asset.id": "{result}", "asset.kind": "image", "asset.status": "success", "asset.privacy": "private",
              "asset.mimeType": "image/png", "asset.metadata.parentJobId": "{job}"},
    ),
    "an uploaded asset": Pair(
        "GET", "/v1/assets/{asset}", shape={"asset": ASSET},
        says={"asset.source": "uploaded", "asset.metadata.type": "uploaded"},
    ),
    "an unknown asset by its id": Pair(
        "GET", "/v1/assets/asset_nope", status=404, shape=ERROR, says={"reason": "Asset asset_nope not found"},
    ),
    "assets": Pair(
        "GET", "/v1/assets?pageSize=2&sortBy=createdAt&sortDirection=desc", shape={"assets": [ASSET], **_TOKEN},
        says={"assets.0.kind": "image"}, after=("asset", "job"),
    ),
    "uploaded assets": Pair(
        "GET", "/v1/assets?types=uploaded", shape={"assets": [ASSET], **_TOKEN}, says={"assets.0.source": "uploaded"},
        after=("asset",),
    ),
    "assets of a job": Pair(
        "GET", "/v1/assets?inferenceId={job}", shape={"assets": [ASSET], **_TOKEN}, says={"assets.0.id": "{result}"},
    ),
    "assets upwards": Pair("GET", "/v1/assets?sortDirection=asc", status=400, shape=ERROR),
    "a new asset": Pair(
        "POST", "/v1/assets", {"name": "a.png", "image": "{picture}", "hide": False, "collectionIds": []},
        shape={"asset": ASSET}, says={"asset.metadata.name": "a.png"},
    ),
    "a new asset without a name": Pair(
        "POST", "/v1/assets", {"image": "{picture}"}, 400, ERROR, {"reason": '"name" must be a string'},
    ),
    "a new asset that is none": Pair("POST", "/v1/assets", {"name": "a", "image": "aGVsbG8="}, 400, ERROR),
    "several assets": Pair(
        "POST", "/v1/assets/get-bulk", {"assetIds": ["{result}", "asset_nope", "{asset}"]}, shape={"assets": [ASSET]},
        says={"assets.0.id": "{result}", "assets.1.id": "{asset}"},
    ),
    "too many assets": Pair("POST", "/v1/assets/get-bulk", {"assetIds": ["asset_x"] * 201}, 400, ERROR),
    "deleting what is not there": Pair("DELETE", "/v1/assets", {"assetIds": ["asset_nope"]}),
    "deleting too much": Pair("DELETE", "/v1/assets", {"assetIds": ["asset_x"] * 101}, 400, ERROR),
    # --- uploads ----------------------------------------------------------------------------------------------------
    "an upload begins": Pair(
        "POST", "/v1/uploads",
        {"kind": "image", "fileName": "a.png", "fileSize": 100, "contentType": "image/png", "parts": 2},
        shape={"upload": UPLOAD, **COST},
        says={"upload.status": "pending", "upload.parts.1.number": 2, "upload.source": "multipart"},
    ),
    "an upload is completed": Pair(
        "POST", "/v1/uploads/{upload}/action", {"action": "complete"}, shape={"upload": UPLOAD},
        says={"upload.status": "imported"},
    ),
    "an upload": Pair("GET", "/v1/uploads/{upload}", shape={"upload": UPLOAD}),
    "an unknown upload": Pair(
        "GET", "/v1/uploads/upload_x", status=404, shape=ERROR, says={"reason": "Upload upload_x not found"},
    ),
    "an upload of a model": Pair(
        "POST", "/v1/uploads",
        {"kind": "model", "fileName": "a", "fileSize": 1, "contentType": "x", "parts": 1}, 501, ERROR,
    ),
    "an upload by URL": Pair("POST", "/v1/uploads", {"kind": "image", "url": "{url}"}, 501, ERROR),
    "an upload of another type": Pair(
        "POST", "/v1/uploads",
        {"kind": "image", "fileName": "a.gif", "fileSize": 1, "contentType": "image/gif", "parts": 1}, 400, ERROR,
    ),
    # --- models -----------------------------------------------------------------------------------------------------
    "models": Pair("GET", "/v1/models?pageSize=1", shape={"models": [MODEL], **_TOKEN}),
    "a model": Pair(
        "GET", "/v1/models/demo", shape={"model": MODEL},
        says={"model.id": "demo", "model.type": "sd-1_5", "model.status": "trained", "model.inputs.0.name": "prompt"},
    ),
    "an unknown model by its id": Pair(
        "GET", "/v1/models/nope", status=404, shape=ERROR, says={"reason": "Model nope not found"},
    ),
    "several models": Pair(
        "POST", "/v1/models/get-bulk", {"modelIds": ["demo", "nope"]}, shape={"models": [MODEL]},
        says={"models.0.id": "demo"},
    ),
    "several models in few words": Pair(
        "POST", "/v1/models/get-bulk", {"modelIds": ["demo"], "minimal": True},
        shape={"models": [{"id": str, "name": str, "type": str}]},
    ),
    # --- webhook endpoints ------------------------------------------------------------------------------------------
    "a webhook endpoint": Pair(
        "POST", "/v1/teams/team_x/webhook-endpoints",
        {"url": "https://example.com/hook", "enabledEvents": ["*"], "description": "all"},
        shape={"webhookEndpoint": {**ENDPOINT, "secret": str}},
        says={"webhookEndpoint.enabled": True, "webhookEndpoint.enabledEvents": ["*"],
              "webhookEndpoint.ownerId": "team_x"},
    ),
    "webhook endpoints": Pair("GET", "/v1/teams/team_x/webhook-endpoints", shape={"webhookEndpoints": [ENDPOINT]}),
    "a webhook to a private address": Pair(
        "POST", "/v1/teams/t/webhook-endpoints", {"url": "http://10.0.0.1/", "enabledEvents": ["*"]}, 400, ERROR,
    ),
    "a webhook for nothing": Pair(
        "POST", "/v1/teams/t/webhook-endpoints", {"url": "https://example.com/"}, 400, ERROR,
    ),
    "a webhook for what is no event": Pair(
        "POST", "/v1/teams/t/webhook-endpoints", {"url": "https://example.com/", "enabledEvents": ["x.y"]}, 400, ERROR,
    ),
    "an unknown webhook endpoint": Pair("DELETE", "/v1/teams/t/webhook-endpoints/ep_x", status=404, shape=ERROR),
}  # fmt: skip
