"""Tombstones: whose data was erased, and when; an address is known here by its HMAC alone.

Redis mirrors them for those who send: a hash digest → `AT_MS ID`, written by history, which owns them.
"""

import asyncio
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from imsg_contract.addresses import identity
from imsg_contract.topology import TOMBSTONES
from imsg_runtime.redis import Argument, Read, Redis, RedisRefused, RedisUnavailable, Script

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

BLOCK_BYTES = 64
"""Of SHA-256."""

OFF_LOOP = 2_000
"""From so many addresses on digests are made in a thread: a microsecond or two each."""

_RAISE = Script.of("""
for i = 1, #ARGV, 3 do
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  local at = known and tonumber(string.match(known, '^%d+')) or -1
  if tonumber(ARGV[i + 1]) > at then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
  end
end
return redis.call('HLEN', KEYS[1])
""")
"""ARGV: digest, milliseconds, id; and so on. The later of two of one digest stands."""


class Digests:
    """Makes digests; the first key signs, all verify (`IMSG_ERASURE_KEY`)."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys = tuple(_Hmac(key.get_secret_value().encode()) for key in keys)

    def __bool__(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    def of(self, address: str) -> str:
        """Return the digest under which an address is erased: 64 hex digits."""
        return self._keys[0].of(identity(address))

    def all_of(self, address: str) -> tuple[str, ...]:
        """Return every digest under which it may be erased."""
        who = identity(address)
        return tuple([key.of(who) for key in self._keys])

    async def of_many(self, found: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the digests of many addresses, off the loop where they are very many."""
        wanted = set(found)
        if len(wanted) >= OFF_LOOP:
            return await asyncio.to_thread(lambda: {one: self.all_of(one) for one in wanted})
        return {one: self.all_of(one) for one in wanted}


class _Hmac:
    """HMAC-SHA256 (RFC 2104) under one key, whose two blocks are hashed once; a test holds it to the library's own."""

    def __init__(self, key: bytes) -> None:
        block = (hashlib.sha256(key).digest() if len(key) > BLOCK_BYTES else key).ljust(BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in block))
        self._outer = hashlib.sha256(bytes(octet ^ 0x5C for octet in block))

    def of(self, text: str) -> str:
        """Return the digest as 64 hex digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode())
        outer.update(inner.digest())
        return outer.hexdigest()


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One erasure of one address."""

    id: str
    """The erasure's."""
    digest: str
    at: datetime
    """What was accepted until then is erased; what is accepted later is a new relation."""

    @property
    def at_ms(self) -> int:
        """The time as Redis holds it: Unix milliseconds, the begun one counted in."""
        return -int(-self.at.timestamp() * 1000 // 1)


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question to the mirror that is made once, and sent along with whatever else Redis is asked."""

    digests: Mapping[int, tuple[str, ...]]
    accepted_ms: float
    question: Read

    @classmethod
    def of(cls, digests: Mapping[int, tuple[str, ...]], accepted_ms: float) -> "Lookup":
        """Make a lookup of recipients by their digests."""
        asked = [one for every in digests.values() for one in every]
        return cls(digests, accepted_ms, Read("HMGET", TOMBSTONES, asked))

    def only(self, ns: Sequence[int]) -> "Lookup":
        """Ask about some of them."""
        return Lookup.of({n: self.digests[n] for n in ns}, self.accepted_ms)

    def read(self, reply: Sequence[bytes | None]) -> frozenset[int]:
        """Say who is erased by the reply to the question."""
        asked = (n for n, digests in self.digests.items() for _ in digests)
        return frozenset(
            n for n, stone in zip(asked, reply, strict=True) if stone and int(stone.split()[0]) >= self.accepted_ms
        )

    def read_digests(self, reply: Sequence[bytes | None]) -> Mapping[int, str]:
        """Say of each recipient who was ever erased, before this was accepted too, under which digest: n → digest."""
        asked = ((n, digest) for n, digests in self.digests.items() for digest in digests)
        return {n: digest for (n, digest), stone in zip(asked, reply, strict=True) if stone}


class Tombstones:
    """The mirror in Redis."""

    def __init__(self, redis: Redis, digests: Digests) -> None:
        self.digests = digests
        self._redis = redis

    async def prepare(self, addresses: Mapping[int, str], accepted_at: datetime) -> "Lookup | None":
        """Make the question whose recipients, accepted then, have been erased since; None where there is no key."""
        if not self.digests or not addresses:
            return None
        digests = await self.digests.of_many(addresses.values())
        return Lookup.of({n: digests[address] for n, address in addresses.items()}, accepted_at.timestamp() * 1000)

    async def find(self, addresses: Mapping[int, str], accepted_at: datetime) -> frozenset[int]:
        """Say whose recipients, accepted then, have been erased since. Raises RedisUnavailable."""
        if (lookup := await self.prepare(addresses, accepted_at)) is None:
            return frozenset()
        try:
            return lookup.read(await self._redis.call(lookup.question.command, TOMBSTONES, *lookup.question.fields))
        except RedisRefused as refused:
            raise RedisUnavailable(str(refused)) from refused

    async def keep(self, tombstones: Iterable[Tombstone]) -> int:
        """Write tombstones, the later of two of one address; return how many addresses are erased.

        Raises RedisUnavailable, RedisRefused.
        """
        arguments: list[Argument] = [word for one in tombstones for word in (one.digest, one.at_ms, one.id)]
        return int(await self._redis.run(_RAISE, [TOMBSTONES], arguments))

    async def read(self) -> dict[str, tuple[int, str]]:
        """Return all of them: digest → (milliseconds, erasure). Raises RedisUnavailable, RedisRefused."""
        found = await self._redis.call("HGETALL", TOMBSTONES)
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        stones: dict[str, tuple[int, str]] = {}
        for digest, value in pairs:
            at_ms, _, name = value.decode().partition(" ")
            stones[digest.decode()] = (int(at_ms), name)
        return stones

    async def count(self) -> int:
        """Say how many addresses are erased. Raises RedisUnavailable, RedisRefused."""
        return int(await self._redis.call("HLEN", TOMBSTONES))


def read_from(file: Path) -> list[Tombstone]:
    """Read a file of tombstones, `ID DIGEST AT_MS` a line; half a line is none. Raises OSError."""
    found = []
    lines = file.read_text("ascii", "replace").splitlines(keepends=True) if file.exists() else []
    for line in lines:
        words = line.split()
        if line.endswith("\n") and len(words) == 3 and words[2].isdigit():  # noqa: PLR2004  the three
            found.append(Tombstone(words[0], words[1], EPOCH + timedelta(milliseconds=int(words[2]))))
    return found


def append_to(file: Path, stones: Iterable[Tombstone]) -> None:
    """Add to a file of tombstones, on the disk when this returns. Raises OSError."""
    lines = "".join(f"{stone.id} {stone.digest} {stone.at_ms}\n" for stone in stones)
    if not lines:
        return
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(lines)
        opened.flush()
        os.fsync(opened.fileno())
