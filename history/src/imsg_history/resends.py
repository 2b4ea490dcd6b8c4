"""What was sent again, and as what: read from the requests that say of themselves what they send again.

An address stands once in a request, so that it tells which message of the new request is of which of the old.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import message_id
from imsg_history.tables import SENDS_AGAIN, messages, requests

Resent = Mapping[tuple[str, str], list[str]]
"""Request and address of a message → the messages that it was sent again as, oldest first."""


async def find_resent(connection: AsyncConnection, of: Iterable[str]) -> Resent:
    """Find what messages of these requests were sent again as."""
    found = await connection.execute(
        select(messages.c.request, messages.c.n, messages.c.address, SENDS_AGAIN.label("old"))
        .join(requests, requests.c.request == messages.c.request)
        .where(requests.c.resend_of.is_not(None), SENDS_AGAIN.in_(list(of)), messages.c.address.is_not(None))
        .order_by(messages.c.request, messages.c.n)
    )
    resent: dict[tuple[str, str], list[str]] = {}
    for row in found:
        resent.setdefault((row.old, row.address), []).append(message_id(row.request, row.n))
    return resent
