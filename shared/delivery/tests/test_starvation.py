"""Whatever one message provokes, another that would be accepted goes within a minute: over the scopes of all providers.

The scripts are drawn anew in each run; a failure names the seed that repeats it.
"""

import secrets
from collections.abc import Mapping
from random import Random

import pytest

from imsg_contract.results import Again, Blocked, Concern, Refused, Result, Sent, Unknown
from imsg_contract.wire import Status
from imsg_limits.breakers import Breakers, CallScopes
from imsg_testing.starvation import POISON, Clock, begin, draw_arrivals, find_starved, play

ROUNDS = 150
HOUR_S = 3_600.0

SCOPES: Mapping[str, Mapping[Concern, tuple[str, ...]]] = {
    "a mail server": {},
    "senders and domains of a mail server": {"sender": ("a@x.cn", "b@x.cn"), "domain": ("x.cn to qq", "x.cn to 163")},
    "an SMS provider": {"template": ("SMS_1", "SMS_2"), "signature": ("天存", "云")},
    "an official account": {"template": ("main/T1", "main/T2"), "sender": ("main", "main/text")},
    "a robot": {},
}
BREAKERS: Mapping[str, Mapping[str, float]] = {
    "a mail server": {"threshold": 3, "cool_off_s": 5.0},
    "an SMS provider": {"again_cool_off_s": 5.0},
    "an official account": {"cool_off_s": 15.0},
}
CONCERNS: tuple[Concern | None, ...] = (
    None, "recipient", "domain", "content", "template", "signature", "sender", "account", "provider",
)  # fmt: skip


def draw_answer(random: Random) -> Result:
    """Draw what a provider answers a message that it does not accept."""
    concerns, after_s = random.choice(CONCERNS), random.choice((0.0, 10.0, 60.0, 300.0, 1_800.0, 3_600.0, 40_000.0))
    return random.choice(
        (
            Blocked("p", "s", "553", "no", after_s or 60.0, concerns, passes=random.random() < 0.3),
            Blocked("p", "s", "553", "no", after_s or 60.0, concerns),
            Again("p", "451", "later", after_s, concerns),
            Unknown("p", "timeout", "silence", concerns),
            Refused("p", "550", "never", concerns),
        )
    )


async def find_starved_by(seed: int, scopes: str, *, is_fixed: bool) -> dict[str, object]:
    """Send messages, one of them answered by a script, the same each time or not; return the others that waited."""
    random, clock = begin(seed)
    arrivals, answer = draw_arrivals(random), draw_answer(random)
    uses: dict[str, CallScopes] = {
        name: {concern: random.choice(every) for concern, every in SCOPES[scopes].items()} for name in arrivals
    }
    breakers = Breakers("p", clock, **BREAKERS.get(scopes, {}))  # type: ignore[arg-type]

    async def send(name: str) -> Result:
        if (blocked := breakers.find_block(uses[name], (name,))) is not None:
            return blocked
        if name != POISON:
            return breakers.record_result(uses[name], Sent("p"), name)
        return breakers.record_result(uses[name], answer if is_fixed else draw_answer(random), name)

    return find_starved(await play(clock, arrivals, send, random, HOUR_S), arrivals)


@pytest.mark.parametrize("is_fixed", [True, False])
@pytest.mark.parametrize("scopes", SCOPES)
async def test_whatever_one_message_provokes_others_go_within_a_minute(scopes: str, is_fixed: bool) -> None:  # noqa: FBT001
    first = secrets.randbits(32)
    for seed in range(first, first + ROUNDS):
        assert await find_starved_by(seed, scopes, is_fixed=is_fixed) == {}, f"seed {seed}"


@pytest.mark.parametrize("concerns", [concern for concern in CONCERNS if concern])
async def test_what_is_refused_again_after_others_were_accepted_fails(concerns: Concern) -> None:
    random, clock = begin(7)
    arrivals = {POISON: 0.0} | {f"good-{n}": 7.0 * n for n in range(100)}
    about: CallScopes = {"template": "t", "sender": "a", "domain": "d", "signature": "s"}
    breakers = Breakers("p", clock)

    async def send(name: str) -> Result:
        if (blocked := breakers.find_block(about, (name,))) is not None:
            return blocked
        answer = Blocked("p", "s", "553", "no", 300.0, concerns) if name == POISON else Sent("p")
        return breakers.record_result(about, answer, name)

    settled = await play(clock, arrivals, send, random, HOUR_S)
    assert find_starved(settled, arrivals) == {}
    status, after_s = settled[POISON]
    assert status is Status.FAILED
    assert after_s < 400.0


async def test_with_two_workers_a_message_that_is_refused_alone_fails_though_no_other_follows() -> None:
    about: CallScopes = {"sender": "a@x.cn", "domain": "x.cn to qq"}
    for seed in range(20):
        random, clock = begin(seed)
        workers = [Breakers("p", clock), Breakers("p", clock)]
        arrivals = {f"good-{n}": float(n) for n in range(20)} | {POISON: 30.0}

        async def send(name: str, random: Random = random, workers: list[Breakers] = workers) -> Result:
            breakers = random.choice(workers)
            if (blocked := breakers.find_block(about, (name,))) is not None:
                return blocked
            answer = Blocked("p", "s", "553", "no", 300.0, "sender") if name == POISON else Sent("p")
            return breakers.record_result(about, answer, name)

        settled = await play(clock, arrivals, send, random, 4 * HOUR_S)
        assert find_starved(settled, arrivals) == {}
        assert settled[POISON][0] is Status.FAILED


def test_a_scope_that_refuses_all_is_tried_ever_less_and_fails_no_message() -> None:
    clock = Clock()
    breakers = Breakers("p", clock)
    tries = 0
    for n in range(3_600):
        if breakers.find_block({}, (str(n),)) is None:
            tries += 1
            assert isinstance(
                breakers.record_result({}, Blocked("p", "s", "535", "no", 300.0, "account"), str(n)), Blocked
            )
        clock.now += 1.0
    assert tries <= 20


def test_a_quota_that_fills_again_and_again_fails_no_message() -> None:
    clock = Clock()
    breakers = Breakers("p", clock)
    for n in range(5):
        breakers.record_result({}, Sent("p"), str(n))
        clock.now += 60.0
        full = Blocked("p", "s", "45011", "too many", 60.0, "account", passes=True)
        assert isinstance(breakers.record_result({}, full, "unlucky"), Again)
