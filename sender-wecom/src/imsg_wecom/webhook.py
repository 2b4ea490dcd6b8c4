"""Makes the HTTP calls to the webhooks of robots: each has a timeout, and every failure is a result."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx

from imsg_contract.results import Again, Blocked, Result, Unknown
from imsg_delivery.provider_kinds import FORBIDDEN_ADDRESS, find_destinations
from imsg_runtime.masking import Secrets
from imsg_web.checked_transport import CheckedTransport
from imsg_web.destinations import AddressForbidden
from imsg_wecom.codes import BUSY_S, CONFIGURATION_S, PROVIDER, classify_code
from imsg_wecom.settings import Robot, WeCom

PATH = "/cgi-bin/webhook/send"
UPLOAD_PATH = "/cgi-bin/webhook/upload_media"
"""The path that uploads a file and posts nothing (developer.work.weixin.qq.com/document/path/91770)."""
CONNECT_S = 5.0
CALL_S = 15.0
"""The timeout of the whole call."""

IDLE_S = 2.0
"""Shorter than the idle time of servers: a call on a connection that the server closes has an unknown result."""

MAX_ANSWER_BYTES = 64 * 1024


def open_client(settings: WeCom | None = None) -> httpx.AsyncClient:
    """Return the client. It connects at the first call, and uses no proxy, because URLs contain keys.

    `settings` say which addresses may be called.
    """
    limits = httpx.Limits(keepalive_expiry=IDLE_S)
    transport = CheckedTransport(find_destinations(settings), limits=limits, uses_proxy=False)
    return httpx.AsyncClient(timeout=httpx.Timeout(CALL_S, connect=CONNECT_S), transport=transport)


async def call(client: httpx.AsyncClient, name: str, robot: Robot, body: Mapping[str, Any]) -> Result:
    """Post a message to the robot's group; return its result."""
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    return await _post(client, name, robot, PATH, content)


async def try_key(client: httpx.AsyncClient, name: str, robot: Robot) -> Result:
    """Check a key by an upload without a file: WeCom refuses the file if the key is valid, and posts nothing."""
    return await _post(client, name, robot, f"{UPLOAD_PATH}?type=file", b"")


async def _post(client: httpx.AsyncClient, name: str, robot: Robot, path: str, content: bytes) -> Result:
    """Make one call. The URL contains the key, so neither it nor an error's text is logged or copied into a detail."""
    key = robot.key.get_secret_value()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    try:
        url = httpx.URL(robot.endpoint.rstrip("/") + path).copy_add_param("key", key)
        async with (
            asyncio.timeout(CALL_S),
            client.stream("POST", url, content=content, headers=headers) as answer,
        ):
            return await _read(answer, name, Secrets(robot))
    except AddressForbidden as error:
        detail = f"ENDPOINT can't be called: {error}."
        return Blocked(PROVIDER, name, FORBIDDEN_ADDRESS.code, detail, CONFIGURATION_S, "account")
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        return Again(PROVIDER, "unreachable", f"WeCom can't be reached ({type(error).__name__}).", concerns="provider")
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError) as error:
        detail = f"ENDPOINT can't be called ({type(error).__name__})."
        return Blocked(PROVIDER, name, "endpoint", detail, CONFIGURATION_S, "account")
    except (httpx.TimeoutException, TimeoutError):
        return Unknown(PROVIDER, "timeout", f"WeCom gave no answer within {CALL_S:g} s.", "provider")
    except httpx.HTTPError as error:
        why = f"The connection ended before WeCom's answer ({type(error).__name__})."
        return Unknown(PROVIDER, "cut_off", why, "provider")


async def _read(answer: httpx.Response, name: str, secrets: Secrets) -> Result:
    if answer.is_server_error:
        return Unknown(PROVIDER, f"http_{answer.status_code}", "WeCom's server failed.", "provider")
    if answer.status_code != httpx.codes.OK:
        return Again(
            PROVIDER, f"http_{answer.status_code}", "This is not an answer of WeCom's API.", BUSY_S, "provider"
        )
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            return _make_unknown()
    try:
        content = json.loads(secrets.hide(bytes(body)).decode("utf-8", "replace"))
        code, text = int(content["errcode"]), str(content.get("errmsg", ""))
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return _make_unknown()
    return classify_code(code, text, name)


def _make_unknown() -> Unknown:
    return Unknown(PROVIDER, "gibberish", "WeCom's answer can't be read.", "provider")
