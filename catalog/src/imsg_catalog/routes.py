"""The catalog's routes, which the gateway relays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_catalog.groups import routes as group_routes
from imsg_catalog.groups.store import Groups
from imsg_catalog.price_schemas import PricesAnswer, PricesBody, show_prices
from imsg_catalog.prices import Prices
from imsg_catalog.store import Filter, Row
from imsg_catalog.suppression_schemas import (
    AddedAnswer,
    FailedRecipients,
    NewSuppressions,
    ProblemShape,
    RemovedAnswer,
    SuppressionsAnswer,
    SuppressionShape,
    SuppressionsQuery,
    show,
    show_to_owner,
)
from imsg_catalog.suppressions import Suppressions
from imsg_catalog.templates.routes import router as template_routes
from imsg_catalog.templates.service import Templates
from imsg_channels import BY_NAME, METHODS
from imsg_contract import error_responses
from imsg_contract.addresses import identity
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_contract.prices import Price
from imsg_contract.suppressions import FOR_ALL
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_web.app import accept_language, find_services, make_internal_app
from imsg_web.authorization import Administrator, InternalRoute, Operator, Reader
from imsg_web.callers import Caller, CallerCheck
from imsg_web.etags import IfMatch, make_etag
from imsg_web.responses import prefers_english, refuse_value
from imsg_web.schemas import describe_refusals

UNAVAILABLE = (DatabaseUnavailable, RedisUnavailable, RedisRefused, PublishRefused, PublishUnknown)
"""What a route may find unavailable."""

MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class RouteServices:
    """The services that routes call."""

    suppressions: Suppressions
    prices: Prices
    groups: Groups
    now_ms: Callable[[], int]


def api(services: RouteServices, templates: Templates, check: CallerCheck) -> FastAPI:
    """Make the API."""
    routers = [router, internal, prices, template_routes, group_routes.router, group_routes.internal]
    app = make_internal_app("iMSG catalog", check, routers, UNAVAILABLE)
    app.state.services = services
    app.state.templates = templates
    return app


CatalogServices = Annotated[RouteServices, Depends(find_services)]

router = APIRouter(prefix="/api/suppressions", route_class=InternalRoute)
internal = APIRouter(prefix="/internal/suppressions", route_class=InternalRoute, include_in_schema=False)
prices = APIRouter(prefix="/api/prices", route_class=InternalRoute)


@router.get("", responses=describe_refusals("no_right", "wrong_type", "method_unknown"))
async def list_suppressions(
    _: Reader, query: Annotated[SuppressionsQuery, Query()], services: CatalogServices
) -> SuppressionsAnswer:
    """List the suppressions, newest first; users see those that failed their own messages."""
    return await _list(services, query, _make_filter(query), show)


@internal.post("/failed")
async def list_failed(
    query: Annotated[SuppressionsQuery, Query()], body: FailedRecipients, services: CatalogServices
) -> SuppressionsAnswer:
    """List the suppressions of recipients that a user's messages did not reach, as that user may see them."""
    written = {(recipient.method, identity(recipient.address)): recipient.written for recipient in body.recipients}
    wanted = replace(_make_filter(query), places=list(written))
    return await _list(services, query, wanted, lambda row: show_to_owner(row, written[row.place]))


@router.post("", responses=describe_refusals("no_right", *error_responses.BODY, "method_unknown", "recipients_invalid"))
async def add_suppressions(
    operator: Operator, body: NewSuppressions, request: Request, services: CatalogServices
) -> AddedAnswer:
    """Suppress addresses: nothing is sent to them any more."""
    english = prefers_english(accept_language(request))
    rows, problems = _read_rows(body, operator, services.now_ms(), english=english)
    if not rows and isinstance(body.to, str):
        raise _refuse_address(body)
    new = await services.suppressions.add(rows, operator)
    return AddedAnswer(
        id=new[0].id if len(new) == 1 else None,
        added=len(new),
        known=len(rows) - len(new),
        problems=problems[:MAX_PROBLEMS],
        problems_total=len(problems),
    )


@router.delete("/{id}", responses=describe_refusals("no_right", "not_found"))
async def remove_suppression(operator: Operator, id: str, services: CatalogServices) -> RemovedAnswer:  # noqa: A002  its name in the path
    """Remove a suppression: messages to the address are sent again."""
    await services.suppressions.remove(id.lower(), operator)
    return RemovedAnswer()


@prices.get("", responses=describe_refusals("no_right"))
async def list_prices(_: Reader, services: CatalogServices, response: Response) -> PricesAnswer:
    """List the prices of providers."""
    return _show_prices(await services.prices.find(), response)


@prices.put("", responses=describe_refusals("no_right", *error_responses.BODY, "if_match_required", "changed"))
async def replace_prices(
    administrator: Administrator,
    body: PricesBody,
    services: CatalogServices,
    response: Response,
    *,
    if_match: IfMatch = None,
) -> PricesAnswer:
    """Replace the prices; costs shown from now on go by them, of messages sent before too."""
    rows = [price.make_price() for price in body.prices]
    return _show_prices(await services.prices.replace(administrator, rows, if_match), response)


async def _list(
    services: RouteServices, query: SuppressionsQuery, wanted: Filter, write: Callable[[Row], SuppressionShape]
) -> SuppressionsAnswer:
    rows = await services.suppressions.page(wanted)
    following = rows[-1].id if len(rows) == wanted.limit else None
    total = await services.suppressions.count(wanted) if query.total else None
    return SuppressionsAnswer(suppressions=[write(row) for row in rows], next=following, total=total)


def _show_prices(rows: Sequence[Price], response: Response) -> PricesAnswer:
    response.headers["ETag"] = make_etag(rows)
    return show_prices(rows)


def _read_rows(
    body: NewSuppressions, caller: Caller, now_ms: int, *, english: bool
) -> tuple[list[Row], list[ProblemShape]]:
    """Make the rows of a request, and say of each text that is no address what is wrong. Raises Refusal wrong_type."""
    scope = body.scope
    if body.reason in FOR_ALL and scope is not None and (scope.sender is not None or scope.category is not None):
        raise Refusal(
            "wrong_type",
            field="scope",
            why_zh=f"{body.reason} 对所有消息生效，不能再限定 scope",
            why_en=f"{body.reason} holds for every message, so it has no scope",
        )
    until_ms = None if body.until is None else round(body.until.timestamp() * 1_000)
    if until_ms is not None and until_ms <= now_ms:
        raise refuse_value("until", "应晚于现在", "it must be later than now")
    spec = BY_NAME[body.method]
    rows: list[Row] = []
    problems: list[ProblemShape] = []
    for text in body.to if isinstance(body.to, list) else [body.to]:
        address = spec.address.parse(text.strip())
        if address is None or "\0" in text:
            detail = spec.address.error.en if english else spec.address.error.zh
            problems.append(ProblemShape(to=text[:254], detail=detail))
            continue
        rows.append(
            Row(
                new_id(),
                body.method,
                address,
                body.reason,
                scope.sender if scope else None,
                scope.category if scope else None,
                now_ms,
                note=body.note or "",
                added_by=caller.username,
                until_ms=until_ms,
            )
        )
    return rows, problems


def _refuse_address(body: NewSuppressions) -> Refusal:
    zh, en = "to 应是一个该方式的地址", "to must be one address of this method"
    if isinstance(body.to, str) and (meant := BY_NAME[body.method].address.find_spelling(body.to)):
        zh, en = f"to {meant.zh}，请写成 {meant.wanted}", f"to: {meant.en}; write {meant.wanted}"
    return Refusal("recipients_invalid", why_zh=zh, why_en=en)


def _make_filter(query: SuppressionsQuery) -> Filter:
    return Filter(query.method, query.reason, _find_part(query), query.cursor or None, query.limit)


def _find_part(query: SuppressionsQuery) -> str | None:
    """Return the part of an address that is looked for; a whole address in its normal form."""
    if query.to is None:
        return None
    text = query.to.strip()
    forms = (BY_NAME[method].address.parse(text) for method in ([query.method] if query.method else METHODS))
    return next((form for form in forms if form is not None), text).lower()
