"""Dead letters, as administrators read them."""

from typing import Annotated

from fastapi import APIRouter, Query

from imsg_history.queries import DeadLettersQuery
from imsg_history.routes.parts import HistoryParts
from imsg_history.schemas import DeadAnswer, DeadListAnswer
from imsg_web.authorization import Administrator, InternalRoute
from imsg_web.responses import Answer, ok
from imsg_web.schemas import describe_refusals

router = APIRouter(prefix="/api/dead", route_class=InternalRoute)


@router.get("", response_model=DeadListAnswer, responses=describe_refusals("wrong_type", "no_right"))
async def list_dead_letters(
    _: Administrator, query: Annotated[DeadLettersQuery, Query()], parts: HistoryParts
) -> Answer:
    """List dead letters."""
    page = await parts.dead_letters.find(query)
    return Answer(ok(dead=page.rows, next=page.next))


@router.get("/{id}", response_model=DeadAnswer, responses=describe_refusals("not_found", "no_right"))
async def show_dead_letter(_: Administrator, id: str, parts: HistoryParts) -> Answer:  # noqa: A002  its name in the path
    """Show one dead letter."""
    return Answer(ok(**await parts.dead_letters.show(id)))
