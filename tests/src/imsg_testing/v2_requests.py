"""Requests to every operation of v2: each defect of a send, alone and beside others; each operation by each role."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from imsg_testing.v1_requests import MAIL, SMS, RawRequest, write

TO = MAIL["to"]

DOCUMENT = Path(__file__).parents[3] / "docs/openapi.json"

SENDS = ("/api/v2/messages", "/api/v2/messages/check")

CALLERS = ("", "forged", "{user}", "{auditor}", "{operator}", "{admin}")
"""Without a token, with a false one, and each role."""

ODD: tuple[Any, ...] = (
    None, True, 5, 5.0, -1, 10**30, "", " ", "x", "a\nb", "a\u0000b", "字" * 300, [], [[]], [5], ["x", "x"], {},
    {"x": 1}, {"to": 5}, [{"to": TO, "x": 1}], "2020-01-01T00:00:00Z", "2026-13-01", "notice", "sms",
)  # fmt: skip

FIELDS: Mapping[str, tuple[Any, ...]] = {
    "to": (
        TO, [TO, TO.upper()], [TO, "no such"], {"to": TO}, [{"to": TO, "params": {"a": "b"}}],
        [{"to": TO, "contacts": {"sms": "13800138000"}}], [{"to": TO, "contacts": {"fax": "1"}}],
        [{"to": TO, "reference": "a\nb"}],
    ),
    "method": ("SMTP", "fax", "wechat", "wecom"),
    "content": (
        "text", {"subject": "a"}, {"subject": "a", "text": "t", "txt": "t"}, {"subject": "a\nb", "text": "t"},
        {"subject": "a", "html": "<p>t</p>"}, {"subject": "a", "text": "t" * 1_100_000},
    ),
    "attachment": (
        {"filename": "a", "file": "?"}, {"filename": "../a", "file": "YQ=="},
        [{"filename": "报告.pdf", "file": "YQ=="}], [{"filename": "a", "file": "YQ=="}] * 60,
        {"filename": "a", "file": "YQ==", "size": 1},
    ),
    "account": ("main",),
    "reference": ("an order", "r" * 256),
    "provider": ("default", "nix"),
    "category": ("code", "marketing"),
    "template": ("nix",),
    "template_version": (1, 0),
    "params": ({"a": "b"}, {"a": 5}, {"a": "b" * 20_000}),
    "language": ("zh", "z"),
    "expires_in": (29, 30, 601, 172_801),
    "send_at": ("2026-01-01T09:00:00", "2099-01-01T09:00:00+08:00"),
    "sender": ("nix", "N"),
    "reply_to": ("nix",),
    "until": ("sent", "read"),
    "fallback": (
        [{"method": "sms", "after_s": 60, "content": "下午"}], [{"method": "smtp", "after_s": 60, "content": "x"}],
        [{"method": "sms", "after_s": 1, "content": "下午"}], [{"method": "sms"}], [{}] * 9,
    ),
    "groups": (["nix"], "nix"),
    "token": ("{admin}", "x"),
    "sendAt": ("2026-01-01T09:00:00Z",),
}  # fmt: skip
"""The fields of a send, with values beside those of ODD."""

WRONG: Mapping[str, Any] = {
    "to": "no such", "method": "fax", "content": 5, "attachment": 5, "account": 5, "reference": 5, "provider": "nix",
    "category": "x", "template": 5, "expires_in": 1, "send_at": "x", "sender": "nix", "fallback": 5, "groups": 5,
    "subject": "x", "token": "x",
}  # fmt: skip
"""One wrong value of each, for two defects at once."""

PLACES = {"id": "0" * 32, "method": "smtp", "event": "1"}
"""What stands in a path; `nix` elsewhere."""

UNASKED = (
    "/api/v2/logout",
    "/api/v2/events",
    "/api/v2/status",
    "/api/v2/channels",
    "/api/v2/audit",
    "/api/v2/sessions",
)
"""What ends the token, or shows the state of the process."""


def list_requests() -> Iterator[RawRequest]:
    """List all requests, sends first."""
    mail = {key: value for key, value in MAIL.items() if key != "token"}
    sms = {key: value for key, value in SMS.items() if key != "token"}
    for path in SENDS:
        yield from _list_sends(path, mail, sms)
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    for path, operations in document["paths"].items():
        if path.startswith("/api/v2/") and path not in UNASKED:
            for verb in operations:
                yield from _list_calls(verb.upper(), path)


def _list_sends(path: str, mail: Mapping[str, Any], sms: Mapping[str, Any]) -> Iterator[RawRequest]:
    user = {"authorization": "Bearer {user}"}
    for name, values in FIELDS.items():
        without = {key: value for key, value in mail.items() if key != name}
        yield write(f"{path}: without {name}", "POST", path, without, **user)
        for n, value in enumerate((*ODD, *values)):
            yield write(f"{path}: {name} {n}", "POST", path, {**mail, name: value}, **user)
            if name not in ("method", "content"):
                yield write(f"{path}: SMS, {name} {n}", "POST", path, {**sms, name: value}, **user)
    for name, other in combinations(WRONG, 2):
        both = {**mail, name: WRONG[name], other: WRONG[other]}
        yield write(f"{path}: {name} and {other}", "POST", path, both, **user)
    for name, value in WRONG.items():
        wrong = {**mail, name: value}
        yield write(f"{path}: {name}, no token", "POST", path, wrong)
        yield write(f"{path}: {name}, forged", "POST", path, wrong, authorization="Bearer forged")
        yield write(f"{path}: {name}, auditor", "POST", path, wrong, authorization="Bearer {auditor}")
        key = f"{path}-{name}"
        yield write(f"{path}: {name}, first under a key", "POST", path, mail, idempotency_key=key, **user)
        yield write(f"{path}: {name}, under that key", "POST", path, wrong, idempotency_key=key, **user)
        yield write(f"{path}: {name}, no key", "POST", path, wrong, idempotency_key="a b", **user)
    bodies: Mapping[str, bytes] = {
        "empty": b"", "not JSON": b"{", "a list": b"[]", "null": b"null",
        "BOM": b"\xef\xbb\xbf" + json.dumps(mail).encode(),
        "a lone surrogate": b'{"to": "\\ud800"}', "NUL in a name": b'{"x\\u0000": 1}', "NaN": b'{"to": NaN}',
        "twice": b'{"to": "a", "to": "li@example.com", "method": "smtp", "content": {"subject": "a", "text": "b"}}',
        "deep": b'{"to": ' + b"[" * 300 + b"]" * 300 + b"}",
        "1,001 values": json.dumps({**mail, "x": list(range(1_001))}).encode(),
    }  # fmt: skip
    for kind, body in bodies.items():
        for caller in ("", "forged", "{user}"):
            yield write(f"{path}: {kind} by {caller!r}", "POST", path, body, authorization=f"Bearer {caller}")
    for query in ("?x=1", "?token={user}", "?to=li@example.com", "?x=%00"):
        yield write(f"{path}{query}", "POST", path + query, mail, **user)


def _list_calls(verb: str, path: str) -> Iterator[RawRequest]:
    place = re.sub(r"\{(\w+)\}", lambda match: PLACES.get(match[1], "nix"), path)
    for caller in CALLERS:
        name = f"{verb} {path} by {caller!r}"
        headers = {"authorization": f"Bearer {caller}"} if caller else {}
        if verb == "GET":
            for query in ("", "?nix=1", "?limit=x", "?limit=0", "?limit=2"):
                yield write(f"{name} {query}", verb, place + query, **headers)
            continue
        for n, body in enumerate(({}, {"nix": 1}, {"nix": 1, "token": "x"}, [], b"{", {"id": 5, "name": 5})):
            yield write(f"{name}, body {n}", verb, place, body, **headers)
