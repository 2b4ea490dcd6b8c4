"""GET /openapi.json: the gateway's own part and the owners', merged once in a while, in English and Chinese."""

import asyncio
from collections.abc import Callable, Mapping

from fastapi import FastAPI
from pydantic_core import to_json
from starlette.responses import Response

from imsg_gateway.authorization import find_rights
from imsg_gateway.openapi import examples, language
from imsg_gateway.openapi.merge import merge
from imsg_gateway.openapi.references import Json
from imsg_gateway.relay import Owner
from imsg_web.responses import JSON
from imsg_web.service_client import Peer, ServiceFailed, ServiceUnavailable

OK = 200

OPTIONAL: frozenset[Owner] = frozenset({"wechat"})
"""The owners that an installation may do without: sender-wechat runs only where WeChat is used."""

KEPT_S = 60.0
"""How long a merged document is kept: owners change only when they are deployed."""


class Document:
    """Makes the document, and keeps it as bytes, one for each language: a tenth of what the objects would take."""

    def __init__(self, owners: Mapping[Owner, Peer], server: str, now: Callable[[], float]) -> None:
        self._owners = owners
        self._server = server
        self._now = now
        self._kept: Mapping[str, bytes] | None = None
        self._kept_until = 0.0

    async def show(self, app: FastAPI, name: str) -> Response:
        """Return the document in the language of a name, `en` or `zh`.

        Raises ServiceUnavailable where an owner's part can't be had and no document is kept.
        """
        if self._kept is None or self._now() >= self._kept_until:
            try:
                self._kept = await self._make(app)
            except ServiceUnavailable:
                if self._kept is None:
                    raise
            self._kept_until = self._now() + KEPT_S
        return Response(self._kept[name], media_type=JSON)

    async def _make(self, app: FastAPI) -> Mapping[str, bytes]:
        names = sorted(self._owners)
        documents = await asyncio.gather(*(self._read(name) for name in names))
        owned = dict(zip(names, documents, strict=True))
        # Tens of milliseconds of work: not on the loop.
        return await asyncio.to_thread(self._encode, app, owned)

    def _encode(self, app: FastAPI, owned: Mapping[Owner, Json]) -> Mapping[str, bytes]:
        english = examples.add(merge(app.openapi(), owned, self._server, find_rights(app)))
        chinese = language.translate(english, language.catalogue())
        return {"en": to_json(english), "zh": to_json(chinese)}

    async def _read(self, name: Owner) -> Json:
        """Read an owner's document; one of an optional owner is empty while it is away. Raises ServiceUnavailable."""
        try:
            answer = await self._owners[name].call("GET", "/openapi.json")
        except ServiceUnavailable:
            if name not in OPTIONAL:
                raise
            return {"paths": {}}
        if answer.status_code != OK:
            raise ServiceFailed(f"{name} answered {answer.status_code} to /openapi.json")
        document: Json = answer.json()
        return document
