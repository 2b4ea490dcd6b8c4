"""The end of the crash of test_crash.py: every message settled, with few duplicates."""

from collections import Counter

import pytest

from imsg_testing.deployment import Crash

IN_FLIGHT = 16
"""Mails that may be under way at the moment of a kill: the connections of both lanes."""

SETTLED_WITHIN_S = 150.0
"""A claim of the dead process runs out within 30 s and is looked at after a minute; the repeat may wait another."""


@pytest.mark.release
@pytest.mark.timeout(300)  # it waits some 100 s, and as a process's last test it ends what the others shared besides
def test_every_recipient_of_the_list_is_settled_and_hardly_one_got_it_twice(crash: Crash) -> None:
    messages = crash.deployment.wait_settled(crash.request, crash.recipients, within_s=SETTLED_WITHIN_S)

    assert Counter(message["status"] for message in messages) == {"sent": crash.recipients}
    mails = Counter(mail["to"] for mail in crash.sandbox.inbox())
    assert set(mails) == set(crash.everybody)
    assert mails.total() - crash.recipients <= IN_FLIGHT
