"""The times of scheduled requests: a later job of a request, moved or released, replaces the first one's time."""

from typing import Any

from sqlalchemy import Row, and_, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_history.attachments import KEPT_AFTER_EXPIRY
from imsg_history.ids import rfc3339
from imsg_history.merge import MergedBatch, join_people
from imsg_history.records import JobRow, RequestRow
from imsg_history.tables import attachments, jobs, requests


def show_times(request: Row[Any], *, is_held: bool) -> dict[str, str | None]:
    """Return when a request is to be sent, and until when and by which window it is held, if it is."""
    held_until = request.held_until if is_held else None
    return {
        "due_at": None if request.due_at is None else rfc3339(request.due_at),
        "held_until": None if held_until is None else rfc3339(held_until),
        "held_by": request.held_by if is_held else None,
    }


async def update_scheduled(connection: AsyncConnection, batch: MergedBatch) -> None:
    """Write the times of the batch's scheduled requests, where they are newer than those of the rows.

    The jobs' bytes and the life of their attachments follow.
    """
    for name, row in sorted(batch.requests.items()):
        if row.is_further_leg:
            await _join_leg(connection, row, batch.jobs.get(name))
            continue
        if row.version == (False, 0):
            continue
        is_older = and_(
            requests.c.released_at.is_(None), or_(requests.c.moves < row.moves, literal(row.released_at is not None))
        )
        times = {
            "due_at": row.due_at,
            "moves": row.moves,
            "held_until": row.held_until,
            "held_by": row.held_by,
            "released_at": row.released_at,
            "expires_at": row.expires_at,
            "lane": row.lane,
        }
        changed = await connection.execute(update(requests).where(requests.c.request == name, is_older).values(times))
        if not changed.rowcount:
            continue
        if (job := batch.jobs.get(name)) is not None:
            await connection.execute(update(jobs).where(jobs.c.request == name).values(body=job.body))
        kept_until = row.expires_at + KEPT_AFTER_EXPIRY
        is_shorter = and_(attachments.c.request == name, attachments.c.expires_at < kept_until)
        await connection.execute(update(attachments).where(is_shorter).values(expires_at=kept_until))


async def _join_leg(connection: AsyncConnection, row: RequestRow, job: JobRow | None) -> None:
    """Add to a further leg the people who begin it now; its times are those of the last."""
    of_request = requests.c.request == row.request
    if row.released_at is not None:  # else it is the report of those who were skipped
        is_older = or_(requests.c.released_at.is_(None), requests.c.released_at < row.released_at)
        times = {"released_at": row.released_at, "expires_at": row.expires_at}
        await connection.execute(update(requests).where(of_request, is_older).values(times))
    of_job = jobs.c.request == row.request
    before = await connection.scalar(select(jobs.c.body).where(of_job).with_for_update())
    if job is not None and before is not None and bytes(before) != job.body:
        await connection.execute(update(jobs).where(of_job).values(body=join_people(bytes(before), job.body)))
