"""Pages of the listed origins may call every API, with and without keys; pages of others may not read an answer."""

import pytest

from gateway.settings import GatewaySettings
from mesh.settings import SettingsError
from tests.contract.conftest import Start

APP = "https://app.example"
PATHS = (
    *("/", "/predict", "/hf/any", "/controlmesh/v1/generations", "/controlmesh/v1/assets/any", "/readyz", "/docs"),
    *("/api/v1/enterprise/controlnet", "/api/v6/images/text2img", "/v1/generate/txt2img", "/v1/jobs/any"),
)
SENT = {"prompt": "x"}
ASKED = "authorization,content-type,idempotency-key,key,prefer,x-of-a-client"


@pytest.mark.parametrize("keys", [(), ("mine",)])
async def test_a_listed_origin_may_call_every_route(start: Start, keys: tuple[str, ...]) -> None:
    async with start(origins=(APP, "http://localhost:3000"), api_keys=keys) as mesh:
        for path in PATHS:
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": ASKED}
                async with mesh.http.options(path, headers={"Origin": APP, **asked}) as response:
                    assert response.status == 200
                    allowed = response.headers["Access-Control-Allow-Headers"].lower().split(",")
                    assert {name.strip() for name in allowed} >= set(ASKED.split(","))
                    assert method in response.headers["Access-Control-Allow-Methods"]
                    assert response.headers["Access-Control-Allow-Origin"] == APP
                    assert "Origin" in response.headers["Vary"]
        headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site", "Authorization": "Bearer mine"}
        async with mesh.http.post("/controlmesh/v1/generations", json=SENT, headers=headers) as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == APP
            assert "Origin" in response.headers["Vary"]
            exposed = response.headers["Access-Control-Expose-Headers"]
            assert {"Location", "Link", "Retry-After", "X-ControlMesh-Notes", "X-Request-Id"} <= set(
                exposed.split(", ")
            )
            picture = (await response.json())["images"][0]["url"]
        # A refusal can be read, too.
        async with mesh.http.post("/controlmesh/v1/generations", json={}, headers=headers) as response:
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (422, APP)
        # A picture in the page: as an image it has no Origin, and a cache must not take one for the other.
        for shown in ({"Origin": APP}, {"Sec-Fetch-Site": "cross-site", "Referer": f"{APP}/"}):
            async with mesh.http.get(picture, headers=shown) as response:
                assert response.status == 200
                assert response.headers.get("Access-Control-Allow-Origin") == shown.get("Origin")
                assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize("origins", [(), (APP,)])
@pytest.mark.parametrize("keys", [(), ("mine",)])
async def test_no_other_origin_is_allowed(start: Start, origins: tuple[str, ...], keys: tuple[str, ...]) -> None:
    others = ("https://evil.example", "null", f"{APP}.evil.example", "http://app.example", f"{APP}:8443", "*", "")
    async with start(origins=origins, api_keys=keys) as mesh:
        for path in PATHS:
            for origin in others:
                asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
                async with mesh.http.options(path, headers=asked) as response:
                    assert response.status >= 400
                    assert "Access-Control-Allow-Origin" not in response.headers
                async with mesh.http.get(path, headers={"Origin": origin}) as response:
                    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    "wrong",
    ["*", "null", "app.example", "https://*.app.example", "https://app.example/", "https://a@app.example", "//a"],
)
def test_what_is_no_origin_is_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match="CN_GATEWAY_ORIGINS"):
        GatewaySettings(origins=(wrong,))


@pytest.mark.parametrize("spelled", ["https://App.example", "https://app.example:443", "http://app.example:80"])
def test_an_origin_is_written_as_browsers_send_it(spelled: str) -> None:
    with pytest.raises(SettingsError, match=r"browsers send it as https?://app\.example$"):
        GatewaySettings(origins=(spelled,))


@pytest.mark.parametrize("right", ["https://app.example", "http://localhost:3000", "http://[::1]:3000", "app://ours"])
def test_origins_are_schemes_hosts_and_ports(right: str) -> None:
    assert GatewaySettings(origins=(right,)).origins == (right,)
