"""Which provider took the messages that a named receipt has moved: a bounce knows the message and not its provider."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import Status
from imsg_history.merge import RANK
from imsg_history.tables import attempts, messages

Key = tuple[str, int]
"""(request, n)"""

Sending = tuple[str | None, str | None]
"""(provider, provider_id)"""

SLICE = 500


def may_be_named(row: Row[Any]) -> bool:
    """Tell whether a message or event may stand where a receipt has put it that names no provider."""
    return row.provider is None and row.status in (Status.DELIVERED.value, Status.FAILED.value)


async def find_sendings(connection: AsyncConnection, rows: Collection[Row[Any]]) -> dict[Key, Sending]:
    """Find by its attempts who took each message that stands by a receipt without a provider."""
    keys = sorted({(row.request, row.n) for row in rows if may_be_named(row)})
    best: dict[Key, Any] = {}
    for first in range(0, len(keys), SLICE):
        query = (
            select(attempts)
            .join(messages, (messages.c.request == attempts.c.request) & (messages.c.n == attempts.c.n))
            .where(
                tuple_(attempts.c.request, attempts.c.n).in_(keys[first : first + SLICE]),
                attempts.c.attempt.is_not(None),
                messages.c.provider.is_(None),
                messages.c.attempt == 0,
                messages.c.rank >= RANK[Status.FAILED],
            )
        )
        for row in await connection.execute(query):
            known = best.get((row.request, row.n))
            if known is None or _stand(row) > _stand(known):
                best[row.request, row.n] = row
    return {key: (row.provider, row.provider_id) for key, row in best.items()}


def _stand(row: Row[Any]) -> tuple[Any, ...]:
    return RANK[Status(row.status)], row.attempt, row.at, row.mark
