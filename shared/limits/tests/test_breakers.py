"""Breakers by scope: what a trouble concerns is left alone, and nothing beside it."""

import pytest

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_limits.breakers import MAX_SCOPES, Breakers, CallScopes

CODES: CallScopes = {"template": "SMS_1", "signature": "天存"}
VISITS: CallScopes = {"template": "SMS_2", "signature": "天存"}
UNAPPROVED = Blocked("aliyun", "aliyun template SMS_1", "isv.SMS_TEMPLATE_ILLEGAL", "not approved", 60.0, "template")
BROKE = Blocked("aliyun", "aliyun", "isv.AMOUNT_NOT_ENOUGH", "no money", 60.0, "account")
BUSY = Again("aliyun", "isp.SYSTEM_ERROR", "busy", concerns="provider")


class Watch:
    """A clock that is set by hand."""

    now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def watch() -> Watch:
    """Begin at some time."""
    return Watch()


@pytest.fixture
def breakers(watch: Watch) -> Breakers:
    """Make breakers of a provider that is trusted."""
    return Breakers("aliyun", watch, threshold=3, cool_off_s=30.0)


def test_one_no_to_a_template_stops_that_template_with_its_reason_and_no_other(
    breakers: Breakers, watch: Watch
) -> None:
    breakers.record_result(CODES, UNAPPROVED)
    watch.now += 10
    found = breakers.find_block(CODES)
    assert found is not None
    assert (found.code, found.detail, found.concerns, found.after_s) == (*_describe(UNAPPROVED), "template", 50.0)
    assert breakers.find_block(VISITS) is None


def test_a_signature_s_trouble_stops_every_template_that_bears_it(breakers: Breakers) -> None:
    breakers.record_result(CODES, Blocked("aliyun", "x", "isv.SMS_SIGNATURE_ILLEGAL", "", 60.0, "signature"))
    assert breakers.find_block(VISITS) is not None
    assert breakers.find_block({"template": "SMS_3", "signature": "别家"}) is None


def test_an_account_s_trouble_stops_all_of_the_provider(breakers: Breakers) -> None:
    breakers.record_result(CODES, BROKE)
    assert breakers.find_block(VISITS) is not None


def test_passing_failures_open_the_breaker_only_in_a_row_and_it_shows_the_last(breakers: Breakers) -> None:
    for _ in range(2):
        breakers.record_result(CODES, BUSY)
    assert breakers.find_block(CODES) is None
    breakers.record_result(CODES, Unknown("aliyun", "no_answer", "it fell silent", "provider"))
    found = breakers.find_block(VISITS)
    assert found is not None
    assert found.code == "circuit_open"
    assert "it fell silent" in found.detail


@pytest.mark.parametrize(
    "answer",
    [
        Sent("aliyun"),
        Refused("aliyun", "bad", "", "recipient"),
        Again("aliyun", "limit", "", 60.0, "recipient"),
        Again("aliyun", "odd", ""),
    ],
)
def test_an_answer_about_one_message_is_a_sign_of_health(breakers: Breakers, answer: Result) -> None:
    for _ in range(5):
        breakers.record_result(CODES, BUSY)
        breakers.record_result(CODES, BUSY)
        breakers.record_result(CODES, answer)
    assert breakers.find_block(CODES) is None


def test_waiting_for_a_turn_counts_for_nothing(breakers: Breakers) -> None:
    for _ in range(9):
        breakers.record_result(CODES, Again("aliyun", "Throttling", "", 1.0, "provider", is_paced=True))
    assert breakers.find_block(CODES) is None


def test_once_the_time_is_over_one_call_tries_and_decides(breakers: Breakers, watch: Watch) -> None:
    breakers.record_result(CODES, UNAPPROVED)
    watch.now += 60
    assert breakers.find_block(CODES) is None
    assert breakers.find_block(CODES) is not None, "another call while the one tries"
    breakers.record_result(CODES, Sent("aliyun"))
    assert breakers.find_block(CODES) is None


def test_a_recipients_refusal_does_not_count_for_the_pair_of_domains(breakers: Breakers) -> None:
    way: CallScopes = {"sender": "a@x.cn", "domain": "x.cn to qq.com"}
    breakers.record_result(way, Blocked("smtp", "x", "550", "DMARC", 60.0, "domain"))
    breakers.record_result(way, Refused("smtp", "550 5.1.1", "", "recipient"))
    assert breakers.find_block(way) is not None
    assert breakers.find_block({**way, "domain": "x.cn to 163.com"}) is None


def test_what_is_remembered_is_bounded(breakers: Breakers) -> None:
    for n in range(MAX_SCOPES + 10):
        breakers.record_result({"template": str(n)}, UNAPPROVED)
    assert len(breakers._breakers) == MAX_SCOPES


def test_nothing_gets_through_where_all_of_a_provider_is_left_alone_until_one_is_answered(
    breakers: Breakers, watch: Watch
) -> None:
    assert breakers.find_outage() is None
    for _ in range(3):
        breakers.record_result(CODES, BUSY)
    outage = breakers.find_outage()
    assert outage is not None
    assert (outage.scope, outage.code, outage.after_s) == ("aliyun", "isp.SYSTEM_ERROR", 30.0)

    watch.now += 31.0
    outage = breakers.find_outage()
    assert outage is not None
    assert outage.after_s == 0.0
    assert breakers.find_block(CODES) is None  # the one that tries
    assert (again := breakers.find_outage()) is not None
    assert again.after_s == 30.0
    breakers.record_result(CODES, Sent("aliyun", "1"))
    assert breakers.find_outage() is None


def test_a_template_s_block_is_no_outage_and_an_answer_that_wants_less_ends_one(breakers: Breakers) -> None:
    breakers.record_result(CODES, UNAPPROVED)
    assert breakers.find_outage() is None
    breakers.record_result(VISITS, BROKE)
    assert breakers.find_outage() is not None
    breakers.record_answer()
    assert breakers.find_outage() is None
    assert breakers.find_block(CODES) is not None


def _describe(block: Blocked) -> tuple[str, str]:
    return block.code, block.detail


@pytest.mark.parametrize(("result", "left_s"), [(BUSY, 5.0), (Unknown("aliyun", "no_answer", "", "provider"), 30.0)])
def test_what_was_not_taken_is_tried_again_sooner_than_what_may_have_been(
    watch: Watch, result: Result, left_s: float
) -> None:
    breakers = Breakers("aliyun", watch, threshold=1, cool_off_s=30.0, again_cool_off_s=5.0)
    breakers.record_result(CODES, result)
    for _ in range(2):
        blocked = breakers.find_block(CODES)
        assert blocked is not None
        assert blocked.after_s == left_s
        watch.now += left_s
        assert breakers.find_block(CODES) is None, "one may try"
