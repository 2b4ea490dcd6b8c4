"""The SMS channel against the sandbox's Tencent, Volcengine and Twilio, written independently."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.wire import Job
from imsg_sms import main as sms
from imsg_testing.sandbox import OpenSandbox, open_sandbox
from imsg_testing.sms import TENCENT, TWILIO, VOLCENGINE, Told, configure, job, write_settings
from imsg_testing.waiting import eventually
from imsg_web.http_pool import NoAnswer

ZHANG, LI, ABROAD, BAD = "+8613800138000", "+8613800138001", "+12025550123", "+8619900000002"
SOON, CUT, LATE = "+8619900000003", "+8619900000004", "+8619900000001"
CODE = {"template": "code", "params": {"code": "4370"}}
TEXT = "【天存】您的验证码为4370，五分钟内有效。"
TEMPLATES = {
    "code": {
        "text": "您的验证码为${code}，五分钟内有效。",
        "providers": {"tencent": {"id": "1110"}, "volcengine": {"id": "ST_1", "names": {"code": "vcode"}}},
    }
}
ACCOUNTS: dict[str, dict[str, Any]] = {
    "tencent": dict(TENCENT),
    "volcengine": dict(VOLCENGINE),
    "twilio": {**TWILIO, "signature": "【天存】"},
}
NAMES = tuple(ACCOUNTS)


class Hook:
    """Takes receipts as sender-sms would, and remembers who sent what."""

    def __init__(self) -> None:
        self.pushes: list[tuple[str, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record a push."""
        request = Request(scope, receive)
        self.pushes.append((request.url.path, await request.body()))
        await Response('{"result": 0, "code": 0}', media_type="application/json")(scope, receive, send)


@pytest.fixture(autouse=True)
def patient_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for each connection: all are to the test itself."""
    monkeypatch.setattr("imsg_sms.providers.calls.CONNECT_TIMEOUT_S", 60.0)


@pytest.fixture
def hook() -> Hook:
    """Return a hook that records receipts."""
    return Hook()


@pytest.fixture
async def sandbox(hook: Hook) -> AsyncIterator[OpenSandbox]:
    """Open a sandbox that plays the accounts."""
    async with open_sandbox(
        {"imsg.test": hook},
        services={"sms": write_settings({**ACCOUNTS, "templates": TEMPLATES})},
        sms_hooks="https://imsg.test",
        sms_receipt_s=0.01,
    ) as sandbox:
        yield sandbox


async def deliver(
    sandbox: OpenSandbox,
    name: str,
    new: Job,
    patience_s: float = 60.0,
    **changed: Any,  # noqa: ANN401
) -> Mapping[int, Result]:
    """Deliver a job by one provider that the sandbox plays."""
    endpoint = f"http://127.0.0.1:{sandbox.service.aliyun_port}/"
    account = {**ACCOUNTS[name], "endpoint": endpoint, **changed}
    settings = configure({name: account, "templates": TEMPLATES})
    public_url = "https://imsg.test"
    async with sms.open_channel(settings, Told(), public_url=public_url, answer_timeout_s=patience_s) as channel:
        prepared = await channel.prepare(new)
        assert not isinstance(prepared, Again | Blocked | Refused), prepared
        return await channel.deliver(new, prepared, new.recipients)


@pytest.mark.parametrize("name", NAMES)
async def test_each_takes_a_template_and_reports_what_became_of_it(sandbox: OpenSandbox, hook: Hook, name: str) -> None:
    results = await deliver(sandbox, name, job([ZHANG, LI], CODE))
    assert {type(result) for result in results.values()} == {Sent}
    # Who takes one number a call is called for both at once.
    assert sorted((message["to"], message["text"]) for message in await sandbox.inbox(method="sms")) == [
        ("13800138000", TEXT),
        ("13800138001", TEXT),
    ]

    async def is_reported() -> bool:
        return bool(hook.pushes)

    await eventually(is_reported)
    assert hook.pushes[0][0] == f"/hooks/sms/{name}/nobody-can-guess-this"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["hang", "5xx", "reset_before", "reset_after", "latency"])
async def test_a_fault_leaves_a_send_unknown(sandbox: OpenSandbox, name: str, fault: str) -> None:
    await sandbox.order(fault, method="sms", ms=5_000)
    assert isinstance((await deliver(sandbox, name, job([ZHANG], CODE), patience_s=0.5))[0], Unknown)


@pytest.mark.parametrize("name", NAMES)
async def test_a_bad_number_fails_alone(sandbox: OpenSandbox, name: str) -> None:
    results = await deliver(sandbox, name, job([ZHANG, BAD, LI], CODE))
    assert [type(results[n]) for n in range(3)] == [Sent, Refused, Sent]
    assert sorted(message["to"] for message in await sandbox.inbox(method="sms")) == ["13800138000", "13800138001"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_number_that_has_one_too_many_waits(sandbox: OpenSandbox, name: str) -> None:
    assert isinstance((await deliver(sandbox, name, job([SOON], CODE)))[0], Again)
    assert isinstance((await deliver(sandbox, name, job([SOON], CODE)))[0], Sent)


@pytest.mark.parametrize("name", NAMES)
async def test_what_was_taken_and_never_answered_is_not_sent_again(sandbox: OpenSandbox, name: str) -> None:
    assert isinstance((await deliver(sandbox, name, job([CUT], CODE)))[0], Unknown)
    assert len(await sandbox.inbox(method="sms")) == 1


@pytest.mark.parametrize(
    ("name", "changed", "code"),
    [
        ("tencent", {"secret_key": "wrong"}, "AuthFailure.SignatureFailure"),
        ("tencent", {"secret_id": "nobody"}, "AuthFailure.SecretIdNotFound"),
        ("tencent", {"app_id": "1"}, "InvalidParameterValue.SdkAppIdNotExist"),
        ("tencent", {"sign_name": "别家"}, "FailedOperation.SignatureIncorrectOrUnapproved"),
        ("volcengine", {"access_key_secret": "wrong"}, "SignatureDoesNotMatch"),
        ("volcengine", {"sms_account": "other"}, "RE:0003"),
        ("volcengine", {"sign_name": "别家"}, "RE:0004"),
        ("twilio", {"auth_token": "wrong"}, "20003"),
        ("twilio", {"sender": "+15005550001"}, "21606"),
    ],
)
async def test_a_wrong_setting_blocks_and_loses_no_message(
    sandbox: OpenSandbox, name: str, changed: dict[str, Any], code: str
) -> None:
    result = (await deliver(sandbox, name, job([ZHANG], CODE), **changed))[0]
    assert isinstance(result, Blocked)
    assert result.code == code


async def test_one_bad_number_among_a_thousand_costs_few_calls(sandbox: OpenSandbox) -> None:
    """Volcengine refuses a call whole for one number; everybody else gets it once."""
    numbers = [f"+86138{number:08d}" for number in range(999)]
    numbers[637:637] = [BAD]
    results = await deliver(sandbox, "volcengine", job(numbers, CODE))
    assert [n for n, result in results.items() if not isinstance(result, Sent)] == [637]
    kept = await sandbox.inbox(method="sms")
    assert len(kept) == len({message["to"] for message in kept}) == 999


async def test_tencents_receipts_can_be_pulled(sandbox: OpenSandbox) -> None:
    """Each once, with our own id; the error of an account without the feature says so."""
    endpoint = f"http://127.0.0.1:{sandbox.service.aliyun_port}/"
    settings = configure({"tencent": {**TENCENT, "endpoint": endpoint, "pull": True}})
    async with sms.open_channel(settings, Told()) as channel:
        (provider,) = channel.providers
        with pytest.raises(NoAnswer, match="NotEnterpriseCertification"):
            await provider.pulls[0]()  # type: ignore[attr-defined]
    account = {**TENCENT, "pull": True}
    async with open_sandbox(services={"sms": write_settings({"tencent": account, "templates": TEMPLATES})}) as pulled:
        endpoint = f"http://127.0.0.1:{pulled.service.aliyun_port}/"
        settings = configure({"tencent": {**account, "endpoint": endpoint}, "templates": TEMPLATES})
        new = job([ZHANG, LATE], CODE)
        async with sms.open_channel(settings, Told()) as channel:
            prepared = await channel.prepare(new)
            assert not isinstance(prepared, Again | Blocked | Refused)
            results = await channel.deliver(new, prepared, new.recipients)
            (provider,) = channel.providers
            first = await provider.pulls[0]()  # type: ignore[attr-defined]
            second = await provider.pulls[0]()  # type: ignore[attr-defined]
    assert [(receipt.receipt.address, receipt.receipt.status, receipt.reference) for receipt in first.receipts] == [
        (ZHANG, "delivered", new.name),
        (LATE, "failed", new.name),
    ]
    assert {receipt.receipt.provider_id for receipt in first.receipts} == {
        result.provider_id for result in results.values() if isinstance(result, Sent)
    }
    assert second.receipts == []
