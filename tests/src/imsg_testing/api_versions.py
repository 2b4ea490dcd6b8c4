"""The paths of v1 and v2, and their answers read from body and headers."""

from typing import Any
from urllib.parse import unquote

import httpx

NUMBERS = ("count", "segments", "expires_in")

MESSAGES = "/api/v2/messages"

OF_BOTH = ("login", "register")

HEADERS = {
    "id": "X-IMSG-Id",
    "count": "X-IMSG-Count",
    "segments": "X-IMSG-Segments",
    "expires_in": "X-IMSG-Expires-In",
    "reason": "X-IMSG-Reason",
    "detail": "X-IMSG-Detail",
}
"""Key of v2's answer → the header that has its value in v1."""


def in_v2(path: str) -> str:
    """Return the URL of v2 for a documented URL of v1; any other path unchanged."""
    if path.rstrip("/") in ("/api/send", "/api/query"):
        return MESSAGES
    first = path.removeprefix("/api/").partition("/")[0]
    return path.replace("/api/", "/api/v2/", 1) if first in OF_BOTH else path


def read_answer(answer: httpx.Response) -> dict[str, Any]:
    """Return the body of an answer, completed from the X-IMSG-* headers of v1 to the body of v2."""
    body: dict[str, Any] = answer.json()
    told = {field: unquote(answer.headers[header]) for field, header in HEADERS.items() if header in answer.headers}
    return body | {field: int(text) if field in NUMBERS else text for field, text in told.items()}
