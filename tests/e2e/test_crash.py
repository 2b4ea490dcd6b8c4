"""A crash in the middle of a long list, at once. test_recovery.py looks at its end."""

from collections import Counter

import pytest

from imsg_testing.deployment import Crash

pytestmark = pytest.mark.long  # iMSG is killed and recovers


def test_a_restart_after_kill_9_loses_no_message(crash: Crash) -> None:
    assert 0 < crash.arrived_before < crash.recipients, "it was killed in the middle"

    listed = Counter(message["to"] for message in crash.deployment.messages(crash.request))

    assert listed == dict.fromkeys(crash.everybody, 1)
