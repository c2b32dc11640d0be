"""The model server's own HTTP face: /healthz, /readyz and /metrics."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from model_server.watch import Watch


def admin_app(watch: Watch) -> web.Application:
    """Routes that answer from what `watch` last found; none of them starts an inference."""

    async def healthz(request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(request: web.Request) -> web.Response:
        body = {"ready": watch.ready, "models": list(watch.models), "failing": watch.failing}
        return web.json_response(body, status=200 if watch.ready else 503)

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app


async def serve_admin(watch: Watch, host: str, port: int) -> web.AppRunner:
    """Listen; `cleanup()` of the result ends it. Raises OSError if the port is taken."""
    runner = web.AppRunner(admin_app(watch), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
