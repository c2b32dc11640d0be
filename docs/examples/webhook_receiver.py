"""Ask for a picture, and hear by webhook when it is there: signatures checked, repetitions passed over.

    pip install standardwebhooks
    python docs/examples/webhook_receiver.py "a red star on a green background" --hook http://127.0.0.1:8443/hook

`--hook` is this program's own URL as the mesh sees it. The mesh tells public hosts alone; for one on the same machine
allow it: CN_GATEWAY_WEBHOOK_ALLOW=127.0.0.1:8443 make up
"""

import argparse
import json
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

from standardwebhooks import Webhook, WebhookVerificationError

API = "/controlmesh/v1"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt")
    parser.add_argument("--server", default="http://127.0.0.1:8080", help="the mesh")
    parser.add_argument("--key", default="", help="API key, if the deployment requires one")
    parser.add_argument("--hook", required=True, help="URL that the mesh tells; its port is listened on")
    return parser.parse_args()


def ask(asked: argparse.Namespace, path: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that the mesh answers."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {asked.key}"} if asked.key else {})
    content = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(asked.server + API + path, content, headers)) as answer:
        return json.load(answer)


class Receiver(HTTPServer):
    """Hears webhooks that are signed with `secret`."""

    def __init__(self, port: int, secret: str) -> None:
        super().__init__(("127.0.0.1", port), Hook)
        self.webhook = Webhook(secret)
        self.seen: set[str] = set()
        self.events: list[dict[str, Any]] = []


class Hook(BaseHTTPRequestHandler):
    """One message: 204 when it is taken, 400 when its signature is wrong or it is older than five minutes."""

    server: Receiver

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            # The bytes as they came: JSON that was read and written again has another signature.
            event = self.server.webhook.verify(content, dict(self.headers))
        except WebhookVerificationError as error:
            self.send_error(400, str(error))
            return
        # A message that was sent again has the same id.
        if self.headers["webhook-id"] not in self.server.seen:
            self.server.seen.add(self.headers["webhook-id"])
            self.server.events.append(event)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *values: Any) -> None:
        print(f"heard: {format % values}", file=sys.stderr)


def main() -> None:
    asked = arguments()
    receiver = Receiver(urlsplit(asked.hook).port or 80, ask(asked, "/webhook-secret")["secret"])
    # The port is bound by now, so nothing that comes early is missed.
    id = ask(asked, "/generations?wait=0", {"prompt": asked.prompt, "steps": 4, "webhook": asked.hook})["id"]
    while not receiver.events:
        receiver.handle_request()
    (event,) = receiver.events
    assert event["data"]["id"] == id
    print(event["type"])
    for image in event["data"]["images"]:
        print(image["url"])


if __name__ == "__main__":
    main()
