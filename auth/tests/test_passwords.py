"""Guessing gets slower and is refused, for one user from one address; the right password works elsewhere."""

import asyncio
import contextlib
from typing import Literal

import pytest
import pytest_asyncio
from argon2 import PasswordHasher, extract_parameters

from imsg_auth.login_limits import (
    ACCOUNT_TRIES,
    ALL_KEY,
    ALL_TRIES,
    FREE_TRIES,
    NETWORK_TRIES,
    SLOWED_S,
    WAITS_S,
    KnownNetworks,
)
from imsg_auth.passwords import Passwords, make_hasher
from imsg_contract.errors import Refusal
from imsg_limits.fair_queue import MAX_WAITING_EACH, FairQueue
from imsg_limits.quota import Counters
from imsg_runtime.redis import Redis

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Clock:
    """Sleeps without delay, and records how long."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    async def sleep(self, seconds: float) -> None:
        """Count the seconds and give way."""
        self.slept_s += seconds
        await asyncio.sleep(0)


class Counting(PasswordHasher):
    """The real hasher, which notes the hashes that passwords were held against."""

    def __init__(self) -> None:
        ours = make_hasher()
        super().__init__(time_cost=ours.time_cost, memory_cost=ours.memory_cost, parallelism=ours.parallelism)
        self.verified: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002  the library's name
        """Record the hash, and verify."""
        self.verified.append(hash if isinstance(hash, str) else hash.decode())
        return super().verify(hash, password)


@pytest.fixture
def clock() -> Clock:
    """Make a clock of this test."""
    return Clock()


@pytest_asyncio.fixture(loop_scope="module")
async def passwords(redis: Redis, clock: Clock) -> Passwords:
    """Make passwords whose waits take no time, with nothing counted yet."""
    await redis.call("FLUSHDB")
    return Passwords(Counters(redis), make_hasher(), clock.sleep)


@pytest.fixture(scope="module")
def hashed() -> str:
    """Hash `right`."""
    return make_hasher().hash("right")


async def test_a_hash_is_argon2id_and_its_own_each_time(passwords: Passwords) -> None:
    """Salted."""
    one, other = await passwords.hash("密码"), await passwords.hash("密码")
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != other
    assert await passwords.matches(one, "密码")
    assert not await passwords.matches(one, "密碼")


async def test_five_wrong_passwords_are_free_and_each_further_try_waits_longer(
    passwords: Passwords, clock: Clock, hashed: str
) -> None:
    """Up to five seconds; then no more tries."""
    waits = []
    for _ in range(FREE_TRIES + len(WAITS_S)):
        before = clock.slept_s
        assert not await passwords.check("a", "1.2.3.4", hashed, "wrong")
        waits.append(clock.slept_s - before)
    assert waits[:5] == [0.0] * 5
    assert waits[5:] == sorted(set(waits[5:])) == list(WAITS_S)
    assert max(waits) == 5.0
    with pytest.raises(Refusal) as refused:
        await passwords.check("a", "1.2.3.4", hashed, "wrong")
    assert refused.value.reason == "too_many_tries"
    assert 0 < (refused.value.retry_after_s or 0) <= 300


async def test_other_addresses_and_users_are_not_slowed(passwords: Passwords, clock: Clock, hashed: str) -> None:
    """One client cannot lock out another."""
    for _ in range(10):
        await passwords.check("a", "1.2.3.4", hashed, "wrong")
    slept_s = clock.slept_s
    assert await passwords.check("a", "5.6.7.8", hashed, "right")
    assert await passwords.check("b", "1.2.3.4", hashed, "right")
    assert not await passwords.check("a", "5.6.7.8", hashed, "wrong")
    assert clock.slept_s == slept_s


async def test_a_right_password_is_never_called_wrong_and_ends_the_slowing(
    passwords: Passwords, clock: Clock, hashed: str
) -> None:
    """It may have to wait."""
    for _ in range(7):
        await passwords.check("a", "1.2.3.4", hashed, "wrong")
    assert await passwords.check("a", "1.2.3.4", hashed, "right")
    slept_s = clock.slept_s
    assert not await passwords.check("a", "1.2.3.4", hashed, "wrong")
    assert clock.slept_s == slept_s


async def test_many_clients_that_log_in_at_once_are_not_slowed(passwords: Passwords, clock: Clock, hashed: str) -> None:
    """They share one account behind one address."""
    answers = await asyncio.gather(*(passwords.check("a", "1.2.3.4", hashed, "right") for _ in range(12)))
    assert all(answers)
    assert clock.slept_s == 0


async def test_guesses_made_all_at_once_gain_nothing(passwords: Passwords, hashed: str) -> None:
    """Each is counted before the next is looked at, but for the one hashed beside it."""
    tries = (passwords.check("a", "1.2.3.4", hashed, f"guess {n}") for n in range(30))
    answers = await asyncio.gather(*tries, return_exceptions=True)
    looked_at = [answer for answer in answers if answer is False]
    assert len(looked_at) <= FREE_TRIES + len(WAITS_S) + 1
    assert all(answer is False or isinstance(answer, Refusal) for answer in answers)


async def test_a_user_that_does_not_exist_costs_as_much_as_a_wrong_password(
    passwords: Passwords, redis: Redis, clock: Clock, hashed: str
) -> None:
    """The same work, with the same parameters, and the same tries."""
    counting = Counting()
    counted = Passwords(Counters(redis), counting, clock.sleep)
    for known in (hashed, None):
        assert not await counted.check("a user", "1.2.3.4", known, "wrong")
    one, other = map(extract_parameters, counting.verified)
    assert one == other
    for _ in range(6):
        await passwords.check("nobody", "1.2.3.4", None, "wrong")
    assert clock.slept_s > 0


@pytest_asyncio.fixture(loop_scope="module")
async def guarded(redis: Redis, clock: Clock) -> Passwords:
    """Make passwords that remember where users have logged in."""
    await redis.call("FLUSHDB")
    return Passwords(Counters(redis), make_hasher(), clock.sleep, KnownNetworks(redis))


@pytest.mark.long
async def test_guesses_from_600_addresses_are_few_and_never_lock_the_owner_out(
    guarded: Passwords, clock: Clock, hashed: str
) -> None:
    """Ten each made 6,000 in five minutes, 72,000 an hour."""
    assert await guarded.check("a", "192.0.2.1", hashed, "right", "id")
    looked_at = 0
    for _ in range(3):
        for n in range(600):
            with contextlib.suppress(Refusal):
                looked_at += not await guarded.check("a", f"10.0.{n // 250}.{n % 250}", hashed, "wrong", "id")
    assert looked_at <= 600 + ACCOUNT_TRIES
    slept_s = clock.slept_s
    assert await guarded.check("a", "192.0.2.1", hashed, "right", "id")
    assert clock.slept_s == slept_s  # where the owner is known others' guesses do not count
    assert await guarded.check("a", "198.51.100.7", hashed, "right", "id")  # and elsewhere they wait
    assert clock.slept_s == slept_s + SLOWED_S
    assert await guarded.check("a", "198.51.100.7", hashed, "right", "id")
    assert clock.slept_s == slept_s + SLOWED_S


async def test_a_network_that_tries_a_password_on_many_users_is_sent_away(guarded: Passwords, hashed: str) -> None:
    """Its /64 is one network; who is known there goes in and out."""
    assert await guarded.check("a", "2001:db8:0:1::ffff", hashed, "right", "id")
    for n in range(NETWORK_TRIES):
        assert not await guarded.check(f"user{n}", f"2001:db8:0:1::{n:x}", hashed, "wrong", f"id{n}")
    with pytest.raises(Refusal, match="too_many_tries"):
        await guarded.check("another horse", "2001:db8:0:1:1:2:3:4", hashed, "wrong", "another horse")
    assert await guarded.check("a", "2001:db8:0:1::abcd", hashed, "right", "id")
    assert not await guarded.check("another horse", "2001:db8:0:2::1", hashed, "wrong", "another horse")


async def test_very_many_guesses_in_all_slow_every_stranger_and_refuse_none(
    guarded: Passwords, redis: Redis, clock: Clock, hashed: str
) -> None:
    assert await guarded.check("a", "192.0.2.1", hashed, "right", "id")
    await Counters(redis).add(ALL_KEY, ALL_TRIES, 60)
    assert await guarded.check("a", "192.0.2.1", hashed, "right", "id")
    assert clock.slept_s == 0
    assert await guarded.check("b", "192.0.2.1", hashed, "right", "b")
    assert clock.slept_s == SLOWED_S


async def test_a_flood_of_made_up_names_delays_neither_who_is_known_nor_another_stranger() -> None:
    """The known come first; of strangers each network has its turn, however many wait behind it."""
    turns, order = FairQueue(slots=1, wait_s=60), list[str]()
    gate = asyncio.Event()

    async def hash_for(name: str, stranger: str | None) -> None:
        async with turns.acquire(stranger):
            await gate.wait()
            order.append(name)

    first = asyncio.create_task(hash_for("running", "flood"))
    await asyncio.sleep(0)
    tasks = [asyncio.create_task(hash_for(f"flood {n}", "flood")) for n in range(MAX_WAITING_EACH)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(hash_for("stranger", "elsewhere")), asyncio.create_task(hash_for("known", None))]
    await asyncio.sleep(0)
    with pytest.raises(Refusal, match="unavailable"):
        await hash_for("one too many", "flood")
    gate.set()
    await asyncio.gather(first, *tasks)
    assert order[:4] == ["running", "known", "flood 0", "stranger"]
    assert len(order) == MAX_WAITING_EACH + 3


async def test_a_turn_that_is_given_up_goes_to_the_next() -> None:
    """By who waits too long, and by who hangs up in the very moment it comes."""
    turns = FairQueue(slots=1, wait_s=0.05)
    async with turns.acquire():
        with pytest.raises(Refusal, match="unavailable"):
            async with turns.acquire("a"):
                pass
        waiting = asyncio.create_task(turns.acquire("b").__aenter__())
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(60), turns.acquire("c"):
        pass


async def test_a_hash_of_old_parameters_is_outdated(passwords: Passwords, hashed: str) -> None:
    """It is renewed at the next log-in."""
    assert not passwords.is_outdated(hashed)
    assert passwords.is_outdated(hashed.replace("t=2", "t=1"))


async def test_hashing_leaves_the_loop_free(passwords: Passwords) -> None:
    """Forty milliseconds of computing must not delay others."""
    turns = 0
    work = asyncio.gather(*(passwords.hash("x") for _ in range(8)))
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    await work
    assert turns > 100
