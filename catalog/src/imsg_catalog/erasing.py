"""Erasure of people from the suppressions; a person's own opt-out outlives their address, as a digest.

A person who unsubscribed, complained or opted out must get no more messages after their erasure either. So the catalog
keeps method, reason, sender, category and end under the digest of the tombstone: senders that hold the address find it,
and the address can't be read from it. Reports of servers and providers (a hard bounce, an invalid number) are deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from imsg_catalog.mirror import Mirror
from imsg_catalog.store import Row, Store
from imsg_catalog.tables import MAX_SENDER
from imsg_contract.addresses import identity
from imsg_contract.mentions import find_mentions
from imsg_contract.suppressions import OF_THEIR_OWN_WILL, erased_field
from imsg_contract.topology import TOMBSTONES
from imsg_people.erasing import Erase, Stones
from imsg_people.tombstones import Digests
from imsg_runtime.redis import Redis

PAGE = 500
"""Rows of one transaction."""


def erase(row: Row, stone: tuple[str, int] | None) -> Row | None:
    """Return the row that remains of a suppression whose person has this tombstone (digest, ms); None: no row.

    A person's own opt-out is kept under the digest, whatever its time: a link in an old mail must not bring the address
    back. A later report on the address, which may be used again, is kept unchanged.
    """
    if stone is None:
        return row
    digest, at_ms = stone
    if row.reason in OF_THEIR_OWN_WILL:
        is_named = identity(row.address) in map(identity, find_mentions(row.sender or ""))
        sender = erased_field(digest)[:MAX_SENDER] if is_named else row.sender
        return replace(row, address=erased_field(digest), sender=sender, evidence="", note="", request=None, n=None)
    return None if row.created_ms <= at_ms else row


class ErasedPeople:
    """The tombstones in Redis. Methods raise RedisUnavailable, RedisRefused."""

    def __init__(self, redis: Redis, digests: Digests) -> None:
        self.digests = digests
        self._redis = redis

    async def find(self, addresses: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        """Return the tombstones of addresses: address → digest, milliseconds."""
        if not self.digests or not addresses:
            return {}
        known = await self.digests.of_many(addresses)
        pairs = [(address, digest) for address, digests in known.items() for digest in digests]
        reply = await self._redis.call("HMGET", TOMBSTONES, *(digest for _, digest in pairs))
        return {
            address: (digest, int(stone.split()[0]))
            for (address, digest), stone in zip(pairs, reply, strict=True)
            if stone
        }


class CatalogErasure:
    """Erases people from the suppressions, and from the other tables of the catalog."""

    def __init__(self, erased: ErasedPeople, store: Store, mirror: Mirror, others: Sequence[Erase] = ()) -> None:
        """`others` erase from the other tables."""
        self._others = others
        self._erased = erased
        self._store = store
        self._mirror = mirror

    async def erase(self, stones: Stones) -> int:
        """Return how many rows changed. Raises DatabaseUnavailable, RedisUnavailable, RedisRefused."""
        count = await self._erase_rows(stones)
        for erase_others in self._others:
            count += await erase_others(stones)
        await self._store.purge()
        return count

    async def _erase_rows(self, stones: Stones) -> int:
        after, count = "", 0
        while True:
            async with self._store.writing() as rows:
                page = await rows.list_after(after, PAGE)
                if not page:
                    return count
                after = page[-1].id
                mentioned = {row.id: find_mentions(f"{row.note}\n{row.evidence}") for row in page}
                people = {row.address for row in page}.union(*mentioned.values())
                digests = await self._erased.digests.of_many(people)
                rewritten = {row.id: erase(row, _find_stone(digests[row.address], stones)) for row in page}
                named = {
                    row.id
                    for row in page
                    if any(_is_erased_since(row, digests[address], stones) for address in mentioned[row.id])
                }
                rewritten |= {
                    row.id: replace(row, note="", evidence="")
                    for row in page
                    if row.id in named and rewritten[row.id] is row
                }
                changed = [row for row in page if rewritten[row.id] is not row]
                if changed:
                    await rows.remove([row.id for row in changed])
                    new = [changed_row for row in changed if (changed_row := rewritten[row.id]) is not None]
                    await rows.add(new, 0)
                    await self._mirror.write(rows, [row.place for row in (*changed, *new)])
                    count += len(changed)


def _is_erased_since(row: Row, digests: Sequence[str], stones: Stones) -> bool:
    stone = _find_stone(digests, stones)
    return stone is not None and row.created_ms <= stone[1]


def _find_stone(digests: Sequence[str], stones: Stones) -> tuple[str, int] | None:
    return next(((digest, stones[digest]) for digest in digests if digest in stones), None)
