"""A client of one version of the API that checks each answer against the table of errors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from imsg_contract.errors import TEXTS
from imsg_testing.api import Api
from imsg_testing.api_versions import MESSAGES, in_v2, read_answer

DOCUMENTED_URLS = ("/api/register", "/api/login", "/api/send", "/api/modify", "/api/query")

WIDE = {"per_hour": 1_000_000, "per_day": 1_000_000}


@dataclass(frozen=True, slots=True)
class VersionedApi:
    """A client of v1 or v2. Its callers write the URLs of v1."""

    api: Api
    is_v2: bool

    def read(self, answer: httpx.Response) -> dict[str, Any]:
        """Read an answer with its headers, and check that the body holds only keys of its version."""
        body = answer.json()
        if is_documented(answer.request.url.path):
            printed = set(body) - {"errorCode", "errorMessage"}
            assert printed <= ({"token", "messages", "next"} if body["errorCode"] == 0 else set()), body
        return read_answer(answer)

    def user(self, **fields: object) -> str:
        """Register a user, by default with high limits; return a token."""
        return self.api.new_user_token(**{**WIDE, **fields})

    def ask(
        self, verb: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, /, **params: str
    ) -> httpx.Response:
        """Send a request with a body as JSON or as bytes."""
        path = in_v2(path) if self.is_v2 else path
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        return self.api.client.request(verb, path, content=content, headers=headers, params=params or None)

    def send(self, token: object, headers: Mapping[str, str] | None = None, /, **fields: object) -> httpx.Response:
        """Send a valid mail with these fields changed; `...` omits a field."""
        body = {
            "token": token,
            "to": "zhang@example.com",
            "method": "smtp",
            "content": {"subject": "hi", "text": "您好"},
        }
        body |= fields
        return self.ask("POST", "/api/send", {key: value for key, value in body.items() if value is not ...}, headers)

    def check_ok(self, answer: httpx.Response) -> dict[str, Any]:
        """Check an answer against row 0 of the table; return its body."""
        body = self.read(answer)
        path = answer.request.url.path.rstrip("/")
        is_accepted = answer.request.method == "POST" and (path == MESSAGES or path.endswith("/resend"))
        status = 202 if is_accepted else 200
        assert (body["errorCode"], body["errorMessage"], answer.status_code) == (0, "OK", status), body
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        return body

    def check_refused(
        self, answer: httpx.Response, code: int, column: int, reason: str | None = None
    ) -> dict[str, Any]:
        """Check a refusal against its row: code, text, reason, detail, and the version's status; return its body."""
        body = self.read(answer)
        assert body["errorCode"] == code, body
        assert body["errorMessage"] == (f"见详情：{body['detail']}" if code == 10016 else TEXTS[code])
        assert body["detail"]
        assert reason in {None, body["reason"]}
        assert answer.status_code == (200 if is_documented(answer.request.url.path) else column), body
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        return body


def is_documented(path: str) -> bool:
    """Return whether a path is one of the interface document's five."""
    return path.rstrip("/") in DOCUMENTED_URLS or path.startswith("/api/modify/")
