"""The provider of a message whose status a bounce has set: a bounce names the message, and not its provider."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import Status
from imsg_history.merge import RANK
from imsg_history.tables import attempts, messages

Key = tuple[str, int]
"""(request, n)"""

ProviderAndId = tuple[str | None, str | None]
"""(provider, provider_id)"""

SLICE = 500


def _may_be_bounced(row: Row[Any]) -> bool:
    """Return whether a bounce may have set the status of a message or event."""
    return row.provider is None and row.status in (Status.DELIVERED.value, Status.FAILED.value)


async def find_providers(connection: AsyncConnection, rows: Collection[Row[Any]]) -> dict[Key, ProviderAndId]:
    """Find the provider of each message whose status a bounce has set, by its best attempt."""
    keys = sorted({(row.request, row.n) for row in rows if _may_be_bounced(row)})
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
            if known is None or _precedence(row) > _precedence(known):
                best[row.request, row.n] = row
    return {key: (row.provider, row.provider_id) for key, row in best.items()}


def _precedence(row: Row[Any]) -> tuple[Any, ...]:
    return RANK[Status(row.status)], row.attempt, row.at, row.mark
