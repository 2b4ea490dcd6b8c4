"""Requests that another service answers: passed on in the user's name, and their answers passed back unread."""

from collections.abc import AsyncIterator, Mapping
from typing import Literal
from urllib.parse import quote, urlencode

import httpx
from pydantic_core import from_json, to_json
from starlette.responses import Response, StreamingResponse

from imsg_gateway.credentials import Credential
from imsg_gateway.request import ClientRequest
from imsg_web.callers import Caller
from imsg_web.responses import JSON
from imsg_web.service_client import CALL_TIMEOUT_S, Peer, ServiceFailed

Owner = Literal["auth", "history", "callbacks", "catalog", "scheduler", "wechat"]

CHANGE_TIMEOUT_S = 15.0
"""The timeout of calls that change something: a slowed log-in waits 5 s, and the result of an abandoned change is
unknown. Calls that only read have the timeout between services, since they can be repeated."""

SUCCESS, NO_CONTENT, NOT_FOUND = 200, 204, 404

WITH_BODY = ("POST", "PUT", "PATCH")

RETURNED_HEADERS = ("retry-after", "cache-control", "allow", "etag")


LINES_PAGE = 500
"""Rows that are asked for at once where a list is written in lines."""

FILE_HEADERS = ("content-type", "content-disposition", "cache-control")


class Relay:
    """Passes requests on to their owners."""

    def __init__(self, owners: Mapping[Owner, Peer]) -> None:
        self._owners = owners

    async def pass_on(
        self, owner: Owner, request: ClientRequest, credential: Credential | None, timeout_s: float | None = None
    ) -> Response:
        """Return the owner's answer to a request, at the same path under `/api`.

        `credential` is the user's, None for a log-in. Raises ServiceUnavailable.
        """
        verb = request.method
        caller = None if credential is None else await credential.authenticate()
        headers = {
            "x-imsg-address": request.address,
            "accept-language": request.language.encode("ascii", "ignore").decode(),
        }
        if credential is not None:
            headers["x-imsg-token"] = "".join(credential.text.split())
        if (if_match := request.headers.get("if-match")) is not None:
            headers["if-match"] = if_match
        content = None
        if verb in WITH_BODY or request.fields:
            content = to_json(request.fields)
            headers["content-type"] = JSON
        url = _write_path(request.path)
        if request.query:
            url += f"?{urlencode(request.query)}"
        timeout_s = timeout_s or (CALL_TIMEOUT_S if verb == "GET" else CHANGE_TIMEOUT_S)
        answer = await self._owners[owner].call(
            verb, url, caller=caller, content=content, headers=headers, timeout_s=timeout_s
        )
        if answer.status_code == NO_CONTENT:
            return Response(status_code=NO_CONTENT)
        if "json" not in answer.headers.get("content-type", ""):
            raise ServiceFailed(f"{request.path} was answered {answer.status_code} by something else than its owner")
        if answer.status_code == NOT_FOUND and from_json(answer.content).get("reason") == "no_such_url":
            raise ServiceFailed(f"{owner} has no {url}")
        headers = {name: answer.headers[name] for name in RETURNED_HEADERS if name in answer.headers}
        return Response(answer.content, answer.status_code, headers, JSON)

    async def pass_on_file(self, owner: Owner, request: ClientRequest, credential: Credential) -> Response:
        """Return a file that its owner answers in parts: no more than one part is in memory.

        Raises ServiceUnavailable; where it is raised later, the connection is cut before the file's end.
        """
        caller, url = await credential.authenticate(), _write_path(request.path)
        first = await self._get_part(owner, url, caller, 0, request)
        if first.status_code != SUCCESS:
            return Response(first.content, first.status_code, media_type=JSON)

        async def read() -> AsyncIterator[bytes]:
            yield first.content
            for n in range(1, int(first.headers["x-imsg-parts"])):
                part = await self._get_part(owner, url, caller, n, request)
                if part.status_code != SUCCESS:
                    raise ServiceFailed(f"{url} has no part {n}")
                yield part.content

        headers = {name: first.headers[name] for name in FILE_HEADERS}
        return StreamingResponse(read(), SUCCESS, headers)

    async def pass_on_lines(
        self, owner: Owner, request: ClientRequest, credential: Credential, name: str, media_type: str
    ) -> Response:
        """Return the rows of a list, of all its pages, each as JSON in a line of its own; `name` is the list's.

        Raises ServiceUnavailable; where it is raised later, the connection is cut before the end.
        """
        caller, path = await credential.authenticate(), _write_path(request.path)
        own = {key: value for key, value in request.query if key not in {"limit", "total"}}
        wanted = own | {"limit": str(LINES_PAGE)}
        language = request.language.encode("ascii", "ignore").decode()

        async def get_page(cursor: str | None) -> httpx.Response:
            query = wanted if cursor is None else wanted | {"cursor": cursor}
            url = f"{path}?{urlencode(query)}"
            return await self._owners[owner].call("GET", url, caller=caller, headers={"accept-language": language})

        first = await get_page(None)
        if first.status_code != SUCCESS:
            return Response(first.content, first.status_code, media_type=JSON)

        async def read() -> AsyncIterator[bytes]:
            page = from_json(first.content)
            while True:
                yield b"".join(to_json(row) + b"\n" for row in page[name])
                if page["next"] is None:
                    return
                answer = await get_page(page["next"])
                if answer.status_code != SUCCESS:
                    raise ServiceFailed(f"{owner} answered {answer.status_code} to a page of {path}")
                page = from_json(answer.content)

        return StreamingResponse(read(), SUCCESS, media_type=media_type)

    async def _get_part(self, owner: Owner, url: str, caller: Caller, n: int, request: ClientRequest) -> httpx.Response:
        language = request.language.encode("ascii", "ignore").decode()
        headers = {"x-imsg-part": str(n), "accept-language": language}
        return await self._owners[owner].call("GET", url, caller=caller, headers=headers)


def _write_path(path: str) -> str:
    """Return the owner's path of a public one, each name in it percent-encoded."""
    path = path.removeprefix("/api/v2/").removeprefix("/api/")
    return "/api/" + "/".join(quote(name, safe="") for name in path.split("/"))
