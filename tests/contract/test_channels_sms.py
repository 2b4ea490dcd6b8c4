"""The SMS channel against the sandbox's Aliyun and a scripted provider: the result of each answer."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.wire import Job
from imsg_delivery.channel import SupportsStatusQuery
from imsg_sms import main as sms
from imsg_testing.http_stub import reply
from imsg_testing.sandbox import OpenSandbox, open_sandbox
from imsg_testing.sms import ACCOUNT, OK, TENCENT, Provider, Told, configure, job, write_refusal, write_settings

ZHANG, LI, WANG = "+8613800138000", "+8613800138001", "+8613800138002"
BAD = "+8619900000002"

PATIENCE_S = 60.0
"""How long a channel waits for an answer that comes."""

NO_ANSWER_S = 0.5
"""How long it waits for one that does not."""


@pytest.fixture
async def sandbox() -> AsyncIterator[OpenSandbox]:
    """Open a sandbox that plays the account."""
    async with open_sandbox(services={"sms": write_settings({"aliyun": ACCOUNT})}) as sandbox:
        yield sandbox


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Open a provider that accepts everything unless a test changes it."""
    provider = Provider()
    provider.always = OK
    async with provider.running():
        yield provider


async def deliver(
    url: str,
    new: Job,
    times: int = 1,
    patience_s: float = PATIENCE_S,
    **settings: Any,  # noqa: ANN401
) -> Mapping[int, Result]:
    """Deliver a job through a channel of its own; of several times, return the last answer."""
    given = settings or {"aliyun": {**ACCOUNT, "endpoint": url}}
    results: Mapping[int, Result] = {}
    async with sms.open_channel(configure(given), Told(), answer_timeout_s=patience_s) as channel:
        prepared = await channel.prepare(new)
        assert not isinstance(prepared, Again | Blocked | Refused)
        for _ in range(times):
            results = await channel.deliver(new, prepared, new.recipients)
    return results


async def query_status(url: str, new: Job, told: Told, query: int) -> Mapping[int, Result]:
    """Return the results of a job's status query."""
    settings = configure({"aliyun": {**ACCOUNT, "endpoint": url}})
    async with sms.open_channel(settings, told, answer_timeout_s=PATIENCE_S) as channel:
        prepared = await channel.prepare(new)
        assert not isinstance(prepared, Again | Blocked | Refused)
        assert isinstance(channel, SupportsStatusQuery)
        return await channel.query_status(new.model_copy(update={"status_query": query}), prepared, new.recipients)


def at_root(sandbox: OpenSandbox) -> str:
    """Return the URL of the sandbox's own port for Aliyun."""
    return f"http://127.0.0.1:{sandbox.service.aliyun_port}/"


async def test_the_sandbox_takes_a_list_in_one_call(sandbox: OpenSandbox) -> None:
    account = {**ACCOUNT, "endpoint": at_root(sandbox), "countries": "+86, +1"}
    results = await deliver("", job([ZHANG, LI, "+12025550123"]), aliyun=account)
    identities = {result.provider_id for result in results.values() if isinstance(result, Sent)}
    assert len(results) == 3
    assert len(identities) == 1
    kept = await sandbox.inbox(method="sms")
    assert [(message["to"], message["from"], message["text"]) for message in kept] == [
        (to, "天存", "【天存】您有一条新通知：明天下雨，请及时查看。")
        for to in ("13800138000", "13800138001", "12025550123")
    ]
    assert len(await sandbox.inbox(to=ZHANG)) == 1


async def test_a_thousand_numbers_travel_in_one_call(sandbox: OpenSandbox, provider: Provider) -> None:
    everybody = job([f"+86138{number:08d}" for number in range(1_000)])
    results = await deliver(at_root(sandbox), everybody)
    assert all(isinstance(result, Sent) for result in results.values())
    assert len(await sandbox.inbox(method="sms")) == 1_000
    await deliver(provider.url, everybody)
    assert [len(call["PhoneNumbers"].split(",")) for call in provider.asked] == [1_000]


async def test_our_own_id_and_the_template_go_with_a_call(provider: Provider) -> None:
    new = job([ZHANG], {"template": "SMS_7", "params": {"name": '张"三'}})
    await deliver(provider.url, new)
    call = provider.asked[0]
    assert (call["action"], call["OutId"], call["TemplateCode"]) == ("SendSms", new.name, "SMS_7")
    assert (call["PhoneNumbers"], call["SignName"], call["TemplateParam"]) == (
        "13800138000",
        "天存",
        '{"name":"张\\"三"}',
    )


async def test_a_bad_number_is_halved_out_and_fails_alone(sandbox: OpenSandbox) -> None:
    numbers = [f"+86138{number:08d}" for number in range(9)]
    numbers[4:4] = [BAD]
    results = await deliver(at_root(sandbox), job(numbers))
    assert {n for n, result in results.items() if not isinstance(result, Sent)} == {4}
    assert results[4] == Refused("aliyun", "isv.MOBILE_NUMBER_ILLEGAL", "手机号码格式错误")
    assert len(await sandbox.inbox(method="sms")) == 9


@pytest.mark.parametrize(
    ("answer", "result", "code"),
    [
        (write_refusal("isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1"), Again, "isv.BUSINESS_LIMIT_CONTROL"),
        (write_refusal("isv.BUSINESS_LIMIT_CONTROL", "触发天级流控Permits:10"), Refused, "isv.BUSINESS_LIMIT_CONTROL"),
        (write_refusal("isp.SYSTEM_ERROR"), Again, "isp.SYSTEM_ERROR"),
        (reply(write_refusal("Throttling.User"), 429), Again, "Throttling.User"),
        (reply(write_refusal("isp.SYSTEM_ERROR"), 500), Again, "isp.SYSTEM_ERROR"),
        (write_refusal("isv.NEVER_HEARD_OF"), Again, "isv.NEVER_HEARD_OF"),
        (write_refusal("isv.SMS_CONTENT_ILLEGAL"), Refused, "isv.SMS_CONTENT_ILLEGAL"),
        (write_refusal("isv.AMOUNT_NOT_ENOUGH"), Blocked, "isv.AMOUNT_NOT_ENOUGH"),
        (reply(write_refusal("SignatureDoesNotMatch"), 400), Blocked, "SignatureDoesNotMatch"),
        ("cut", Unknown, "no_answer"),
        (5.0, Unknown, "no_answer"),
        (reply("<html>oops</html>"), Unknown, "http_200"),
        (reply("<html>oops</html>", 502), Unknown, "http_502"),
        (reply(write_refusal("InternalError"), 500), Unknown, "InternalError"),
        (b"gibberish\r\n\r\n", Unknown, "no_answer"),
        (reply("[]", 200), Unknown, "http_200"),
        (reply("<html>no</html>", 404), Again, "http_404"),
    ],
)
async def test_an_answer_becomes_a_result(provider: Provider, answer: Any, result: type, code: str) -> None:  # noqa: ANN401
    provider.always = answer
    patience_s = NO_ANSWER_S if isinstance(answer, float) else PATIENCE_S
    outcome = (await deliver(provider.url, job([ZHANG]), patience_s=patience_s))[0]
    assert (type(outcome), getattr(outcome, "code", None)) == (result, code)
    assert len(provider.asked) == 1


async def test_a_provider_that_is_not_there_has_certainly_nothing() -> None:
    result = (await deliver("http://127.0.0.1:1/", job([ZHANG])))[0]
    assert isinstance(result, Again)
    assert result.code == "unreachable"


async def test_after_failures_in_a_row_a_provider_is_left_alone(provider: Provider) -> None:
    provider.always = write_refusal("isp.SYSTEM_ERROR")
    result = (await deliver(provider.url, job([ZHANG]), times=6))[0]
    assert isinstance(result, Blocked)
    assert len(provider.asked) == 5


@pytest.mark.parametrize("fault", ["latency", "hang", "5xx", "reset_before", "reset_after"])
async def test_a_fault_of_the_sandbox_leaves_a_send_unknown(sandbox: OpenSandbox, fault: str) -> None:
    await sandbox.order(fault, method="sms", ms=5_000)
    assert isinstance((await deliver(at_root(sandbox), job([ZHANG]), patience_s=NO_ANSWER_S))[0], Unknown)


async def test_what_was_taken_and_never_answered_is_found_by_asking(sandbox: OpenSandbox) -> None:
    new, told = job([ZHANG, LI]), Told()
    await sandbox.order("reset_after", method="sms")
    assert {type(result) for result in (await deliver(at_root(sandbox), new)).values()} == {Unknown}
    found = await query_status(at_root(sandbox), new, told, query=1)
    assert found == dict.fromkeys((0, 1), Sent("aliyun", new.name, "Found by asking the provider."))
    # Both numbers are asked about at once.
    assert sorted((receipt.provider_id, receipt.address, receipt.status) for receipt in told.receipts) == [
        (new.name, ZHANG, "delivered"),
        (new.name, LI, "delivered"),
    ]
    assert told.references == [new.name]


async def test_what_is_listed_nowhere_was_never_taken_once_the_last_question_is_asked(sandbox: OpenSandbox) -> None:
    new = job([ZHANG])
    await sandbox.order("reset_before", method="sms")
    await deliver(at_root(sandbox), new)
    await deliver(at_root(sandbox), job([ZHANG]))  # another one to the same number
    assert [type((await query_status(at_root(sandbox), new, Told(), query))[0]) for query in (1, 2, 3)] == [
        Unknown,
        Unknown,
        Again,
    ]


@pytest.mark.parametrize("second", ["tencent", "http"])
@pytest.mark.parametrize(
    ("named", "result"), [({"taken_by": "aliyun"}, Again), ({"provider": "aliyun"}, Again), ({}, Unknown)]
)
async def test_what_aliyun_never_listed_is_sent_again_with_any_other_provider(
    provider: Provider, second: str, named: dict[str, str], result: type[Result]
) -> None:
    """Another that can't be asked has nothing to do with it, nor with a test message; else it may have it."""
    provider.always = write_details([], 0)
    others = {"tencent": TENCENT, "http": describe(provider)}
    settings = {"aliyun": {**ACCOUNT, "endpoint": provider.url}, second: others[second]}
    copy = job([ZHANG]).model_copy(update={"status_query": 3, **named})
    async with sms.open_channel(configure(settings), Told(), answer_timeout_s=PATIENCE_S) as channel:
        prepared = await channel.prepare(copy)
        assert not isinstance(prepared, Again | Blocked | Refused)
        assert isinstance((await channel.query_status(copy, prepared, copy.recipients))[0], result)
    assert [call["action"] for call in provider.asked] == ["QuerySendDetails"]


async def test_aliyun_is_not_asked_for_what_another_may_have(provider: Provider) -> None:
    provider.always = write_details([], 0)
    settings = {"aliyun": {**ACCOUNT, "endpoint": provider.url}, "tencent": TENCENT}
    copy = job([ZHANG]).model_copy(update={"status_query": 3, "taken_by": "tencent"})
    async with sms.open_channel(configure(settings), Told(), answer_timeout_s=PATIENCE_S) as channel:
        prepared = await channel.prepare(copy)
        assert not isinstance(prepared, Again | Blocked | Refused)
        assert await channel.query_status(copy, prepared, copy.recipients) == {}
    assert provider.asked == []


async def test_a_message_is_found_on_a_later_page(provider: Provider) -> None:
    new = job([ZHANG])
    others = [{"OutId": f"other/{number}", "SendStatus": 3} for number in range(50)]
    own = {"OutId": new.name, "SendStatus": 2, "ErrCode": "MK:0001"}
    provider.answers = [write_details(others, 51), write_details([own], 51)]
    assert (await query_status(provider.url, new, Told(), 1))[0] == Refused(
        "aliyun", "MK:0001", "The provider lists the message as failed."
    )
    assert [call["CurrentPage"] for call in provider.asked] == ["1", "2"]


async def test_a_number_found_blacklisted_by_a_status_query_is_published_to_the_catalog(provider: Provider) -> None:
    new, told = job([ZHANG]), Told()
    own = {"OutId": new.name, "SendStatus": 2, "ErrCode": "MOBILE_IN_BLACK"}
    provider.always = write_details([own], 1)
    results = await query_status(provider.url, new, told, 1)
    assert isinstance(results[0], Refused)
    assert [(suppression.address, suppression.sender, suppression.category) for suppression in told.suppressions] == [
        (ZHANG, "天存", "notice"),
        (ZHANG, "天存", "marketing"),
    ]


async def test_a_number_that_opted_out_of_marketing_is_found_by_halving_and_published(provider: Provider) -> None:
    def answer(call: Mapping[str, str]) -> dict[str, str]:
        return (
            write_refusal("isv.CUSTOMER_REFUSED", "用户已退订推广短信") if "13913800144" in call["PhoneNumbers"] else OK
        )

    provider.always = answer
    new, told = job([ZHANG, "+8613913800144", WANG]), Told()
    settings = configure({"aliyun": {**ACCOUNT, "endpoint": provider.url}})
    async with sms.open_channel(settings, told, answer_timeout_s=PATIENCE_S) as channel:
        prepared = await channel.prepare(new)
        assert not isinstance(prepared, Again | Blocked | Refused)
        results = await channel.deliver(new, prepared, new.recipients)
    assert [type(results[n]) for n in range(3)] == [Sent, Refused, Sent]
    assert [(suppression.address, suppression.category) for suppression in told.suppressions] == [
        ("+8613913800144", "marketing")
    ]


async def test_a_provider_that_can_not_be_asked_leaves_it_unknown(provider: Provider) -> None:
    for answer in ("cut", reply("<html>", 502), write_refusal("Throttling.User")):
        provider.always = answer
        assert isinstance((await query_status(provider.url, job([ZHANG]), Told(), 3))[0], Unknown)


def write_details(entries: list[dict[str, Any]], total: int) -> dict[str, Any]:
    """Write an answer to QuerySendDetails."""
    return {"Code": "OK", "TotalCount": total, "SmsSendDetailDTOs": {"SmsSendDetailDTO": entries}}


def describe(provider: Provider, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Describe a plain HTTP provider."""
    return {
        "url": f"{provider.url}send?key={{key}}",
        "body": '{"to": "{number}", "text": "{text}", "ref": "{reference}"}',
        "success": "code=0",
        "id": "data.id",
        "secrets": {"key": "a&b"},
        **more,
    }


async def test_a_provider_described_in_the_settings_gets_its_call(provider: Provider) -> None:
    provider.always = {"code": 0, "data": {"id": 17}}
    new = job([ZHANG], '他说："明天"\\n')
    assert (await deliver("", new, http=describe(provider)))[0] == Sent("http", "17", '{"code": 0, "data": {"id": 17}}')
    assert provider.asked[0]["path"] == "/send?key=a%26b"
    assert provider.asked[0]["body"] == f'{{"to": "{ZHANG}", "text": "他说：\\"明天\\"\\\\n", "ref": "{new.name}"}}'


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ({"code": 7}, Refused),
        (reply({"code": 7}, 400), Refused),
        (reply("busy", 429), Again),
        (reply("oops", 500), Unknown),
        (reply("oops", 200), Unknown),
        ("cut", Unknown),
        (5.0, Unknown),
    ],
)
async def test_a_described_provider_s_answer_becomes_a_result(provider: Provider, answer: Any, result: type) -> None:  # noqa: ANN401
    provider.always = answer
    patience_s = NO_ANSWER_S if isinstance(answer, float) else PATIENCE_S
    results = await deliver("", job([ZHANG]), patience_s=patience_s, http=describe(provider))
    assert type(results[0]) is result


@pytest.mark.parametrize(
    ("answer", "goes_on"),
    [
        (write_refusal("isp.SYSTEM_ERROR"), True),
        (write_refusal("isv.AMOUNT_NOT_ENOUGH"), True),
        (write_refusal("isv.SMS_CONTENT_ILLEGAL"), False),
        ("cut", False),
        (reply("<html>", 502), False),
    ],
)
async def test_the_next_provider_is_tried_only_where_nothing_can_have_been_taken(
    provider: Provider,
    answer: Any,  # noqa: ANN401
    goes_on: bool,  # noqa: FBT001
) -> None:
    second = Provider()
    second.always, provider.always = {"code": 0}, answer
    async with second.running():
        both: dict[str, Any] = {
            "aliyun": {**ACCOUNT, "endpoint": provider.url},
            "http": describe(second),
            "providers": ("aliyun", "http"),
        }
        result = (await deliver("", job([ZHANG]), **both))[0]
    assert len(second.asked) == int(goes_on)
    assert isinstance(result, Sent) is goes_on


async def test_a_broken_provider_is_passed_by(provider: Provider) -> None:
    second = Provider()
    second.always, provider.always = {"code": 0}, write_refusal("isp.SYSTEM_ERROR")
    async with second.running():
        both: dict[str, Any] = {
            "aliyun": {**ACCOUNT, "endpoint": provider.url},
            "http": describe(second),
            "providers": ("aliyun", "http"),
        }
        await deliver("", job([ZHANG]), times=8, **both)
    assert (len(provider.asked), len(second.asked)) == (5, 8)


async def test_the_templates_are_known_to_the_gateway() -> None:
    account = {**ACCOUNT, "templates": {"SMS_2": {"text": "码${code}", "variables": {"code": 6}}}}
    async with sms.open_channel(configure({"aliyun": account}), Told()) as channel:
        limits = channel.templates.limits
    default = TemplateLimits(default=True, signature="【天存】", variables={"content": 35})
    assert limits["SMS_100000001"] == default
    assert limits["SMS_2"] == TemplateLimits(signature="【天存】", text="码${code}", variables={"code": 6})


def test_asking_is_part_of_the_terms() -> None:
    assert sms.terms("stop", can_query_status=False).query_after_s == ()
    assert sms.terms("stop", can_query_status=True).query_after_s == (30, 120, 600)
