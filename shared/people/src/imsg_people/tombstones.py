"""Tombstones: which addresses were erased, and when; an address is stored as its HMAC alone.

history owns them and mirrors them to Redis for the senders: a hash digest → `AT_MS ID`.
"""

import asyncio
import hmac
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from imsg_contract.addresses import identity
from imsg_contract.topology import ERASED, TOMBSTONES
from imsg_runtime.redis import Argument, Read, Redis, RedisRefused, RedisUnavailable, Script

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NO_KEY = (SecretStr("imsg"),)
"""In place of `IMSG_ERASURE_KEY` where it is not set, for digests that are kept for a day."""

OFF_LOOP = 2_000
"""Digests of more addresses are computed in a thread: each takes a microsecond or two."""

_KEEP_LATEST = Script.of("""
for i = 1, #ARGV, 3 do
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  local at = known and tonumber(string.match(known, '^%d+')) or -1
  if tonumber(ARGV[i + 1]) > at then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
  end
end
return redis.call('HLEN', KEYS[1])
""")
"""ARGV: digest, milliseconds, id; and so on. Of two tombstones of one digest the later is kept."""


class Digests:
    """Computes digests by `IMSG_ERASURE_KEY`: the first key signs, all verify."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys = tuple(key.get_secret_value().encode() for key in keys)

    def __bool__(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    def of(self, address: str) -> str:
        """Return the digest of an address under the first key: 64 hex digits."""
        return _digest(self._keys[0], identity(address))

    def all_of(self, address: str) -> tuple[str, ...]:
        """Return the digests of an address under all keys."""
        normal = identity(address)
        return tuple([_digest(key, normal) for key in self._keys])

    async def of_many(self, addresses: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the digests of many addresses, in a thread where they are very many."""
        wanted = set(addresses)
        if len(wanted) >= OFF_LOOP:
            return await asyncio.to_thread(lambda: {address: self.all_of(address) for address in wanted})
        return {address: self.all_of(address) for address in wanted}


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One erasure of one address."""

    id: str
    """The id of the erasure."""
    digest: str
    at: datetime
    """Messages that were accepted until then are erased."""

    @property
    def at_ms(self) -> int:
        """The time in Redis: Unix milliseconds, rounded up."""
        return -int(-self.at.timestamp() * 1000 // 1)


@dataclass(frozen=True, slots=True)
class Lookup:
    """The look-up of recipients in the mirror: made once, its read is sent with other Redis calls."""

    digests: Mapping[int, tuple[str, ...]]
    accepted_ms: float
    command: Read

    @classmethod
    def of(cls, digests: Mapping[int, tuple[str, ...]], accepted_ms: float) -> "Lookup":
        """Return the look-up of recipients by their digests."""
        fields = [digest for every in digests.values() for digest in every]
        return cls(digests, accepted_ms, Read("HMGET", TOMBSTONES, fields))

    def only(self, ns: Sequence[int]) -> "Lookup":
        """Return the look-up of some of the recipients."""
        return Lookup.of({n: self.digests[n] for n in ns}, self.accepted_ms)

    def read(self, reply: Sequence[bytes | None]) -> frozenset[int]:
        """Return the erased recipients, by the reply."""
        numbers = (n for n, digests in self.digests.items() for _ in digests)
        return frozenset(
            n for n, stone in zip(numbers, reply, strict=True) if stone and int(stone.split()[0]) >= self.accepted_ms
        )

    def read_digests(self, reply: Sequence[bytes | None]) -> Mapping[int, str]:
        """Return n → digest of the recipients that were ever erased, also before the message was accepted."""
        pairs = ((n, digest) for n, digests in self.digests.items() for digest in digests)
        return {n: digest for (n, digest), stone in zip(pairs, reply, strict=True) if stone}


class Tombstones:
    """The mirror in Redis."""

    def __init__(self, redis: Redis, digests: Digests) -> None:
        self.digests = digests
        self._redis = redis

    async def prepare(self, addresses: Mapping[int, str], accepted_at: datetime) -> "Lookup | None":
        """Return the look-up of recipients of a message accepted at `accepted_at`; None without an erasure key."""
        if not self.digests or not addresses:
            return None
        digests = await self.digests.of_many(addresses.values())
        return Lookup.of({n: digests[address] for n, address in addresses.items()}, accepted_at.timestamp() * 1000)

    async def find(self, addresses: Mapping[int, str], accepted_at: datetime) -> frozenset[int]:
        """Return the recipients that were erased since `accepted_at`. Raises RedisUnavailable."""
        if (lookup := await self.prepare(addresses, accepted_at)) is None:
            return frozenset()
        try:
            return lookup.read(await self._redis.call(lookup.command.command, TOMBSTONES, *lookup.command.fields))
        except RedisRefused as refused:
            raise RedisUnavailable(str(refused)) from refused

    async def write(self, tombstones: Iterable[Tombstone]) -> int:
        """Write tombstones, keeping the later of two of one address; return the number of erased addresses.

        Raises RedisUnavailable, RedisRefused.
        """
        arguments: list[Argument] = [
            word for tombstone in tombstones for word in (tombstone.digest, tombstone.at_ms, tombstone.id)
        ]
        return int(await self._redis.run(_KEEP_LATEST, [TOMBSTONES], arguments))

    async def read(self) -> dict[str, tuple[int, str]]:
        """Return all tombstones: digest → (milliseconds, id of the erasure). Raises RedisUnavailable, RedisRefused."""
        reply = await self._redis.call("HGETALL", TOMBSTONES)
        pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
        stones: dict[str, tuple[int, str]] = {}
        for digest, value in pairs:
            at_ms, _, name = value.decode().partition(" ")
            stones[digest.decode()] = (int(at_ms), name)
        return stones

    async def read_times(self) -> Mapping[str, int]:
        """Return all tombstones, digest → Unix milliseconds; none without an erasure key. Raises as `read` does."""
        if not self.digests or await self.count() == 0:
            return {}
        return {digest: at_ms for digest, (at_ms, _) in (await self.read()).items()}

    async def report(self, service: str, until_ms: int) -> None:
        """Report to history up to which tombstone a service has erased people."""
        await self._redis.call("HSET", ERASED, service, until_ms)

    async def count(self) -> int:
        """Return the number of erased addresses. Raises RedisUnavailable, RedisRefused."""
        return int(await self._redis.call("HLEN", TOMBSTONES))


def read_file(file: Path) -> list[Tombstone]:
    """Read a file of tombstones, a line `ID DIGEST AT_MS` each, without an unfinished last line. Raises OSError."""
    tombstones = []
    lines = file.read_text("ascii", "replace").splitlines(keepends=True) if file.exists() else []
    for line in lines:
        words = line.split()
        if line.endswith("\n") and len(words) == 3 and words[2].isdigit():  # noqa: PLR2004  the three
            tombstones.append(Tombstone(words[0], words[1], EPOCH + timedelta(milliseconds=int(words[2]))))
    return tombstones


def append_to_file(file: Path, stones: Iterable[Tombstone]) -> None:
    """Append tombstones to a file and flush it to the disk. Raises OSError."""
    lines = "".join(f"{stone.id} {stone.digest} {stone.at_ms}\n" for stone in stones)
    if not lines:
        return
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(lines)
        opened.flush()
        os.fsync(opened.fileno())


def _digest(key: bytes, address: str) -> str:
    return hmac.digest(key, address.encode(), "sha256").hex()
