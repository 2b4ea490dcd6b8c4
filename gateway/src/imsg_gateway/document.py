"""GET /openapi.json: the merged document, in English or Chinese."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from pydantic_core import to_json
from starlette.responses import Response

from imsg_gateway import openapi_examples, openapi_language
from imsg_gateway.authentication import Credential
from imsg_gateway.openapi import describe, merge
from imsg_gateway.reader_page import read_language
from imsg_gateway.relay import Owner, Relayed
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes import Route
from imsg_gateway.schema_references import Json
from imsg_web.responses import JSON, prefers_chinese
from imsg_web.service_client import Peer, ServiceFailed, ServiceUnavailable

KEPT_S = 60.0
"""How long a merged document serves: owners change only when they are deployed."""


class Document:
    """Answers the document. Kept as bytes, one for each language: a tenth of what the objects would take."""

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
        self._kept: Mapping[str, bytes] | None = None
        self._kept_until = 0.0

    async def json(self, asked: ClientRequest, credential: Credential | None) -> Response:
        """Answer GET /openapi.json: in English, unless `lang` or Accept-Language asks for Chinese.

        Raises Refusal wrong_type; ServiceUnavailable where an owner's part is not to be had and none is kept.
        """
        del credential
        language = read_language(asked) or ("zh" if prefers_chinese(asked.language) else "en")
        if self._kept is None or self._now() >= self._kept_until:
            try:
                self._kept = await self._merge()
            except ServiceUnavailable:
                if self._kept is None:
                    raise
            self._kept_until = self._now() + KEPT_S
        return Response(self._kept[language], media_type=JSON)

    async def _merge(self) -> Mapping[str, bytes]:
        names = sorted(self._owners)
        documents = await asyncio.gather(*(_of(self._owners[name]) for name in names))
        owned = dict(zip(names, documents, strict=True))
        # Tens of milliseconds of work: not on the loop.
        return await asyncio.to_thread(self._encode, owned)

    def _encode(self, owned: Mapping[Owner, Json]) -> Mapping[str, bytes]:
        english = openapi_examples.add(merge(describe(self._own), owned, self._relayed, self._server))
        chinese = openapi_language.translate(english, openapi_language.catalogue())
        return {"en": to_json(english), "zh": to_json(chinese)}


async def _of(peer: Peer) -> Json:
    answer = await peer.call("GET", "/openapi.json")
    if answer.status_code != 200:  # noqa: PLR2004  HTTP's own number
        raise ServiceFailed(f"an owner answered {answer.status_code} to /openapi.json")
    document: Json = answer.json()
    return document
