"""What is done with suppressions: added by hand or as they are learned, listed, taken away."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from imsg_broker.port import Broker
from imsg_catalog.erasing import Erased, erase
from imsg_catalog.mirror import Mirror
from imsg_catalog.store import Filter, Place, Row, Store
from imsg_catalog.tables import MAX_ADDRESS, MAX_EVIDENCE, MAX_SENDER
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_contract.suppressions import FOR_ALL, Suppression, erased_field
from imsg_contract.topology import CHANGE
from imsg_contract.wire import Change
from imsg_web.callers import Caller


class Suppressions:
    """The use cases. All raise DatabaseUnavailable; those that change something RedisUnavailable, RedisRefused.

    What an administrator does stands in the audit, or is not done: PublishRefused, PublishUnknown.
    """

    def __init__(self, store: Store, mirror: Mirror, erased: Erased, broker: Broker, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._mirror = mirror
        self._erased = erased
        self._broker = broker
        self._now_ms = now_ms

    async def add(self, rows: Sequence[Row], by: Caller | None = None) -> list[Row]:
        """Add what does not stand yet, in force for the next claim; return that."""
        async with self._store.writing() as table:
            known = await self._erased.find([row.address for row in rows])
            kept = [one for row in rows if (one := erase(row, known.get(row.address))) is not None]
            new = await table.add(kept, self._now_ms())
            if new and by is not None:
                await self._note(by, "suppressions_added", new)
            await self._mirror.show(table, [row.place for row in new])
        return new

    async def learn(self, told: Sequence[Suppression]) -> int:
        """Take in what others tell, in their order; return how many were new."""
        count = 0
        async with self._store.writing() as table:
            known = await self._erased.find([one.address for one in told])
            places: list[Place] = []
            for one in told:
                row, stone = _make_row(one), known.get(one.address)
                hidden = None if stone is None else replace(row, address=erased_field(stone[0]))
                kept = erase(row, stone)
                if one.lifts:
                    await table.lift([row.key, *([] if hidden is None else [hidden.key])])
                elif kept is not None:
                    count += len(await table.add([kept], self._now_ms()))
                places += [row.place, *([] if hidden is None else [hidden.place])]
            await self._mirror.show(table, places)
        return count

    async def page(self, wanted: Filter) -> list[Row]:
        """Read a page, the newest first; who was erased is found by their whole address alone."""
        if wanted.part is not None:
            known = await self._erased.find([wanted.part])
            wanted = replace(wanted, people=[erased_field(digest) for digest, _ in known.values()])
        async with self._store.reading() as table:
            return await table.page(wanted)

    async def remove(self, name: str, by: Caller) -> Row:
        """Take one away. Raises Refusal not_found."""
        async with self._store.writing() as table:
            row = await table.find(name)
            if row is None:
                raise Refusal("not_found", what=name[:64])
            await table.remove([name])
            await self._note(by, "suppression_removed", [row])
            await self._mirror.show(table, [row.place])
        return row

    async def _note(self, by: Caller, action: str, rows: Sequence[Row]) -> None:
        """Have the audit say who did it, of one by its id, of many how many; never an address."""
        first = rows[0]
        change = Change(
            actor=by.username,
            action=action,
            subject=first.id if len(rows) == 1 else f"{len(rows)} suppressions",
            details={"method": first.method, "reason": first.reason.value},
            at=datetime.fromtimestamp(self._now_ms() / 1_000, UTC),
            actor_id=by.user_id,
        )
        await self._broker.publish(change.model_dump_json().encode(), self._broker.topology.new(CHANGE))


def _make_row(one: Suppression) -> Row:
    is_for_all = one.reason in FOR_ALL
    return Row(
        new_id(),
        one.method[:16],
        _cut(one.address, MAX_ADDRESS),
        one.reason,
        None if is_for_all or one.sender is None else _cut(one.sender, MAX_SENDER),
        None if is_for_all else one.category,
        _milliseconds(one.at),
        evidence=_cut(one.evidence, MAX_EVIDENCE),
        request=one.request,
        n=one.n,
        until_ms=None if one.until is None else _milliseconds(one.until),
    )


def _cut(text: str, most: int) -> str:
    """Make a text that a row can hold: PostgreSQL's have no NUL."""
    return text.replace("\0", "")[:most]


def _milliseconds(at: datetime) -> int:
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)
