"""Calls from one service to another, with a service key and the user on whose behalf they are made."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from pydantic import SecretStr

from imsg_web.callers import KEY_HEADER, Apps, Caller

CALL_TIMEOUT_S = 5.0
"""How long one call may take, over ASGI too, which has no time-outs of its own."""

IDLE_S = 2.0
"""How long an idle connection is kept: shorter than a stopping service keeps its port open, so that no call is sent on
a connection that is being closed."""

DIAL_RETRIES = 1
"""How often a refused connection is tried again: a replaced service is up a moment later."""


class ServiceUnavailable(Exception):  # noqa: N818  a state of the world
    """The other service did not answer in time; whether it did the work is not known."""


class ServiceFailed(ServiceUnavailable):
    """The other service sent an unexpected response: clients get `unavailable`, operators a logged bug."""


class Peer:
    """A client of another service."""

    def __init__(self, client: httpx.AsyncClient, key: str) -> None:
        self._client = client
        self._key = key

    async def call(
        self,
        method: str,
        path: str,
        *,
        caller: Caller | None = None,
        json: Any = None,  # noqa: ANN401  any JSON
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> httpx.Response:
        """Call the service and return its response of any status. Raises ServiceUnavailable."""
        sent = {**(headers or {}), **(caller.headers() if caller else {}), KEY_HEADER: self._key}
        try:
            async with asyncio.timeout(timeout_s):
                request = self._client.build_request(
                    method, path, json=json, content=content, params=params, headers=sent, timeout=timeout_s
                )
                try:
                    return await self._client.send(request)
                except (httpx.RemoteProtocolError, httpx.ReadError):
                    # The server may just have closed a kept connection; a GET is safe to repeat.
                    if method != "GET":
                        raise
                    return await self._client.send(request)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            raise ServiceUnavailable(f"{self._client.base_url.host}: {error or type(error).__name__}") from error


@asynccontextmanager
async def connect(url: str, keys: tuple[SecretStr, ...], apps: Apps) -> AsyncIterator[Peer]:
    """Open a client to the service at `url`; over ASGI where `apps` holds its host, else over HTTP."""
    base = httpx.URL(url)
    transport: httpx.AsyncBaseTransport
    if base.host in apps:
        transport = httpx.ASGITransport(apps[base.host], raise_app_exceptions=False)
    else:
        # Given as a transport, so that no proxy of the environment is used between services.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=IDLE_S)
        transport = httpx.AsyncHTTPTransport(retries=DIAL_RETRIES, limits=limits)
    async with httpx.AsyncClient(base_url=base, transport=transport, timeout=httpx.Timeout(CALL_TIMEOUT_S)) as client:
        yield Peer(client, keys[0].get_secret_value() if keys else "")
