"""JSON responses in the public form, and the refusals of Pydantic's errors and of crashes."""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic_core import PydanticCustomError, PydanticSerializationError, to_json
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from werkzeug.http import parse_accept_header

from imsg_contract.errors import OK, TEXTS, Refusal
from imsg_runtime.logs import logger

log = logger(__name__)

JSON = "application/json; charset=utf-8"


LOGGED_AS = "logged as "
"""The prefix of the note on a logged exception, which keeps outer handlers from logging it again."""


class ApiResponse(Response):
    """A response with one JSON object in UTF-8, encoded when it is sent: until then v1 may shorten `content`."""

    media_type = JSON

    def __init__(self, content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        # Set as Starlette does, without its checks for headers: this runs for each request.
        self.content = content
        self.status_code = status
        self.background = None
        self.raw_headers = [
            *[(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()],
            _CONTENT_TYPE,
            *PRIVATE,
        ]

    @property
    def body(self) -> bytes:  # type: ignore[override]  # written by nobody
        """Encode it as it is now."""
        return encode(self.content)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        body = self.body
        headers = [*self.raw_headers, (b"content-length", b"%d" % len(body))]
        if scope["type"] != "http":  # a websocket that is refused
            self.raw_headers = headers
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": body})


_CONTENT_TYPE = (b"content-type", JSON.encode("ascii"))

PRIVATE = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""Headers of every answer of the API: no cache stores it, and no browser takes it for a script."""


def add_private_headers(message: Message) -> Message:
    """Add the missing headers of PRIVATE to the head of an answer; other values are kept."""
    if message["type"] != "http.response.start":
        return message
    headers = list(message.get("headers", ()))
    if PRIVATE[0] in headers and PRIVATE[1] in headers:
        return message
    has = {bytes(name).lower() for name, _ in headers}
    return {**message, "headers": [*headers, *(header for header in PRIVATE if header[0] not in has)]}


def encode(content: Mapping[str, Any]) -> bytes:
    """Encode an answer; a lone surrogate of the request becomes U+FFFD."""
    try:
        return to_json(content)
    except PydanticSerializationError:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def ok(**fields: Any) -> dict[str, Any]:  # noqa: ANN401  an answer's own fields
    """Return the object of a success."""
    return {"errorCode": OK, "errorMessage": TEXTS[OK], **fields}


Refuse = Callable[[Refusal, str, str], Response]
"""Makes the answer of a refusal from it, Accept-Language and the path."""


def refuse(refusal: Refusal, accept_language: str, path: str) -> Response:
    """Return the answer of a refusal with all keys, whatever the path."""
    del path
    return refuse_with(refusal, accept_language)


async def refuse_every_url(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a service without an API. Raises Refusal no_such_url."""
    del receive, send
    raise Refusal("no_such_url", path=scope["path"])


def refuse_with(refusal: Refusal, accept_language: str) -> ApiResponse:
    """Return the answer of a refusal, with its true status, in the language that the client prefers."""
    content = refusal.answer(english=prefers_english(accept_language))
    headers = dict(refusal.headers)
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    return ApiResponse(content, refusal.row.http, headers)


def report(error: Exception) -> Refusal:
    """Log a bug with its traceback under a number; return the refusal with the number."""
    trace = secrets.token_hex(4)
    log.error("bug", trace=trace, exc_info=error)
    error.add_note(f"{LOGGED_AS}{trace}")
    return Refusal("bug", trace=trace)


MAX_LANGUAGE_CHARACTERS = 1024
"""The characters of an Accept-Language that are read: browsers send some 30."""


def prefers_english(accept_language: str) -> bool:
    """Return whether an Accept-Language prefers English to Chinese (RFC 9110, section 12.5.4)."""
    english, chinese = _qualities(accept_language)
    return english > chinese


def prefers_chinese(accept_language: str) -> bool:
    """Return whether an Accept-Language names Chinese, and does not prefer English."""
    english, chinese = _qualities(accept_language)
    return chinese > 0 and chinese >= english


def _qualities(accept_language: str) -> tuple[float, float]:
    """Return the qualities of English and Chinese, 0 to 1."""
    if not accept_language:  # calls of other services have none
        return 0.0, 0.0
    best = {"en": 0.0, "zh": 0.0}
    for tag, quality in parse_accept_header(accept_language[:MAX_LANGUAGE_CHARACTERS]):
        language = tag.partition("-")[0].lower()
        if language in best:
            best[language] = max(best[language], quality)
    return best["en"], best["zh"]


_SENTENCES: Mapping[str, tuple[str, str]] = {
    "string_type": ("必须是字符串", "it must be a string"),
    "string_unicode": (
        "含有不成对的代理码位，不是合法的 Unicode",
        "it holds a lone surrogate, which is not valid Unicode",
    ),
    "string_too_short": ("至少要有 {min_length} 个字符", "it must have at least {min_length} characters"),
    "string_too_long": ("最多 {max_length} 个字符", "it may have at most {max_length} characters"),
    "int_type": ("必须是整数", "it must be an integer"),
    "int_from_float": ("必须是整数", "it must be an integer"),
    "int_parsing": ("必须是整数", "it must be an integer"),
    "int_parsing_size": ("数字太大", "the number is too large"),
    "float_type": ("必须是数字", "it must be a number"),
    "bool_type": ("必须是 true 或 false", "it must be true or false"),
    "bool_parsing": ("必须是 true 或 false", "it must be true or false"),
    "list_type": ("必须是列表", "it must be a list"),
    "tuple_type": ("必须是列表", "it must be a list"),
    "dict_type": ("必须是 JSON 对象", "it must be a JSON object"),
    "model_type": ("必须是 JSON 对象", "it must be a JSON object"),
    "model_attributes_type": ("必须是 JSON 对象", "it must be a JSON object"),
    "greater_than_equal": ("不能小于 {ge}", "it must be {ge} or more"),
    "greater_than": ("必须大于 {gt}", "it must be more than {gt}"),
    "less_than_equal": ("不能大于 {le}", "it must be {le} or less"),
    "less_than": ("必须小于 {lt}", "it must be less than {lt}"),
    "literal_error": ("只能是 {expected}", "it must be {expected}"),
    "enum": ("只能是 {expected}", "it must be {expected}"),
    "too_long": ("最多 {max_length} 项", "it may have at most {max_length} items"),
    "too_short": ("至少要有 {min_length} 项", "it must have at least {min_length} items"),
}
"""Pydantic's error types → sentences in both languages. A validator of ours has its own: `field_error`."""

_CONTROLS = ("不能有换行和其他控制字符", "it can't hold line breaks or other control characters")
_NULS = ("不能有空字符（U+0000）", "it can't hold the character U+0000")

PATTERNS: Mapping[str, tuple[str, str]] = {
    r"^[^\u0000]*$": _NULS,
    r"^[^\u0000-\u001f\u007f]*$": _CONTROLS,
    r"^[^\x00-\x1f\x7f]*$": _CONTROLS,
    r"^[^\x00-\x1f\x7f]+$": _CONTROLS,
    r"^[^\u0000{}]+$": ("不能有花括号和空字符", "it can't hold braces or the character U+0000"),
    r"^[^\u0000【】{}]+$": ("不能有【】、花括号和空字符", "it can't hold 【】, braces or the character U+0000"),
    r"^[a-z0-9_-]{1,32}$": (
        "只能有小写字母、数字、- 和 _，1 到 32 个",
        "it must be 1 to 32 lower-case letters, digits, - and _",
    ),
    r"^[a-z0-9][a-z0-9_-]{0,31}$": (
        "以小写字母或数字开头，只能有小写字母、数字、- 和 _，最多 32 个",
        "it must be at most 32 lower-case letters, digits, - and _, and begin with a letter or digit",
    ),
    r"^[A-Za-z0-9._-]{1,64}$": (
        "只能有英文字母、数字、.、- 和 _，1 到 64 个",
        "it must be 1 to 64 of A to Z, a to z, digits, ., - and _",
    ),
    r"^[\w.-]{1,64}$": (
        "只能有文字、数字、.、- 和 _，1 到 64 个",
        "it must be 1 to 64 letters, digits, ., - and _",
    ),
    r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$": ("应为语言代码，如 zh 或 en", "it must be a language tag, such as en or zh"),
    r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$": (
        "应为语言代码，如 zh 或 en",
        "it must be a language tag, such as en or zh",
    ),
    r"^([01]\d|2[0-3]):[0-5]\d$": ("应为 00:00 到 23:59 的时刻", "it must be a time from 00:00 to 23:59"),
    r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$": ("应为 00:00 到 24:00 的时刻", "it must be a time from 00:00 to 24:00"),
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$": ("应为日期，如 2026-11-30", "it must be a day, such as 2026-11-30"),
    r"^[0-9]{1,9}(\.[0-9]{1,6})?$": (
        "应为数字，如 0.045，整数最多 9 位，小数最多 6 位",
        "it must be a number such as 0.045, of at most 9 digits and 6 decimals",
    ),
    r"^[A-Z]{3}$": ("应为货币代码，如 CNY", "it must be the code of a currency, such as CNY"),
    r"^[0-9a-f]{32}$": ("应为 32 位小写的十六进制数", "it must be 32 lower-case hexadecimal digits"),
    r"^[0-9a-f]{64}$": ("应为 64 位小写的十六进制数", "it must be 64 lower-case hexadecimal digits"),
}
"""The patterns of fields that Pydantic checks → sentences in both languages."""


def field_error(zh: str, en: str) -> PydanticCustomError:
    """Return the error for a validator to raise: why the value is wrong, in both languages, without a full stop."""
    return PydanticCustomError("wrong", "{en}", {"zh": zh, "en": en})


def refuse_fields(errors: Sequence[Mapping[str, Any]]) -> Refusal:
    """Return the refusal of Pydantic's errors of a body: a missing field before a wrong one."""
    refusals = [refuse_field(error) for error in errors]
    return next((refusal for refusal in refusals if refusal.reason == "missing"), refusals[0])


def refuse_field(error: Mapping[str, Any]) -> Refusal:
    """Return the refusal of Pydantic's error of one field: missing 10002, else 10017."""
    place = [str(part) for part in error["loc"] if part not in ("body", "query", "path", "header")]
    field = ".".join(place) or "body"
    kind = str(error["type"])
    if kind == "json_invalid":
        return refuse_json(str(error.get("ctx", {}).get("error", "")))
    if not place and kind in ("missing", "model_type", "model_attributes_type", "dict_type"):
        return Refusal("not_an_object")
    if kind == "missing" or ("input" in error and error["input"] is None):
        return Refusal("missing", field=field)
    context = error.get("ctx", {})
    if kind == UNKNOWN_FIELD:
        return refuse_unknown_field(".".join([*place, context["name"]]), context["known"])
    zh, en = _explain_error(kind, context, str(error["msg"]))
    return refuse_value(field, zh, en)


def refuse_value(field: str, zh: str, en: str) -> Refusal:
    """Return the refusal of a field that has no code of its own (10017)."""
    return Refusal("wrong_type", field=field, why_zh=zh, why_en=en)


def refuse_unknown_name(field: str, name: str, known: Iterable[str], *, zh: str, en: str) -> Refusal:
    """Return the refusal of a name of nothing that exists (10017), which lists the known ones; `zh`, `en`: of what."""
    names = sorted(known)
    there_zh = f"现有 {'、'.join(names)}" if names else "一个也没有设置"
    there_en = f"there are {', '.join(names)}" if names else "none is set"
    return refuse_value(field, f"没有名为 {name} 的{zh}，{there_zh}", f"there is no {en} {name}; {there_en}")


def _explain_error(kind: str, context: Mapping[str, Any], message: str) -> tuple[str, str]:
    if kind == "wrong":
        return context["zh"], context["en"]
    if kind == "string_pattern_mismatch" and context["pattern"] in PATTERNS:
        return PATTERNS[context["pattern"]]
    if kind not in _SENTENCES:
        message = message.removeprefix("Value error, ")
        return message, message
    zh, en = (sentence.format_map(context) for sentence in _SENTENCES[kind])
    return zh.replace(", ", "、").replace(" or ", "或"), en


UNKNOWN_FIELD = "unknown_field"
"""The type of the error for an unknown field (`RequestModel`)."""

MAX_SHOWN = 64
"""The most characters of a client's field name that an answer repeats."""


def refuse_unknown_field(field: str, known: Iterable[str]) -> Refusal:
    """Return the refusal of an unknown field (10017), which names the one that was probably meant, or all fields.

    `field` may be a path, `content.txt`; the names in `known` are those at its end.
    """
    above, _, name = field.rpartition(".")
    names = sorted(known)
    near = get_close_matches(name[:MAX_SHOWN].lower(), names, n=1)
    shown = field.replace("\0", "")[:MAX_SHOWN]
    if near:
        meant = f"{above}.{near[0]}" if above else near[0]
        zh, en = f"；您要写的大概是 {meant}", f"; you probably mean {meant}"
    elif names:
        zh, en = f"；可用的有：{'、'.join(names)}", f"; there are: {', '.join(names)}"
    else:
        zh, en = "；这个接口不需要参数", "; nothing is read here"
    return Refusal("unknown_field", field=shown, meant_zh=zh, meant_en=en)


def refuse_json(why: str) -> Refusal:
    """Return the refusal of malformed JSON."""
    return Refusal("not_json", why_zh=why, why_en=why)
