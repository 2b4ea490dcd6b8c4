"""The erasures that administrators begin, and their progress."""

import json
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, literal, select, tuple_

from imsg_channels import BY_NAME
from imsg_contract.errors import Refusal
from imsg_history.database import Database
from imsg_history.ids import rfc3339
from imsg_history.pagination import Page, TimePosition, make_page
from imsg_history.queries import TimePageQuery
from imsg_history.tables import erasures
from imsg_history.tombstones import DONE, QUEUES, TombstoneStore, make_erasure_id
from imsg_people.tombstones import Digests, Tombstone
from imsg_web.audit import make_change
from imsg_web.callers import Caller

ERASING, DRAINING = "erasing", "draining"

ACTION = "erasure"


class Erasures:
    """Begins erasures, and shows their state."""

    def __init__(
        self,
        database: Database,
        stones: TombstoneStore,
        digests: Digests,
        now: Callable[[], datetime],
        wake: Callable[[], None],
    ) -> None:
        """`wake` is called when an erasure begins."""
        self._database = database
        self._stones = stones
        self._digests = digests
        self._now = now
        self._wake = wake

    async def begin(self, method: str, to: str, caller: Caller) -> str:
        """Place the tombstone of an address, and return the erasure's id.

        Messages accepted before are no longer sent or recorded.
        Raises Refusal no_erasure_key, recipients_invalid; DatabaseUnavailable.
        """
        if not self._digests:
            raise Refusal("no_erasure_key")
        address = BY_NAME[method].address.parse(to.strip())
        if address is None:
            raise _refuse_address(method, to)
        at = self._now()
        stone = Tombstone(make_erasure_id(at, secrets.token_bytes(10)), self._digests.of(address), at)
        record = make_change(caller, ACTION, stone.id, at, after={"method": method})
        await self._stones.place(stone, method, record)
        await self._stones.synchronize()
        self._wake()
        return stone.id

    async def show(self, name: str) -> dict[str, Any]:
        """Return the state of an erasure and the places that remain. Raises Refusal not_found, DatabaseUnavailable."""
        query = select(erasures.c.state, erasures.c.remains).where(erasures.c.id == name.lower())
        row = await self._database.first(query)
        if row is None:
            raise Refusal("not_found", what=name[:64])
        return _show_state(row)

    async def find(self, query: TimePageQuery) -> Page:
        """Find a page, the newest first. Raises DatabaseUnavailable."""
        columns = erasures.c
        statement = select(erasures).order_by(columns.at.desc(), columns.id.desc()).limit(query.limit + 1)
        if query.cursor is not None:
            position = tuple_(literal(query.cursor.at, columns.at.type), literal(query.cursor.id))
            statement = statement.where(tuple_(columns.at, columns.id) < position)
        rows = await self._database.fetch(statement)
        return make_page(rows, query.limit, _show, lambda row: TimePosition(row.at, row.id))


def _show_state(row: Row[Any]) -> dict[str, Any]:
    state = row.state if row.state == DONE else DRAINING if row.state == QUEUES else ERASING
    return {"state": state, "remains": json.loads(row.remains)}


def _show(row: Row[Any]) -> dict[str, Any]:
    return {"id": row.id, "method": row.method, **_show_state(row), "at": rfc3339(row.at)}


def _refuse_address(method: str, to: str) -> Refusal:
    zh, en = "to 应是一个该方式的地址", "to must be one address of this method"
    if meant := BY_NAME[method].address.find_spelling(to):
        zh, en = f"to {meant.zh}，请写成 {meant.wanted}", f"to: {meant.en}; write {meant.wanted}"
    return Refusal("recipients_invalid", why_zh=zh, why_en=en)
