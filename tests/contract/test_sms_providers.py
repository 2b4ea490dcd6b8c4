"""Tencent, Volcengine and Twilio: the requests of the senders, and the result of each answer."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.wire import Job
from imsg_sms import main as sms
from imsg_testing.http_stub import reply
from imsg_testing.sms import ACCOUNT, SIGN, TENCENT, TWILIO, VOLCENGINE, Provider, Told, configure, job

ZHANG, LI, ABROAD = "+8613800138000", "+8613800138001", "+12025550123"
CODE = {"template": "code", "params": {"code": "4370"}}
PATIENCE_S = 60.0
"""Every call is answered here, or cut off."""

TEMPLATES = {
    "code": {
        "text": "您的验证码为${code}，五分钟内有效。",
        "parameters": {"code": {"kind": "digits", "least": 4, "most": 6}},
        "providers": {
            "tencent": {"id": "1110"},
            "volcengine": {"id": "ST_1", "names": {"code": "vcode"}},
            "twilio": {},
        },
    },
    "visit": {
        "text": "${name}您好，您预约的${time}已确认。",
        "providers": {"tencent": {"id": "1111", "order": ["time", "name"], "signature": "别处"}},
    },
}


@pytest.fixture(autouse=True)
def patient_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for each connection: all are to the test itself."""
    monkeypatch.setattr("imsg_sms.providers.calls.CONNECT_TIMEOUT_S", PATIENCE_S)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Open a provider with prepared answers."""
    provider = Provider()
    async with provider.running():
        yield provider


async def deliver(new: Job, times: int = 1, **settings: Any) -> Mapping[int, Result]:  # noqa: ANN401
    """Deliver a job through a channel whose clock stands still; of several times, return the last answer."""
    given = configure({"templates": TEMPLATES, **settings})
    results: Mapping[int, Result] = {}
    async with sms.open_channel(
        given, Told(), public_url="https://imsg.test", answer_timeout_s=PATIENCE_S, clock=lambda: 0.0
    ) as channel:
        prepared = await channel.prepare(new)
        assert not isinstance(prepared, Again | Blocked | Refused), prepared
        for _ in range(times):
            results = await channel.deliver(new, prepared, new.recipients)
    return results


def write_answer(*numbers: str, code: str = "Ok") -> dict[str, Any]:
    """Write Tencent's answer."""
    entries = [
        {"SerialNo": f"S{at}", "PhoneNumber": number, "Fee": 1, "Code": code, "Message": code, "IsoCode": "CN"}
        for at, number in enumerate(numbers)
    ]
    return {"Response": {"SendStatusSet": entries, "RequestId": "R"}}


def failure(code: str) -> dict[str, Any]:
    """Write Tencent's refusal of a whole call."""
    return {"Response": {"Error": {"Code": code, "Message": "why"}, "RequestId": "R"}}


async def test_tencent_answers_for_each_number(provider: Provider) -> None:
    """One refused number costs no second call, and the others have an id each."""
    answer = write_answer(ZHANG, LI)
    answer["Response"]["SendStatusSet"][0]["Fee"] = 3
    answer["Response"]["SendStatusSet"][1]["Code"] = "FailedOperation.PhoneNumberInBlacklist"
    provider.always = answer
    new = job([ZHANG, LI], CODE)
    results = await deliver(new, tencent={**TENCENT, "endpoint": provider.url})
    assert results[0] == Sent("tencent", "S0", segments=3)
    assert results[1] == Refused("tencent", "FailedOperation.PhoneNumberInBlacklist", "Ok")
    (call,) = provider.asked
    assert json.loads(call["body"]) == {
        "PhoneNumberSet": [ZHANG, LI],
        "SmsSdkAppId": TENCENT["app_id"],
        "SignName": SIGN,
        "TemplateId": "1110",
        "TemplateParamSet": ["4370"],
        "SessionContext": new.name,
    }


async def test_parameters_stand_in_the_providers_order(provider: Provider) -> None:
    """A template may have a signature of its own, too."""
    provider.always = write_answer(ZHANG)
    content = {"template": "visit", "params": {"name": "张三", "time": "9:00"}}
    await deliver(job([ZHANG], content), tencent={**TENCENT, "endpoint": provider.url})
    body = json.loads(provider.asked[0]["body"])
    assert (body["TemplateParamSet"], body["SignName"]) == (["9:00", "张三"], "别处")


async def test_tencent_gets_no_call_of_mainland_and_abroad_together(provider: Provider) -> None:
    """It refuses those whole."""
    provider.always = failure("FailedOperation.ContainSensitiveWord")
    account = {**TENCENT, "endpoint": provider.url, "countries": "*"}
    await deliver(job([ZHANG, ABROAD, LI], CODE), tencent=account)
    asked = sorted(json.loads(call["body"])["PhoneNumberSet"] for call in provider.asked)
    assert asked == [[ABROAD], [ZHANG, LI]]


async def test_a_thousand_numbers_travel_in_calls_of_two_hundred(provider: Provider) -> None:
    numbers = [f"+86138{number:08d}" for number in range(1_000)]
    provider.always = failure("FailedOperation.ContainSensitiveWord")
    await deliver(job(numbers, CODE), tencent={**TENCENT, "endpoint": provider.url})
    assert [len(json.loads(call["body"])["PhoneNumberSet"]) for call in provider.asked] == [200] * 5


@pytest.mark.parametrize(
    ("answer", "result", "code"),
    [
        (failure("InternalError.Timeout"), Unknown, "InternalError.Timeout"),
        (failure("InternalError.NeverHeardOf"), Unknown, "InternalError.NeverHeardOf"),
        (failure("RequestLimitExceeded"), Again, "RequestLimitExceeded"),
        (failure("AuthFailure.SignatureExpire"), Blocked, "AuthFailure.SignatureExpire"),
        (failure("FailedOperation.InsufficientBalanceInSmsPackage"), Blocked, None),
        (failure("FailedOperation.TemplateIncorrectOrUnapproved"), Blocked, None),
        (failure("FailedOperation.ProhibitSubAccountUse"), Blocked, None),
        (failure("FailedOperation.ContainSensitiveWord"), Refused, None),
        (failure("NobodyHeardOf"), Again, "NobodyHeardOf"),
        (write_answer(ZHANG, code="LimitExceeded.PhoneNumberThirtySecondLimit"), Again, None),
        (write_answer(ZHANG, code="LimitExceeded.PhoneNumberDailyLimit"), Refused, None),
        (write_answer(ZHANG, code="LimitExceeded.AppDailyLimit"), Blocked, None),
        (write_answer(), Unknown, "not_answered"),
        ("cut", Unknown, "no_answer"),
        (reply("<html>", 502), Unknown, "http_502"),
        (reply("<html>", 404), Again, "http_404"),
    ],
)
async def test_an_answer_of_tencent_becomes_a_result(
    provider: Provider,
    answer: Any,  # noqa: ANN401
    result: type,
    code: str | None,
) -> None:
    provider.always = answer
    outcome = (await deliver(job([ZHANG], CODE), tencent={**TENCENT, "endpoint": provider.url}))[0]
    assert type(outcome) is result
    assert code is None or getattr(outcome, "code", None) == code


async def test_a_code_that_is_not_listed_is_shown_with_the_whole_answer(provider: Provider) -> None:
    provider.always = failure("FailedOperation.NewOfTomorrow")
    outcome = (await deliver(job([ZHANG], CODE), tencent={**TENCENT, "endpoint": provider.url}))[0]
    assert isinstance(outcome, Refused)
    assert "unlisted" in outcome.detail
    assert '"Code": "FailedOperation.NewOfTomorrow"' in outcome.detail


async def test_a_template_that_is_not_approved_stops_no_other(provider: Provider) -> None:
    """Its circuit alone is open, and its reason is reported meanwhile; codes are still sent."""
    settings = configure({"templates": TEMPLATES, "tencent": {**TENCENT, "endpoint": provider.url}})
    bad = job([ZHANG], {"template": "visit", "params": {"name": "张三", "time": "9:00"}})
    good = job([LI], CODE)
    async with sms.open_channel(settings, Told(), answer_timeout_s=PATIENCE_S) as channel:
        provider.always = failure("FailedOperation.TemplateIncorrectOrUnapproved")
        prepared = await channel.prepare(bad)
        assert not isinstance(prepared, Again | Blocked | Refused)
        outcomes = [(await channel.deliver(bad, prepared, bad.recipients))[0] for _ in range(6)]
        provider.always = write_answer(LI)
        prepared = await channel.prepare(good)
        assert not isinstance(prepared, Again | Blocked | Refused)
        after = (await channel.deliver(good, prepared, good.recipients))[0]
    assert [type(outcome) for outcome in outcomes] == [Blocked] * 6
    first, last = outcomes[0], outcomes[-1]
    assert isinstance(first, Blocked)
    assert isinstance(last, Blocked)
    code = "FailedOperation.TemplateIncorrectOrUnapproved"
    assert (first.scope, last.code) == ("tencent template 1111", code)
    assert after == Sent("tencent", "S0", segments=1)
    assert len(provider.asked) == 2


def volcengine(code: str) -> dict[str, Any]:
    """Write Volcengine's refusal."""
    return {"ResponseMetadata": {"RequestId": "R", "Error": {"Code": code, "Message": "why"}}}


def accept(*identities: str) -> dict[str, Any]:
    """Write Volcengine's answer."""
    return {"ResponseMetadata": {"RequestId": "R"}, "Result": {"MessageID": list(identities)}}


async def test_volcengine_gets_named_parameters_and_our_own_id(provider: Provider) -> None:
    provider.always = accept("V1")
    new = job([ZHANG, LI], CODE)
    results = await deliver(new, volcengine={**VOLCENGINE, "endpoint": provider.url})
    assert results == dict.fromkeys((0, 1), Sent("volcengine", "V1"))
    (call,) = provider.asked
    assert call["path"] == "/?Action=SendSms&Version=2020-01-01"
    assert json.loads(call["body"]) == {
        "SmsAccount": VOLCENGINE["sms_account"],
        "Sign": SIGN,
        "TemplateID": "ST_1",
        "TemplateParam": '{"vcode":"4370"}',
        "PhoneNumbers": "13800138000,13800138001",
        "Tag": new.name,
    }


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (volcengine("RE:0005"), Blocked),
        (volcengine("RE:0009"), Refused),
        (volcengine("RE:0010"), Blocked),
        (volcengine("RE:0500"), Again),
        (volcengine("RE:0013"), Again),
        (volcengine("RE:9999"), Blocked),
        (reply(volcengine("InternalError"), 500), Unknown),
        (reply("<html>", 502), Unknown),
        ("cut", Unknown),
    ],
)
async def test_an_answer_of_volcengine_becomes_a_result(provider: Provider, answer: Any, result: type) -> None:  # noqa: ANN401
    provider.always = answer
    outcome = (await deliver(job([ZHANG], CODE), volcengine={**VOLCENGINE, "endpoint": provider.url}))[0]
    assert type(outcome) is result


async def test_twilio_gets_the_words_themselves(provider: Provider) -> None:
    """And where to report what became of them."""
    provider.always = reply({"sid": "SM1", "status": "queued"}, 201)
    settings = {**TWILIO, "endpoint": provider.url, "signature": "【天存】"}
    results = await deliver(job([ABROAD], CODE), twilio=settings)
    assert results == {0: Sent("twilio", "SM1")}
    (call,) = provider.asked
    assert call["path"] == f"/2010-04-01/Accounts/{TWILIO['account_sid']}/Messages.json"
    assert (call["To"], call["From"]) == (ABROAD, TWILIO["sender"])
    assert call["Body"] == "【天存】您的验证码为4370，五分钟内有效。"
    assert call["StatusCallback"] == f"https://imsg.test/hooks/sms/twilio/{TWILIO['hook_secret']}"


@pytest.mark.parametrize(
    ("status", "code", "result"),
    [
        (400, 21211, Refused),
        (400, 21610, Refused),
        (400, 21606, Blocked),
        (401, 20003, Blocked),
        (429, 20429, Again),
        (400, 21999, Refused),
        (500, 20500, Again),
        (503, 99999, Unknown),
        (400, None, Again),
    ],
)
async def test_an_answer_of_twilio_becomes_a_result(
    provider: Provider, status: int, code: int | None, result: type
) -> None:
    provider.always = reply({"code": code, "message": "why", "status": status}, status)
    outcome = (await deliver(job([ABROAD], CODE), twilio={**TWILIO, "endpoint": provider.url}))[0]
    assert type(outcome) is result


async def test_a_provider_that_does_not_know_a_template_is_passed_by(provider: Provider) -> None:
    """Volcengine has no `visit`, and Twilio was not told that it may send it, but sends any words."""
    second = Provider()
    second.always = reply({"sid": "SM1"}, 201)
    content = {"template": "visit", "params": {"name": "张三", "time": "9:00"}}
    both: dict[str, Any] = {
        "volcengine": {**VOLCENGINE, "endpoint": provider.url},
        "tencent": {**TENCENT, "endpoint": "http://127.0.0.1:1/"},
        "twilio": {**TWILIO, "endpoint": second.url},
        "providers": ("volcengine", "tencent", "twilio"),
    }
    async with second.running():
        both["twilio"] = {**TWILIO, "endpoint": second.url}
        results = await deliver(job([ZHANG], content), **both)
    (result,) = results.values()
    assert (result.provider, [(hop.provider, hop.code) for hop in result.hops]) == (
        "twilio",
        [("tencent", "unreachable")],
    )
    assert provider.asked == []
    assert second.asked[0]["Body"] == "张三您好，您预约的9:00已确认。"


async def test_a_template_with_unknown_words_is_not_sent_as_text(provider: Provider) -> None:
    """Twilio would send the bare code."""
    content = {"template": "SMS_7", "params": {"code": "4370"}}
    outcome = (await deliver(job([ZHANG], content), twilio={**TWILIO, "endpoint": provider.url}))[0]
    assert isinstance(outcome, Blocked)
    assert outcome.code == "no_words"
    assert provider.asked == []


async def test_a_text_too_long_for_every_template_is_refused_by_name(provider: Provider) -> None:
    """Tencent's new accounts take six characters in a variable."""
    settings = {**TENCENT, "endpoint": provider.url, "template": "1112"}
    outcome = (await deliver(job([ZHANG], "明天下午三点开会"), tencent=settings))[0]
    assert isinstance(outcome, Refused)
    assert outcome.code == "no_provider"
    assert provider.asked == []


async def test_a_number_that_opted_out_at_its_provider_is_published_to_the_catalog(provider: Provider) -> None:
    provider.always = reply(json.dumps({"code": 21610, "message": "unsubscribed recipient", "status": 400}), 400)
    settings, told = configure({"twilio": {**TWILIO, "endpoint": provider.url}}), Told()
    new = job([ABROAD], "hello")
    async with sms.open_channel(settings, told, answer_timeout_s=PATIENCE_S) as channel:
        prepared = await channel.prepare(new)
        assert not isinstance(prepared, Again | Blocked | Refused), prepared
        results = await channel.deliver(new, prepared, new.recipients)
    assert isinstance(results[0], Refused)
    assert [
        (suppression.address, suppression.sender, suppression.category, suppression.lifts)
        for suppression in told.suppressions
    ] == [
        (ABROAD, None, "notice", False),
        (ABROAD, None, "marketing", False),
    ]


async def test_a_providers_description_lists_which_refusals_are_opt_outs(provider: Provider) -> None:
    """By its file, and by what an administrator writes; another refusal of a number says nothing of its will."""
    provider.always = {"code": "7"}
    errors = {
        "7": {"result": "refused", "concerns": "recipient", "opted_out": True},
        "8": {"result": "refused", "concerns": "recipient"},
    }
    http = {"url": provider.url, "body": "n={number}&t={text}", "success": "code=0", "code": "code", "errors": errors}
    yunpian = {"use": "yunpian", "secrets": {"key": "k"}, "url": provider.url}
    told = Told()
    for described, code in ((http, "7"), (http, "8"), (yunpian, 10), (yunpian, 56)):
        provider.always = {"code": code}
        async with sms.open_channel(configure({"http": described}), told) as channel:
            new = job([ZHANG], "hello")
            prepared = await channel.prepare(new)
            assert not isinstance(prepared, Again | Blocked | Refused), prepared
            assert isinstance((await channel.deliver(new, prepared, new.recipients))[0], Refused)
    assert [(suppression.category, suppression.evidence.split()[0]) for suppression in told.suppressions] == [
        ("notice", "7"),
        ("marketing", "7"),
        ("notice", "yunpian:10"),
        ("marketing", "yunpian:10"),
    ]


async def test_codes_go_at_once_beside_templates_that_are_broken(provider: Provider) -> None:
    """Each broken one costs two calls, and its messages wait with its own reason; a list of them stops nothing else."""
    broken = {f"broken{n}": {"text": "${name}您好。", "providers": {"tencent": {"id": f"9{n}"}}} for n in range(5)}

    def answer(call: Mapping[str, Any]) -> Any:  # noqa: ANN401  any JSON
        body = json.loads(call["body"])
        if body["TemplateId"] != "1110":
            return failure("FailedOperation.TemplateIncorrectOrUnapproved")
        return write_answer(*body["PhoneNumberSet"])

    provider.always = answer
    given = configure({
        "templates": {**TEMPLATES, **broken}, "tencent": {**TENCENT, "endpoint": provider.url}
    })  # fmt: skip
    async with sms.open_channel(given, Told(), answer_timeout_s=PATIENCE_S, clock=lambda: 0.0) as channel:

        async def send(content: Any) -> Result:  # noqa: ANN401  any JSON
            new = job([ZHANG], content)
            prepared = await channel.prepare(new)
            assert not isinstance(prepared, Again | Blocked | Refused), prepared
            return (await channel.deliver(new, prepared, new.recipients))[0]

        for _ in range(4):
            for name in broken:
                blocked = await send({"template": name, "params": {"name": "张三"}})
                assert isinstance(blocked, Blocked)
                assert (blocked.concerns, name.removeprefix("broken") in blocked.scope) == ("template", True)
                assert isinstance(await send(CODE), Sent)
        assert channel.find_outage() is None
        (tencent,) = channel.provider_pool.all
        assert {block.concerns for block in tencent.stats.blocks} == {"template"}
        assert len(tencent.stats.blocks) == len(broken)
    assert len(provider.asked) == 2 * len(broken) + 4 * len(broken)


LOOKS_CHINESE = "+13865551234"
"""Without its plus it is a mobile number of mainland China."""

OF_MAINLAND: Mapping[str, Mapping[str, Any]] = {
    "aliyun": ACCOUNT,
    "tencent": TENCENT,
    "volcengine": VOLCENGINE,
    "http": {"url": "", "body": "n={national}&t={text}", "success": "status=200"},
}


@pytest.mark.parametrize("name", OF_MAINLAND)
async def test_a_number_of_a_country_without_a_provider_is_refused_and_never_sent(
    name: str, provider: Provider
) -> None:
    """By whichever way: in a list, alone, or with the provider forced, as a test message does."""
    settings: dict[str, Any] = {name: {**OF_MAINLAND[name], "endpoint" if name != "http" else "url": provider.url}}
    for given in ({}, {"provider": name}):
        results = await deliver(job([LOOKS_CHINESE, "+85261234567"], "hello", **given), **settings)
        for result in results.values():
            assert isinstance(result, Refused)
            assert (result.code, result.concerns) == ("country_not_taken", "recipient")
            assert f"{name} takes +86" in result.detail
    assert provider.asked == []


@pytest.mark.parametrize("name", OF_MAINLAND)
async def test_a_busy_provider_hands_no_foreign_number_to_one_of_mainland_china(name: str, provider: Provider) -> None:
    """Twilio throttles, and would be followed by a provider whose templates are for the mainland."""
    provider.always = b'HTTP/1.1 429 Too Many Requests\r\ncontent-length: 15\r\n\r\n{"code": 20429}'
    mainland = {name: {**OF_MAINLAND[name], "endpoint" if name != "http" else "url": f"{provider.url}mainland"}}
    twilio = {"twilio": {**TWILIO, "endpoint": provider.url}}
    fields: dict[str, Any] = {"providers": ["twilio", name], **twilio, **mainland}
    results = await deliver(job([LOOKS_CHINESE, ABROAD], "hello"), times=3, **fields)
    assert [(result.provider, result.code) for result in results.values() if isinstance(result, Again)] == [
        ("twilio", "paced"),
        ("twilio", "paced"),
    ]
    assert provider.asked
    assert not [call for call in provider.asked if "mainland" in call["path"]]


@pytest.mark.parametrize("name", OF_MAINLAND)
async def test_a_number_goes_to_a_provider_of_its_country_whichever_is_first(name: str, provider: Provider) -> None:
    provider.always = b'HTTP/1.1 201 Created\r\ncontent-length: 14\r\n\r\n{"sid": "SM1"}'
    mainland = {name: {**OF_MAINLAND[name], "endpoint" if name != "http" else "url": f"{provider.url}mainland"}}
    settings: dict[str, Any] = {
        "providers": [name, "twilio"],
        **mainland,
        "twilio": {**TWILIO, "endpoint": provider.url},
    }
    results = await deliver(job([LOOKS_CHINESE], "hello"), **settings)
    assert results[0] == Sent("twilio", "SM1")
    assert [call["To"] for call in provider.asked] == [LOOKS_CHINESE]


async def test_one_described_provider_stands_in_for_another(provider: Provider) -> None:
    """Each is an account of the kind `http`, with a name, a description and secrets of its own."""
    provider.answers = [reply_with(b"41"), {"code": "0", "msgId": "M1"}]
    accounts: dict[str, Any] = {
        "bao": {"kind": "http", "use": "smsbao", "url": f"{provider.url}sms?m={{national}}&p={{digest}}"},
        "lan": {"kind": "http", "use": "chuanglan", "url": f"{provider.url}send"},
    }
    accounts["bao"]["secrets"] = {"user": "zhang", "password": "p"}
    accounts["lan"]["secrets"] = {"account": "N1", "password": "q"}
    result = (await deliver(job([ZHANG], "hello"), **accounts, providers=["bao", "lan"]))[0]
    assert isinstance(result, Sent)
    assert (result.provider, result.provider_id) == ("lan", "M1")
    assert [(hop.provider, hop.code) for hop in result.hops] == [("bao", "smsbao:41")]
    assert [call["path"].partition("?")[0] for call in provider.asked] == ["/sms", "/send"]


async def test_an_opt_out_is_known_whatever_the_account_is_called(provider: Provider) -> None:
    provider.always = {"code": 21610, "message": "Attempt to send to unsubscribed recipient"}
    told = Told()
    account = {**TWILIO, "kind": "twilio", "endpoint": provider.url}
    async with sms.open_channel(configure({"abroad": account}), told) as channel:
        new = job([ABROAD], "hello")
        prepared = await channel.prepare(new)
        assert not isinstance(prepared, Again | Blocked | Refused)
        result = (await channel.deliver(new, prepared, new.recipients))[0]
    assert (result.provider, isinstance(result, Refused)) == ("abroad", True)
    assert [suppression.category for suppression in told.suppressions] == ["notice", "marketing"]


def reply_with(body: bytes) -> bytes:
    """Write an answer of these bytes."""
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
