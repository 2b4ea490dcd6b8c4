"""An SMS provider fails for minutes and is then asked about unknown results, which takes a quarter of an hour."""

import time
from collections.abc import Iterator

import pytest

from imsg_testing.fault import inject_faults
from imsg_testing.fault_clients import mainland_number
from imsg_testing.sandbox_process import SandboxProcess, run_sandbox
from imsg_testing.services import Plan, Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(1_500)

PREFIX = "IMSG_SMS__ACCOUNTS__ALIYUN__"

ACCOUNT = {
    f"{PREFIX}ACCESS_KEY_ID": "LTAI-fault",
    f"{PREFIX}ACCESS_KEY_SECRET": "a secret of the fault tests",
    f"{PREFIX}SIGN_NAME": "天存",
    f"{PREFIX}TEMPLATE": "SMS_100000001",
}

DOWN_S = 120.0

ASKED_WITHIN_S = 1_100.0
"""The provider is asked after 30 s, 2 min and 10 min; what it never had is sent again then."""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """Run the sandbox as Aliyun's SMS service."""
    text = {f"{PREFIX}TEMPLATES__SMS_100000001__TEXT": "您有一条新通知：${content}，请及时查看。"}
    with run_sandbox(tmp_path_factory.mktemp("provider"), {**ACCOUNT, **text}) as provider:
        yield provider


@pytest.fixture(scope="module")
def plan(provider: SandboxProcess) -> Plan:
    """Add a sender of SMS."""
    return Plan(sms={**ACCOUNT, f"{PREFIX}ENDPOINT": f"{provider.url}/sandbox/aliyun/"})


def test_an_sms_provider_that_answers_5xx_for_minutes(deployment: Services, provider: SandboxProcess) -> None:
    with inject_faults(
        deployment, method="sms", address=mainland_number, received=provider.count_sms, within_s=ASKED_WITHIN_S
    ) as fault:
        provider.order("sms", "5xx", None)
        until = time.monotonic() + DOWN_S
        with fault.clients.sending(threads=2, pause_s=1.0):
            with inject_faults(deployment) as mails, mails.clients.sending():
                mails.clients.wait_for(100)
            assert mails.reconciliation is not None
            assert mails.reconciliation.accepted == mails.reconciliation.settled
            wait(lambda: time.monotonic() > until, DOWN_S + 1, every_s=0.5)
            assert not provider.count_sms()
            fault.reconciler.record_restored()
            provider.order("sms", "5xx", 0)
    fault.report(
        40,
        "A provider that answers 5xx for minutes",
        f"The SMS provider answers 503 to everything for {DOWN_S:.0f} s, then recovers; mail is not affected. Unknown "
        "results are looked up for 12 min before anything is sent again.",
    )
