"""HEAD: answered as GET of the same path, without the content (RFC 9110, section 9.3.2)."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


def as_get(scope: Scope) -> Scope:
    """`scope` of the GET that a HEAD asks about."""
    return {**scope, "method": "GET"}


async def without_content(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run `app`, whose `scope` is a GET's, and send the head of its answer as soon as it is known.

    Work on an answer that comes in pieces, such as events, ends with the first one.
    """
    in_pieces = asyncio.Event()

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})
        elif message.get("more_body"):
            in_pieces.set()

    async def work() -> None:
        await app(scope, receive, answer)

    working, waiting = asyncio.create_task(work()), asyncio.create_task(in_pieces.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        working.cancel()
        waiting.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)
