"""The time at which a message is to be sent."""

import re
from datetime import UTC, datetime

import pytest

from imsg_contract.errors import Refusal
from imsg_contract.send_times import read_send_at

NOW = datetime(2031, 12, 31, 20, 30, tzinfo=UTC)


@pytest.mark.parametrize("given", ["tomorrow", "2031-12-31T23:00:00"])
def test_the_example_of_a_refusal_can_be_sent(given: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_send_at(given, NOW)
    for english in (False, True):
        (example,) = re.findall(r"\d{4}-[-\d]+T[:\d]+[+]08:00", refused.value.answer(english=english)["detail"])
        assert example == "2032-01-02T09:00:00+08:00"
        assert read_send_at(example, NOW) == datetime(2032, 1, 2, 1, tzinfo=UTC)
