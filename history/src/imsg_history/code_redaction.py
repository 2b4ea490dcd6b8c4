"""Redaction of codes: the text of a log-in code is useless once the code has arrived or failed."""

from collections.abc import Sequence

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import OPEN
from imsg_database.arrays import is_one_of
from imsg_database.engines import is_postgres
from imsg_history import redaction
from imsg_history.tables import IS_CODE_WITH_CONTENT, attachments, dead, jobs, messages, requests

_IS_SETTLED = ~exists().where(
    messages.c.request == requests.c.request,
    messages.c.status.in_(OPEN),
)

SLICE = 1_000


async def redact_codes(connection: AsyncConnection, names: Sequence[str] | None = None) -> int:
    """Redact the codes of requests whose messages have all settled, of these or (None) of any; return their number.

    At most `SLICE` are redacted. The caller commits.
    """
    on_postgres = is_postgres(connection)
    settled = select(requests.c.request).where(IS_CODE_WITH_CONTENT, _IS_SETTLED)
    if names is not None:
        settled = settled.where(is_one_of(requests.c.request, names, is_postgres=on_postgres))
    request_ids = list((await connection.execute(settled.order_by(requests.c.request).limit(SLICE))).scalars())
    if request_ids:
        is_found = is_one_of(requests.c.request, request_ids, is_postgres=on_postgres)
        await connection.execute(update(requests).where(is_found).values(redaction.EMPTY_CONTENT))
        is_found = is_one_of(messages.c.request, request_ids, is_postgres=on_postgres)
        await connection.execute(update(messages).where(is_found, messages.c.params.is_not(None)).values(params=None))
        for table in (attachments, jobs):
            is_found = is_one_of(table.c.request, request_ids, is_postgres=on_postgres)
            await connection.execute(delete(table).where(is_found))
        is_found = is_one_of(dead.c.request, request_ids, is_postgres=on_postgres)
        await connection.execute(update(dead).where(is_found).values(body=b""))
    return len(request_ids)
