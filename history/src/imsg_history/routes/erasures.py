"""Erasures of a person's data, by administrators."""

from typing import Annotated

from fastapi import APIRouter, Query

from imsg_contract.error_responses import BODY
from imsg_history.queries import NewErasure, TimePageQuery
from imsg_history.routes.dependencies import HistoryServices
from imsg_history.schemas import ErasureAnswer, ErasuresAnswer, ErasureStateAnswer
from imsg_web.authorization import Administrator, InternalRoute, Reader
from imsg_web.responses import ApiResponse, ok
from imsg_web.schemas import describe_refusals

OBSTACLES = ("method_unknown", "recipients_invalid", "contact_in_use", "no_erasure_key")
"""The reasons to refuse an erasure; the gateway checks whether the address is a user's contact."""

router = APIRouter(prefix="/api/erasures", route_class=InternalRoute)


@router.post("", status_code=202, responses=describe_refusals(*BODY, *OBSTACLES, "no_right"))
async def begin_erasure(administrator: Administrator, body: NewErasure, services: HistoryServices) -> ErasureAnswer:
    """Erase everything that is kept of a person."""
    return ErasureAnswer(id=await services.erasures.begin(body.method, body.to, administrator))


@router.get("", response_model=ErasuresAnswer, responses=describe_refusals("wrong_type", "no_right"))
async def list_erasures(_: Reader, query: Annotated[TimePageQuery, Query()], services: HistoryServices) -> ApiResponse:
    """List erasures, the newest first."""
    page = await services.erasures.find(query)
    return ApiResponse(ok(erasures=page.rows, next=page.next))


@router.get("/{id}", response_model=ErasureStateAnswer, responses=describe_refusals("not_found", "no_right"))
async def show_erasure(_: Reader, id: str, services: HistoryServices) -> ApiResponse:  # noqa: A002  its name in the path
    """Show how far an erasure is."""
    return ApiResponse(ok(**await services.erasures.show(id)))
