"""Calls of providers' APIs that are about an account, not about a message."""

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from imsg_sms.providers import aliyun_signature, tencent_signature
from imsg_sms.settings import Aliyun, Tencent
from imsg_web.http_pool import HttpPool

OK = "OK"

JsonObject = Mapping[str, Any]


class CallRefused(Exception):  # noqa: N818  an answer
    """The provider refused the call; the text is its error."""


async def call_aliyun(account: Aliyun, action: str, parameters: Mapping[str, str], pool: HttpPool) -> JsonObject:
    """Call an action of Aliyun's. Raises CallRefused, NotSent, NoAnswer."""
    parts = urlsplit(account.endpoint)
    request = aliyun_signature.Request(
        "POST", parts.netloc.rpartition("@")[2], action, "2017-05-25", parameters, path=parts.path or "/"
    )
    key = account.access_key_secret.get_secret_value()
    now, nonce = datetime.now(UTC), secrets.token_hex(16)
    signed = aliyun_signature.headers(request, account.access_key_id, key, now=now, nonce=nonce)
    url = f"{parts.scheme}://{request.host}{request.path}?{aliyun_signature.encode(parameters)}"
    body = read_object((await pool.call("POST", url, {**signed, "accept": "application/json"}, b"")).content)
    if body.get("Code") != OK:
        raise CallRefused(f"{body.get('Code')} {body.get('Message')}")
    return body


async def call_tencent(account: Tencent, action: str, parameters: JsonObject, pool: HttpPool) -> JsonObject:
    """Call an action of Tencent's. Raises CallRefused, NotSent, NoAnswer."""
    parts = urlsplit(account.endpoint)
    body = json.dumps(parameters).encode()
    request = tencent_signature.Request(
        parts.netloc.rpartition("@")[2], "sms", action, "2021-01-11", body, parts.path or "/"
    )
    key = account.secret_key.get_secret_value()
    signed = tencent_signature.headers(request, account.secret_id, key, now=datetime.now(UTC), region=account.region)
    url = f"{parts.scheme}://{request.host}{request.path}"
    response = read_object((await pool.call("POST", url, signed, body)).content).get("Response")
    if not isinstance(response, dict):
        raise CallRefused("its answer can't be read")
    if isinstance(error := response.get("Error"), dict):
        raise CallRefused(f"{error.get('Code')} {error.get('Message')}")
    return response


def read_object(body: bytes) -> JsonObject:
    """Read a JSON object; empty where it is none."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def read_objects(listed: object) -> list[JsonObject]:
    """Return the objects in a JSON list; empty if it is no list."""
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
