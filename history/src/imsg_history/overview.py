"""One request at a glance: GET /api/requests/ID."""

from collections import Counter
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.errors import Refusal
from imsg_contract.wire import SETTLED, Category, Status
from imsg_history.database import Database
from imsg_history.ids import Name, rfc3339, time_of
from imsg_history.ownership import is_of
from imsg_history.tables import messages, requests
from imsg_web.callers import Caller


class Overviews:
    """Counts the messages of a request."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def one(self, text: str, caller: Caller) -> dict[str, Any]:
        """Show a request of the caller's own, or (to administrators) anybody's.

        Raises Refusal not_found, DatabaseUnavailable.
        """
        name = Name.read(text)
        if name is None or name.n is not None:
            raise Refusal("not_found", what=text[:64])
        return await self._database.read(lambda connection: _overview(connection, name.request, caller))


async def _overview(connection: AsyncConnection, request: str, caller: Caller) -> dict[str, Any]:
    row = (await connection.execute(select(requests).where(requests.c.request == request))).first()
    if row is None or not (caller.is_admin or is_of(row.username, row.user_id, row.request, caller)):
        raise Refusal("not_found", what=request)
    counting = (
        select(messages.c.status, func.count().label("count"))
        .where(messages.c.request == request)
        .group_by(messages.c.status)
    )
    counts = Counter({Status(found.status): found.count for found in await connection.execute(counting)})
    return {
        "id": request,
        "reference": row.reference,
        "method": row.method,
        "category": row.category or Category.NOTICE,
        "state": state_of(counts),
        "counts": {status.value: counts[status] for status in Status},
        "created_at": rfc3339(time_of(request)),
    }


def state_of(counts: Counter[Status]) -> str:
    """Sum up how a request stands."""
    if all(status in SETTLED for status in counts):
        return "settled"
    return "queued" if set(counts) == {Status.QUEUED} else "sending"
