"""One request at a glance: GET /api/requests/ID."""

from collections import Counter
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.errors import Refusal
from imsg_contract.wire import SETTLED, Status
from imsg_history.database import Database
from imsg_history.ids import Name, rfc3339, time_of
from imsg_history.ownership import may_see
from imsg_history.tables import messages, requests
from imsg_web.callers import Caller


class Overviews:
    """Shows requests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, text: str, caller: Caller) -> dict[str, Any]:
        """Show a request of the caller, or (to administrators) of any user.

        Raises Refusal not_found, DatabaseUnavailable.
        """
        name = Name.read(text)
        if name is None or name.n is not None:
            raise Refusal("not_found", what=text[:64])
        return await self._database.read(lambda connection: _read_overview(connection, name.request, caller))


async def _read_overview(connection: AsyncConnection, request: str, caller: Caller) -> dict[str, Any]:
    row = (await connection.execute(select(requests).where(requests.c.request == request))).first()
    if row is None or not may_see(row, caller):
        raise Refusal("not_found", what=request)
    counting = (
        select(messages.c.status, func.count().label("count"))
        .where(messages.c.request == request)
        .group_by(messages.c.status)
    )
    counts = Counter({Status(counted.status): counted.count for counted in await connection.execute(counting)})
    return {
        "id": request,
        "reference": row.reference,
        "key": row.key,
        "method": row.method,
        "category": row.category,
        "state": state_of(counts),
        "counts": {status.value: counts[status] for status in Status},
        "created_at": rfc3339(time_of(request)),
    }


def state_of(counts: Counter[Status]) -> str:
    """Return the state of a request by the statuses of its messages."""
    if all(status in SETTLED for status in counts):
        return "settled"
    return "queued" if set(counts) == {Status.QUEUED} else "sending"
