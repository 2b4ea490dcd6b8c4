"""Erasures as administrators ask for them: POST /api/v2/erasures, and what remains."""

import hashlib
import json
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import select

from imsg_channels import BY_NAME
from imsg_contract.errors import Refusal
from imsg_history.database import Database
from imsg_history.events import compact
from imsg_history.records import AuditRow
from imsg_history.tables import erasures
from imsg_history.tombstones import DONE, QUEUES, TombstoneStore, fresh_id
from imsg_people.tombstones import Digests, Tombstone
from imsg_web.callers import Caller

ERASING, DRAINING = "erasing", "draining"

ACTION = "erasure"


class Erasures:
    """Takes erasures in, and tells how they stand."""

    def __init__(
        self,
        database: Database,
        stones: TombstoneStore,
        digests: Digests,
        now: Callable[[], datetime],
        wake: Callable[[], None],
    ) -> None:
        """`wake` is told that there is something to do."""
        self._database = database
        self._stones = stones
        self._digests = digests
        self._now = now
        self._wake = wake

    async def begin(self, method: str, to: str, caller: Caller) -> str:
        """Place an address's tombstone; return the erasure's id. Nothing accepted before is sent or recorded any more.

        Raises Refusal no_erasure_key, recipients_invalid; DatabaseUnavailable.
        """
        if not self._digests:
            raise Refusal("no_erasure_key")
        address = BY_NAME[method].address.parse(to.strip())
        if address is None:
            raise _no_address(method, to)
        at = self._now()
        stone = Tombstone(fresh_id(at, secrets.token_bytes(10)), self._digests.of(address), at)
        await self._stones.place(stone, method, _record(stone, method, caller))
        await self._stones.exchange()
        self._wake()
        return stone.id

    async def show(self, name: str) -> dict[str, Any]:
        """Tell how an erasure stands. Raises Refusal not_found, DatabaseUnavailable."""
        query = select(erasures.c.state, erasures.c.remains).where(erasures.c.id == name.lower())
        row = (await self._database.read(lambda connection: connection.execute(query))).first()
        if row is None:
            raise Refusal("not_found", what=name[:64])
        state = row.state if row.state == DONE else DRAINING if row.state == QUEUES else ERASING
        return {"state": state, "remains": json.loads(row.remains)}


def _no_address(method: str, to: str) -> Refusal:
    zh, en = "to 应是一个该方式的地址", "to must be one address of this method"
    if meant := BY_NAME[method].address.misspelt(to):
        zh, en = f"to {meant.zh}，请写成 {meant.wanted}", f"to: {meant.en}; write {meant.wanted}"
    return Refusal("recipients_invalid", why_zh=zh, why_en=en)


def _record(stone: Tombstone, method: str, caller: Caller) -> AuditRow:
    details = compact({"method": method})
    name = hashlib.sha256(repr((stone.at, caller.username, ACTION, stone.id, details)).encode()).hexdigest()[:32]
    return AuditRow(name, stone.at, caller.username, ACTION, stone.id, details)
