"""The catalog's URLs, which the gateway relays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.responses import Response

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_catalog.schemas import Asked, show
from imsg_catalog.store import DEFAULT_LIMIT, MOST, Filter, Row
from imsg_catalog.suppressions import Suppressions
from imsg_channels import BY_NAME, METHODS, unknown_method
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_contract.suppressions import FOR_ALL, Reason
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.callers import Caller, Internal
from imsg_runtime.internal_api import Call, Routes, admit_administrator, make_api, read_number
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.responses import Answer, ok, prefers_english

AWAY = (DatabaseUnavailable, RedisUnavailable, RedisRefused, PublishRefused, PublishUnknown)
"""What may not be there when it is needed."""

MOST_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes call."""

    suppressions: Suppressions
    now_ms: Callable[[], int]


def api(parts: Parts, internal: Internal) -> Starlette:
    """Make the API."""
    return make_api(internal, [_suppressions(parts)], AWAY, _describe)


def _describe() -> Mapping[str, Any]:
    from imsg_catalog.openapi import document  # noqa: PLC0415  only a reader wants it

    return document()


def _suppressions(parts: Parts) -> Routes[Caller]:
    routes = Routes(admit_administrator)

    @routes.get("/api/suppressions")
    async def page(call: Call[Caller]) -> Response:
        wanted = _read_filter(call.query)
        rows = await parts.suppressions.page(wanted)
        following = rows[-1].id if len(rows) == wanted.limit else None
        return Answer(ok(suppressions=[show(row) for row in rows], next=following))

    @routes.take("POST", "/api/suppressions", Asked)
    async def add(call: Call[Caller], asked: Asked) -> Response:
        english = prefers_english(call.language)
        rows, problems = _read_rows(asked, call.who, parts.now_ms(), english=english)
        if not rows and isinstance(asked.to, str):
            raise _no_address(asked)
        new = await parts.suppressions.add(rows, call.who)
        return Answer(
            ok(
                id=new[0].id if len(new) == 1 else None,
                added=len(new),
                known=len(rows) - len(new),
                problems=problems[:MOST_PROBLEMS],
                problems_total=len(problems),
            )
        )

    @routes.delete("/api/suppressions/{id}")
    async def remove(call: Call[Caller]) -> Response:
        await parts.suppressions.remove(call.name("id").lower(), call.who)
        return Answer(ok())

    return routes


def _read_rows(
    asked: Asked, caller: Caller, now_ms: int, *, english: bool
) -> tuple[list[Row], list[Mapping[str, str]]]:
    """Make the rows of a request, and say of each text that is no address what is wrong. Raises Refusal wrong_type."""
    scope = asked.scope
    if asked.reason in FOR_ALL and scope is not None and (scope.sender is not None or scope.category is not None):
        raise Refusal(
            "wrong_type",
            field="scope",
            why_zh=f"{asked.reason} 对所有消息生效，不能再限定 scope",
            why_en=f"{asked.reason} holds for every message, so it has no scope",
        )
    until_ms = None if asked.until is None else round(asked.until.timestamp() * 1_000)
    if until_ms is not None and until_ms <= now_ms:
        raise Refusal("wrong_type", field="until", why_zh="应晚于现在", why_en="it must be later than now")
    spec = BY_NAME[asked.method]
    rows: list[Row] = []
    problems: list[Mapping[str, str]] = []
    for text in asked.to if isinstance(asked.to, list) else [asked.to]:
        address = spec.address.parse(text.strip())
        if address is None or "\0" in text:
            problems.append({"to": text[:254], "detail": spec.address.none.en if english else spec.address.none.zh})
            continue
        rows.append(
            Row(
                new_id(),
                asked.method,
                address,
                asked.reason,
                scope.sender if scope else None,
                scope.category if scope else None,
                now_ms,
                note=asked.note or "",
                added_by=caller.username,
                until_ms=until_ms,
            )
        )
    return rows, problems


def _no_address(asked: Asked) -> Refusal:
    zh, en = "to 应是一个该方式的地址", "to must be one address of this method"
    if isinstance(asked.to, str) and (meant := BY_NAME[asked.method].address.misspelt(asked.to)):
        zh, en = f"to {meant.zh}，请写成 {meant.wanted}", f"to: {meant.en}; write {meant.wanted}"
    return Refusal("recipients_invalid", why_zh=zh, why_en=en)


def _read_filter(given: QueryParams) -> Filter:
    """Read what a page is asked for. Raises Refusal."""
    method, reason, to = given.get("method"), given.get("reason"), given.get("to")
    if method is not None and method not in METHODS:
        raise unknown_method()
    if reason is not None and reason not in set(Reason):
        one_of = ", ".join(Reason)
        raise Refusal("wrong_type", field="reason", why_zh=f"应为 {one_of} 之一", why_en=f"it must be one of {one_of}")
    if to is not None and (not to.strip() or "\0" in to):
        raise Refusal("wrong_type", field="to", why_zh="应是地址或其一部分", why_en="it must be an address or a part")
    return Filter(
        method,
        None if reason is None else Reason(reason),
        None if to is None else _part(to.strip(), method),
        _read_cursor(given.get("cursor")),
        read_number(given, "limit", DEFAULT_LIMIT, 1, MOST),
    )


def _part(text: str, method: str | None) -> str:
    """Bring a whole address into its normal form; a part stays as it is."""
    forms = (BY_NAME[method].address.parse(text) for method in ([method] if method else METHODS))
    return next((form for form in forms if form is not None), text).lower()


def _read_cursor(text: str | None) -> str | None:
    if not text:
        return None
    if len(text) != 32 or not set(text) <= set("0123456789abcdef"):  # noqa: PLR2004  hex digits of an id
        raise Refusal(
            "wrong_type",
            field="cursor",
            why_zh="应原样填写上一页返回的 next，第一页不填",
            why_en="it must be the `next` of the page before, unchanged; leave it out for the first page",
        )
    return text
