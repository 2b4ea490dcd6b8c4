"""GET /openapi.json and /docs: the merged document, and a page of our own that shows it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files

from starlette.responses import Response

from imsg_gateway.authentication import Claim
from imsg_gateway.openapi import describe, merge
from imsg_gateway.relay import Owner, Relayed
from imsg_gateway.request import Asked
from imsg_gateway.routes import Route
from imsg_gateway.schema_references import Json
from imsg_runtime.responses import Answer
from imsg_runtime.service_client import Peer, ServiceFailed, ServiceUnavailable

KEPT_S = 60.0
"""How long a merged document serves: owners change only when they are deployed."""


class Document:
    """Answers the document and its page."""

    def __init__(
        self,
        own: Sequence[Route],
        owners: Mapping[Owner, Peer],
        relayed: Sequence[Relayed],
        server: str,
        now: Callable[[], float],
    ) -> None:
        self._own = own
        self._owners = owners
        self._relayed = relayed
        self._server = server
        self._now = now
        self._kept: Json | None = None
        self._kept_until = 0.0
        self._page = files("imsg_gateway").joinpath("docs.html").read_bytes()

    async def json(self, asked: Asked, claim: Claim | None) -> Response:
        """Answer GET /openapi.json.

        Raises ServiceUnavailable where an owner's part is not to be had and none is kept.
        """
        del asked, claim
        if self._kept is None or self._now() >= self._kept_until:
            try:
                self._kept = await self._merge()
            except ServiceUnavailable:
                if self._kept is None:
                    raise
            self._kept_until = self._now() + KEPT_S
        return Answer(self._kept)

    async def page(self, asked: Asked, claim: Claim | None) -> Response:
        """Answer GET /docs: a page of our own that needs nothing from anywhere else."""
        del asked, claim
        headers = {"content-security-policy": "default-src 'self' 'unsafe-inline'", "x-frame-options": "DENY"}
        return Response(self._page, headers=headers, media_type="text/html; charset=utf-8")

    async def _merge(self) -> Json:
        names = sorted(self._owners)
        documents = await asyncio.gather(*(_of(self._owners[name]) for name in names))
        return merge(describe(self._own), dict(zip(names, documents, strict=True)), self._relayed, self._server)


async def _of(peer: Peer) -> Json:
    answer = await peer.call("GET", "/openapi.json")
    if answer.status_code != 200:  # noqa: PLR2004  HTTP's own number
        raise ServiceFailed(f"an owner answered {answer.status_code} to /openapi.json")
    document: Json = answer.json()
    return document
