"""Makes the HTTP calls to WeChat; every call has a timeout, and every failure a code."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from imsg_delivery.provider_kinds import FORBIDDEN_ADDRESS, ProviderGroup, find_destinations
from imsg_runtime.masking import Secrets
from imsg_web.checked_transport import CheckedTransport
from imsg_web.destinations import AddressForbidden
from imsg_wechat.codes import OK, ErrorAnswer

MAX_ANSWER_BYTES = 1024 * 1024

CALLS = 32
"""Concurrent calls."""

IDLE_S = 2.0
"""Shorter than the idle time of servers: a call on a connection that the server closes has an unknown result."""


FORBIDDEN = FORBIDDEN_ADDRESS.code


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The timeouts of a call."""

    connect_s: float = 5.0
    call_s: float = 15.0
    """The whole call."""


@dataclass(frozen=True, slots=True)
class CallFailure:
    """A call without a complete answer."""

    code: str
    detail: str
    may_have_it: bool
    """Whether WeChat may have processed the call."""

    @property
    def before_sending(self) -> "CallFailure":
        """The failure of a call that precedes the sending one, such as the fetch of a token."""
        return replace(self, may_have_it=False)


Fields = Mapping[str, Any]
ApiAnswer = Fields | ErrorAnswer | CallFailure


class Transport:
    """Makes calls. URLs contain tokens, so none is logged or copied into a detail, nor what WeChat repeats of one."""

    def __init__(self, client: httpx.AsyncClient, timeouts: Timeouts, secrets: Secrets) -> None:
        self._client = client
        self._timeouts = timeouts
        self._secrets = secrets

    async def call(
        self, method: str, url: str, *, params: Mapping[str, str] | None = None, body: Fields | None = None
    ) -> ApiAnswer:
        """Make one call. The JSON is not ASCII-escaped: some of WeChat's endpoints would show the escapes."""
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        headers = {} if content is None else {"Content-Type": "application/json; charset=utf-8"}
        try:
            async with asyncio.timeout(self._timeouts.call_s):
                request = self._client.stream(method, url, params=params, content=content, headers=headers)
                async with request as response:
                    return await _read(response, self._secrets)
        except AddressForbidden as error:
            return CallFailure(FORBIDDEN, f"ENDPOINT can't be called: {error}.", may_have_it=False)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            return CallFailure("unreachable", f"WeChat can't be reached ({_name_error(error)}).", may_have_it=False)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError) as error:
            return CallFailure("endpoint", f"ENDPOINT can't be called ({_name_error(error)}).", may_have_it=False)
        except (httpx.TimeoutException, TimeoutError):
            return CallFailure(
                "timeout", f"WeChat gave no answer within {self._timeouts.call_s:g} s.", may_have_it=True
            )
        except httpx.HTTPError as error:
            return CallFailure(
                "cut_off", f"The connection ended before WeChat's answer ({_name_error(error)}).", may_have_it=True
            )


@asynccontextmanager
async def connect(timeouts: Timeouts, settings: ProviderGroup | None = None) -> AsyncIterator[Transport]:
    """Open the client, which uses the proxy of the environment; it makes no connection before the first call.

    `settings` say which addresses may be called. Their secrets are hidden in what WeChat answers.
    """
    times = httpx.Timeout(timeouts.call_s, connect=timeouts.connect_s)
    limits = httpx.Limits(max_connections=CALLS, max_keepalive_connections=CALLS, keepalive_expiry=IDLE_S)
    calls = CheckedTransport(find_destinations(settings), limits=limits)
    async with httpx.AsyncClient(timeout=times, transport=calls) as client:
        yield Transport(client, timeouts, Secrets(settings))


async def _read(response: httpx.Response, secrets: Secrets) -> ApiAnswer:
    if response.is_server_error:
        return CallFailure(f"http_{response.status_code}", "WeChat's server failed.", may_have_it=True)
    if response.status_code != httpx.codes.OK:
        return CallFailure(f"http_{response.status_code}", "This is no answer of WeChat's API.", may_have_it=False)
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            return _gibberish()
    try:
        answer = json.loads(secrets.hide(bytes(body)).decode("utf-8", "replace"))
        code = int(answer.get("errcode", OK))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return _gibberish()
    if code != OK:
        return ErrorAnswer(code, str(answer.get("errmsg", "")), answer)
    fields: Fields = answer
    return fields


def _gibberish() -> CallFailure:
    return CallFailure("gibberish", "WeChat's answer can't be read.", may_have_it=True)


def _name_error(error: Exception) -> str:
    """Return the class of an error. Its text may contain the URL with the token."""
    return type(error).__name__
