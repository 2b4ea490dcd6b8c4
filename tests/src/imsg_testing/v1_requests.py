"""Requests to the five documented URLs, each with what is special about it."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

FILE = base64.b64encode(b"report").decode()
MAIL: dict[str, Any] = {
    "token": "{user}",
    "to": "li@example.com",
    "method": "smtp",
    "content": {"subject": "开会通知", "text": "下午两点半"},
}
SMS: dict[str, Any] = {"token": "{user}", "to": "13800138000", "method": "sms", "content": "下午两点半开会"}
LOGIN = {"username": "zhang", "password": "correct horse"}
LIMITS = {"per_day": 10, "per_hour": 2}


@dataclass(frozen=True)
class RawRequest:
    """One request; `{user}`, `{admin}` and the like in it stand for tokens."""

    name: str
    verb: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def fill(self, tokens: Mapping[str, str]) -> "RawRequest":
        """Return the request with these tokens."""
        path, body, headers = self.path, self.body, self.headers
        for name, token in tokens.items():
            mark = f"{{{name}}}"
            path = path.replace(mark, token.replace("+", "%2B"))
            body = body.replace(mark.encode(), token.encode())
            headers = {key: value.replace(mark, token) for key, value in headers.items()}
        return replace(self, path=path, body=body, headers=headers)


def write(name: str, verb: str, path: str, body: object = b"", **headers: str) -> RawRequest:
    """Make a request; a body that is no bytes is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return RawRequest(name, verb, path, content, {key.replace("_", "-"): value for key, value in headers.items()})


def list_requests() -> Iterator[RawRequest]:
    """List all requests. The order matters: an idempotency key is replayed after its first use."""
    yield from _list_bodies()
    yield from _list_tokens()
    yield from _list_fields()
    yield from _list_replays()
    yield from _list_relayed()
    yield from _list_paths()


def _list_bodies() -> Iterator[RawRequest]:
    bodies: dict[str, bytes] = {
        "empty": b"",
        "not JSON": b"to=li@example.com&method=smtp",
        "cut off": b'{"token": "{user}", "to": "li@exa',
        "a list": b"[]",
        "a number": b"5",
        "null": b"null",
        "a string": b'"text"',
        "UTF-16": '{"token": 1}'.encode("utf-16"),
        "GBK": '{"token": "{user}", "content": "下午"}'.encode("gbk"),
        "NaN": b'{"token": NaN}',
        "a lone surrogate": b'{"token": "{user}", "to": "\\ud800"}',
        "line break in a string": b'{"to": "a\nb"}',
        "single quotes": b"{'to': 'li@example.com'}",
        "Chinese marks": "{“to”：“li@example.com”}".encode(),
        "deep": b'{"to": ' + b"[" * 300 + b"]" * 300 + b"}",
        "many fields": b"{" + b",".join(b'"a%d":1' % n for n in range(1200)) + b"}",
        "trailing comma": b'{"to": "a",}',
        "BOM": b"\xef\xbb\xbf" + json.dumps(MAIL).encode(),
        "two objects": b"{}{}",
    }
    urls = (("POST", "/api/send"), ("POST", "/api/login"), ("POST", "/api/register"), ("GET", "/api/query"))
    for kind, body in bodies.items():
        for verb, path in urls:
            if path == "/api/send" or kind in ("empty", "not JSON", "a list", "BOM"):
                yield write(f"{path}: {kind}", verb, path, body)
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "x", ""):
        yield write(f"content type {kind!r}", "POST", "/api/send", MAIL, content_type=kind)
    form = b"username=zhang&password=x"
    yield write("a form", "POST", "/api/login", form, content_type="application/x-www-form-urlencoded")
    yield write("too large for a login", "POST", "/api/login", LOGIN | {"x": "a" * 66_000})
    yield write("too large for all", "POST", "/api/send", MAIL | {"x": "a" * (16 * 1024 * 1024)})
    yield write("too large by its length", "POST", "/api/send", b"{}", content_length="99999999")
    yield write("fields of a stranger", "POST", "/api/send", MAIL | {"x": dict.fromkeys(map(str, range(9_999)), 1)})
    yield write("a large body without a token", "POST", "/api/send", {"x": [{"a": n} for n in range(9_999)], "to": "a"})


def _list_tokens() -> Iterator[RawRequest]:
    rest = {key: value for key, value in MAIL.items() if key != "token"}
    for kind, token in {
        "null": None,
        "a number": 5,
        "empty": "",
        "forged": "Zm9yZ2Vk",
        "expired": "{expired}",
        "of another epoch": "{old}",
        "of nobody": "{nobody}",
        "with line breaks": "{wrapped}",
        "a list": ["{user}"],
    }.items():
        for verb, path, body in (("POST", "/api/send", rest), ("GET", "/api/query", {}), ("POST", "/api/register", {})):
            yield write(f"{path}: token {kind}", verb, path, {**body, "token": token})
    yield write("no token", "POST", "/api/send", rest)
    yield write("no token and no fields", "POST", "/api/send", {})
    yield write("bearer", "POST", "/api/send", rest, authorization="Bearer {user}")
    yield write("bearer in small letters", "POST", "/api/send", rest, authorization="bearer {user}")
    yield write("basic", "POST", "/api/send", rest, authorization="Basic {user}")
    yield write("token in the query", "POST", "/api/send?token={user}", rest)
    yield write("empty token in the query", "GET", "/api/query?token=")
    yield write("body before header", "POST", "/api/send", MAIL, authorization="Bearer forged")
    yield write(
        "null in the body, then the header", "POST", "/api/send", {**rest, "token": None}, authorization="Bearer {user}"
    )
    yield write("bad token before bad fields", "POST", "/api/send", {"token": "x", "method": 5})
    yield write("forged and unknown fields", "POST", "/api/send", MAIL | {"token": "{old}", "foo": 1, "method": "fax"})
    yield write("disabled", "POST", "/api/send", MAIL | {"token": "{disabled}"})
    yield write("nothing left", "POST", "/api/send", MAIL | {"token": "{used}"})
    yield write("nothing left, English", "POST", "/api/send", MAIL | {"token": "{used}"}, accept_language="en")
    yield write("register by a user", "POST", "/api/register", {**LOGIN, "token": "{user}"})
    yield write("modify by a user", "POST", "/api/modify/li", {**LIMITS, "token": "{user}"})


def _list_fields() -> Iterator[RawRequest]:
    for name in ("to", "method", "content"):
        yield write(f"without {name}", "POST", "/api/send", {key: value for key, value in MAIL.items() if key != name})
        yield write(f"null {name}", "POST", "/api/send", {**MAIL, name: None})
    fields: dict[str, list[Any]] = {
        "method": ["fax", "SMTP", 5, [], ""],
        "to": [[], 5, ["a@b.example", 5], "", "no such", ["a@b.example", "13800138000"], ["x y", "\u0007"], {},
               "13800138000"],
        "content": ["text", {}, {"subject": "a"}, {"subject": "a\nb", "text": "t"}, {"subject": 5, "text": "t"}, 5,
                    {"subject": "a", "text": "t", "txt": "t"}, {"subject": "a", "text": "t\u0000"}],
        "attachment": [{}, {"filename": "a", "file": "?"}, {"filename": "../a", "file": FILE}, [], 5,
                       {"filename": "报告.pdf", "file": FILE}, [{"filename": "a", "file": FILE}, 5],
                       {"filename": "a\u0000", "file": ""}],
        "account": ["main", 5, None, ""],
        "reference": ["an order"],
        "expires_in": [60, "x"],
        "category": ["code"],
        "x\u0000y": [1],
        "x": ["a\u0000b"],
    }  # fmt: skip
    for name, values in fields.items():
        for n, value in enumerate(values):
            yield write(f"{name.strip()} {n}", "POST", "/api/send", {**MAIL, name: value})
    yield write("fields of the query", "POST", "/api/send?foo=1&bar=%E4%B8%BB&foo=2", MAIL)
    yield write("NUL in the query", "POST", "/api/send?foo=%00", MAIL)
    yield write("raw bytes in the query", "POST", "/api/send?foo=%ff", MAIL)
    yield write("many fields in the query", "POST", "/api/send?" + "&".join(f"a{n}=1" for n in range(101)), MAIL)
    yield write("long names of fields", "POST", "/api/send", MAIL | {f"字段{n}" * 9: 1 for n in range(20)})
    yield write("twice the same", "POST", "/api/send", {**MAIL, "to": ["a@b.example", "A@B.example"]})
    yield write("SMS", "POST", "/api/send", SMS)
    yield write("SMS with an attachment", "POST", "/api/send", {**SMS, "attachment": {"filename": "a", "file": FILE}})
    yield write("SMS too long", "POST", "/api/send", {**SMS, "content": "长" * 501})
    yield write("WeChat", "POST", "/api/send", {**SMS, "method": "wechat", "to": "7K3-M9Q-2XH"})
    yield write("mail to a WeChat tag", "POST", "/api/send", {**MAIL, "to": "7K3-M9Q-2XH"})
    yield write("English", "POST", "/api/send", {**MAIL, "method": "fax"}, accept_language="en-US,en;q=0.9")
    yield write("slash at the end", "POST", "/api/send/", MAIL)


def _list_replays() -> Iterator[RawRequest]:
    yield write("first under a key", "POST", "/api/send", MAIL, idempotency_key="key-1")
    yield write("replayed", "POST", "/api/send", MAIL, idempotency_key="key-1")
    yield write("replayed, token elsewhere", "POST", "/api/send?token={user}", MAIL, idempotency_key="key-1")
    yield write("another body", "POST", "/api/send", {**MAIL, "to": "x@b.example"}, idempotency_key="key-1")
    yield write("another URL's slash", "POST", "/api/send/", MAIL, idempotency_key="key-1")
    yield write("refused under a key", "POST", "/api/send", {**MAIL, "method": "fax"}, idempotency_key="key-2")
    yield write("accepted after that", "POST", "/api/send", MAIL, idempotency_key="key-2")
    yield write("not a key", "POST", "/api/send", MAIL, idempotency_key="a b")
    yield write("too long a key", "POST", "/api/send", MAIL, idempotency_key="k" * 129)
    yield write("a key without a token", "POST", "/api/send", {**MAIL, "token": None}, idempotency_key="key-1")


def _list_relayed() -> Iterator[RawRequest]:
    yield write("login", "POST", "/api/login", LOGIN)
    yield write("login, more fields", "POST", "/api/login?foo=1", LOGIN | {"otp": 1, "token": "x"})
    yield write("login, NUL", "POST", "/api/login", LOGIN | {"username": "a\u0000"})
    yield write("login, NUL in a name", "POST", "/api/login", LOGIN | {"a\u0000": 1})
    yield write("login, surrogate name", "POST", "/api/login", b'{"username": "\\ud83d\\ude00", "password": 5}')
    yield write(
        "register", "POST", "/api/register", LOGIN | {"token": "{admin}", "email": "a@b.example", "senders": []}
    )
    yield write("register, query", "POST", "/api/register?per_day=5", LOGIN | {"token": "{admin}"})
    yield write("modify", "POST", "/api/modify/li", LIMITS | {"token": "{admin}", "recipients_per_day": 5})
    yield write("modify, Chinese name", "POST", "/api/modify/天存", LIMITS | {"token": "{admin}"})
    yield write("modify, escaped name", "POST", "/api/modify/a%20b%25", LIMITS | {"token": "{admin}"})
    yield write("modify, empty", "POST", "/api/modify/li", {"token": "{admin}"})
    yield write("query", "GET", "/api/query?token={user}&limit=5&to=a%2Bb@c.example&foo=1&status=sent")
    yield write("query by its body", "GET", "/api/query", {"token": "{user}", "limit": 5})
    yield write("query, same twice", "GET", "/api/query?limit=1&limit=2", authorization="Bearer {user}")
    yield write("query, Chinese", "GET", "/api/query?username=天存", authorization="Bearer {admin}")
    yield write("query, slash", "GET", "/api/query/?token={user}")
    yield write("query, NUL", "GET", "/api/query?to=%00", authorization="Bearer {user}")
    yield write("query, a filter of v2", "GET", "/api/query?reference=a", authorization="Bearer {user}")


def _list_paths() -> Iterator[RawRequest]:
    for path in ("/api/send", "/api/login", "/api/register", "/api/query", "/api/modify/li"):
        for verb in ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "GET", "POST"):
            if (verb == "POST") != (path != "/api/query") and (verb != "GET" or path != "/api/query"):
                yield write(f"{verb} {path}", verb, path)
    for path in (
        "/api/modify",
        "/api/modify/",
        "/api/modify/a/b",
        "/api/modify/%2e",
        "/api/modify/a%2Fb",
        "/api/modify/%00",
        "/api/modify/a%0A",
        "/api/send//",
        "/api/send%0A",
    ):
        yield write(f"POST {path}", "POST", path, {"token": "{admin}"})
    yield write("a path, English", "GET", "/api/send", accept_language="en")
