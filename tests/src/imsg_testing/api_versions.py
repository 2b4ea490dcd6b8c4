"""The paths of v1 and v2, and their answers read from body and headers."""

from typing import Any
from urllib.parse import unquote

import httpx

from imsg_web.responses import HEADERS

NUMBERS = ("count", "segments", "expires_in")

MESSAGES = "/api/v2/messages"

OF_V1 = ("login", "register", "modify")


def in_v2(path: str) -> str:
    """Return the URL of v2 for a documented URL of v1; any other path unchanged."""
    if path.rstrip("/") in ("/api/send", "/api/query"):
        return MESSAGES
    first = path.removeprefix("/api/").partition("/")[0]
    return path.replace("/api/", "/api/v2/", 1) if first in OF_V1 else path


def read_answer(answer: httpx.Response) -> dict[str, Any]:
    """Return the body of an answer, completed from the X-IMSG-* headers of v1 to the body of v2."""
    body: dict[str, Any] = answer.json()
    told = {field: unquote(answer.headers[header]) for field, header in HEADERS.items() if header in answer.headers}
    return body | {field: int(text) if field in NUMBERS else text for field, text in told.items()}
