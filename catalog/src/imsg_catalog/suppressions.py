"""Suppressions: added by people or reported by senders, listed, removed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from imsg_broker.port import Broker
from imsg_catalog.erasing import ErasedPeople, erase
from imsg_catalog.mirror import Mirror
from imsg_catalog.store import Filter, Place, Row, Store
from imsg_catalog.tables import MAX_ADDRESS, MAX_EVIDENCE, MAX_SENDER
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_contract.suppressions import FOR_ALL, Suppression, erased_field
from imsg_contract.topology import CHANGE
from imsg_web.audit import make_change
from imsg_web.callers import Caller
from imsg_web.schemas import MAX_TOTAL

REMOVED = "suppression_removed"


class Suppressions:
    """The operations on suppressions. All raise DatabaseUnavailable; those that write RedisUnavailable, RedisRefused.

    An administrator's operation is rolled back where its audit record can't be published: PublishRefused,
    PublishUnknown.
    """

    def __init__(
        self, store: Store, mirror: Mirror, erased: ErasedPeople, broker: Broker, now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._mirror = mirror
        self._erased = erased
        self._broker = broker
        self._now_ms = now_ms

    async def add(self, rows: Sequence[Row], by: Caller | None = None) -> list[Row]:
        """Add suppressions and return the new ones; the next claim obeys them."""
        async with self._store.writing() as table:
            known = await self._erased.find([row.address for row in rows])
            remaining = [suppression for row in rows if (suppression := erase(row, known.get(row.address))) is not None]
            new = await table.add(remaining, self._now_ms())
            if new and by is not None:
                await self._publish_audit(by, "suppressions_added", new)
            await self._mirror.write(table, [row.place for row in new])
        return new

    async def process(self, reported: Sequence[Suppression]) -> int:
        """Process reported suppressions in their order; return how many were new."""
        count = 0
        async with self._store.writing() as table:
            known = await self._erased.find([suppression.address for suppression in reported])
            places: list[Place] = []
            for suppression in reported:
                row, stone = _make_row(suppression), known.get(suppression.address)
                hidden = None if stone is None else replace(row, address=erased_field(stone[0]))
                kept = erase(row, stone)
                if suppression.lifts:
                    await table.lift([row.key, *([] if hidden is None else [hidden.key])])
                elif kept is not None:
                    count += len(await table.add([kept], self._now_ms()))
                places += [row.place, *([] if hidden is None else [hidden.place])]
            await self._mirror.write(table, places)
        return count

    async def page(self, wanted: Filter) -> list[Row]:
        """Read a page, newest first; an erased person is found by the whole address only."""
        wanted = await self._add_erased(wanted)
        async with self._store.reading() as table:
            return await table.page(wanted)

    async def count(self, wanted: Filter) -> int:
        """Count the rows of all pages, `MAX_TOTAL` + 1 at most."""
        wanted = await self._add_erased(wanted)
        async with self._store.reading() as table:
            return await table.count(wanted, MAX_TOTAL + 1)

    async def _add_erased(self, wanted: Filter) -> Filter:
        if wanted.part is None:
            return wanted
        known = await self._erased.find([wanted.part])
        return replace(wanted, people=[erased_field(digest) for digest, _ in known.values()])

    async def remove(self, name: str, by: Caller) -> Row:
        """Remove a suppression. Raises Refusal not_found."""
        async with self._store.writing() as table:
            row = await table.find(name)
            if row is None:
                raise Refusal("not_found", what=name[:64])
            await table.remove([name])
            await self._publish_audit(by, REMOVED, [row])
            await self._mirror.write(table, [row.place])
        return row

    async def _publish_audit(self, by: Caller, action: str, rows: Sequence[Row]) -> None:
        """Publish an audit record: the id of one suppression, or the number of several; never an address."""
        first = rows[0]
        target = first.id if len(rows) == 1 else f"{len(rows)} suppressions"
        state = {"method": first.method, "reason": first.reason.value}
        at = datetime.fromtimestamp(self._now_ms() / 1_000, UTC)
        if action == REMOVED:
            change = make_change(by, action, target, at, before=state)
        else:
            change = make_change(by, action, target, at, after=state)
        await self._broker.publish(change.model_dump_json().encode(), self._broker.topology.new(CHANGE))


def _make_row(suppression: Suppression) -> Row:
    is_for_all = suppression.reason in FOR_ALL
    return Row(
        new_id(),
        suppression.method[:16],
        _cut(suppression.address, MAX_ADDRESS),
        suppression.reason,
        None if is_for_all or suppression.sender is None else _cut(suppression.sender, MAX_SENDER),
        None if is_for_all else suppression.category,
        _milliseconds(suppression.at),
        evidence=_cut(suppression.evidence, MAX_EVIDENCE),
        request=suppression.request,
        n=suppression.n,
        until_ms=None if suppression.until is None else _milliseconds(suppression.until),
    )


def _cut(text: str, max_characters: int) -> str:
    """Cut a text, without U+0000, which PostgreSQL can't store."""
    return text.replace("\0", "")[:max_characters]


def _milliseconds(at: datetime) -> int:
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)
