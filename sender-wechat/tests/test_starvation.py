"""Whatever WeChat answers about one message, an account's others go within a minute: each of its codes."""

import secrets

import pytest

from imsg_contract.results import Result, Sent
from imsg_testing.starvation import POISON, begin, draw_arrivals, find_starved, play
from imsg_wechat.codes import RULES, ErrorAnswer, Scopes
from imsg_wechat.delivery_options import classify_answer, make_breakers
from imsg_wechat.transport import ApiAnswer, CallFailure

ANSWERS: dict[str, ApiAnswer] = {str(code): ErrorAnswer(code, "no") for code in (*RULES, 99_999)}
ANSWERS |= {
    "silent": CallFailure("timeout", "no answer", may_have_it=True),
    "away": CallFailure("unreachable", "nobody", may_have_it=False),
}
OPTIONS = (
    Scopes("main", "main/T1", "main"),
    Scopes("main", "main/T2", "main"),
    Scopes("main", "main/N1", "main/subscribe"),
)


@pytest.mark.parametrize("answer", ANSWERS)
async def test_whatever_is_answered_about_one_message_others_go_within_a_minute(answer: str) -> None:
    seed = secrets.randbits(32)
    random, clock = begin(seed)
    arrivals = draw_arrivals(random)
    options = {name: random.choice(OPTIONS) for name in arrivals}
    breakers = make_breakers("main", clock)

    async def send(name: str) -> Result:
        scopes = options[name]
        if (blocked := breakers.find_block(scopes.about, (name,))) is not None:
            return blocked
        result = classify_answer(ANSWERS[answer], scopes) if name == POISON else Sent("wechat")
        return breakers.record_result(scopes.about, result, name)

    settled = await play(clock, arrivals, send, random, 3_600.0)
    assert find_starved(settled, arrivals) == {}, f"seed {seed}"
