"""Dead letters, as administrators read them."""

from typing import Annotated

from fastapi import APIRouter, Query

from imsg_history.queries import TimePageQuery
from imsg_history.routes.dependencies import HistoryServices
from imsg_history.schemas import DeadAnswer, DeadListAnswer
from imsg_web.authorization import InternalRoute, Operator, Reader
from imsg_web.responses import ApiResponse, ok
from imsg_web.schemas import Success, describe_refusals

MAX_ID = 64
"""Characters of an id that the audit repeats."""

router = APIRouter(prefix="/api/dead", route_class=InternalRoute)


@router.get("", response_model=DeadListAnswer, responses=describe_refusals("wrong_type", "no_right"))
async def list_dead_letters(
    _: Reader, query: Annotated[TimePageQuery, Query()], services: HistoryServices
) -> ApiResponse:
    """List dead letters."""
    page = await services.dead_letters.find(query)
    return ApiResponse(ok(dead=page.rows, next=page.next))


@router.get("/{id}", response_model=DeadAnswer, responses=describe_refusals("not_found", "no_right"))
async def show_dead_letter(user: Reader, id: str, services: HistoryServices) -> ApiResponse:  # noqa: A002  its name in the path
    """Show one dead letter."""
    if user.sees_content:
        await services.audit.record_read(user, "dead_letter_read", id[:MAX_ID])
    return ApiResponse(ok(**await services.dead_letters.show(id, user)))


@router.delete("/{id}", responses=describe_refusals("not_found", "no_right"))
async def remove_dead_letter(operator: Operator, id: str, services: HistoryServices) -> Success:  # noqa: A002  its name in the path
    """Remove one dead letter; its message doesn't change."""
    await services.dead_letters.remove(id, operator, services.now())
    return Success()
