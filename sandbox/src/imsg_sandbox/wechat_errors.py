"""WeChat's errcodes that the sandbox answers, with their texts."""

import json
import secrets
from collections.abc import Mapping
from typing import Any

TEXTS: Mapping[int, str] = {
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40013: "invalid appid",
    40053: "invalid action info",
    40018: "invalid button name size",
    40037: "invalid template_id",
    40066: "invalid url",
    40125: "invalid appsecret",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    42001: "access_token expired",
    43001: "require GET method",
    43002: "require POST method",
    43004: "require subscribe",
    44002: "empty post data",
    43101: "user refuse to accept the msg",
    45002: "content size out of limit",
    45015: "response out of time limit or subscription is canceled",
    45047: "out of response count limit",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    46003: "menu no exist",
    47001: "data format error",
    48006: "forbid to clear quota because of reaching the limit",
}


class Refused(Exception):  # noqa: N818  an answer of the API
    """An errcode."""

    def __init__(self, code: int, text: str | None = None) -> None:
        super().__init__(code)
        self.answer = {"errcode": code, "errmsg": f"{text or TEXTS.get(code, 'error')} rid: {_rid()}"}


def read_json(body: bytes) -> dict[str, Any]:
    """Read the body of a call. Raises Refused."""
    if not body.strip():
        raise Refused(44002)
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(47001) from error
    if not isinstance(content, dict):
        raise Refused(47001)
    return content


def _rid() -> str:
    return f"{secrets.token_hex(4)}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
