"""A provider that fails for minutes, and is asked afterwards what it has: that alone takes a quarter of an hour."""

import time
from collections.abc import Iterator

import pytest

from imsg_testing.fault import inject_faults
from imsg_testing.fault_clients import mainland_number
from imsg_testing.fault_providers import SmsProvider
from imsg_testing.services import Plan, Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(1_500)

DOWN_S = 120.0

ASKED_WITHIN_S = 1_100.0
"""The provider is asked after 30 s, 2 min and 10 min; what it never had is sent again then."""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmsProvider]:
    """Run the provider that carries SMS."""
    with SmsProvider(tmp_path_factory.mktemp("provider")).running() as provider:
        yield provider


@pytest.fixture(scope="module")
def plan(provider: SmsProvider) -> Plan:
    """Add a sender of SMS."""
    return Plan(sms=provider.settings)


def test_an_sms_provider_that_answers_5xx_for_minutes(deployment: Services, provider: SmsProvider) -> None:
    with inject_faults(
        deployment, method="sms", address=mainland_number, received=provider.counts, within_s=ASKED_WITHIN_S
    ) as fault:
        provider.order("5xx", None)
        until = time.monotonic() + DOWN_S
        with fault.clients.sending(threads=2, pause_s=1.0):
            with inject_faults(deployment) as mails, mails.clients.sending():
                mails.clients.wait_for(100)
            assert mails.reconciliation is not None
            assert mails.reconciliation.accepted == mails.reconciliation.settled
            wait(lambda: time.monotonic() > until, DOWN_S + 1, every_s=0.5)
            assert not provider.counts()
            fault.reconciler.note_restored()
            provider.order("5xx", 0)
    fault.tell(
        40,
        "A provider that answers 5xx for minutes",
        f"The SMS provider answers 503 to everything for {DOWN_S:.0f} s, then recovers; mail is not affected. Unknown "
        "results are looked up for 12 min before anything is sent again.",
    )
