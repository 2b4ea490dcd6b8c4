"""The texts on an SMS account that its provider refuses: at the check, the test, the message, the overview.

Aliyun, Tencent Cloud and Twilio are played as their SDKs' servers answer: one account for each fault, by its own URL.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from imsg_console.explanations import explain
from imsg_console.texts import Texts
from imsg_testing.deployment import Deployment, running
from imsg_testing.http_stub import Asked, HttpStub, reply
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long  # seventeen accounts, each looked at in turn

TEXT = "您有一条新通知：${content}，请及时查看。"
CARRIERS = ("mobile", "unicom", "telecom")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, as a provider reports it."""

    kind: str
    name: str
    refusal: tuple[str, str] = ("", "")
    """The code and words for every call: nothing about the account is answered."""
    send: tuple[str, str] = ("", "")
    """The code and words for a send alone."""
    filing: bool = True
    review: bool = True
    left: int = 5_000
    is_told: bool = True
    """Whether the provider tells it at a check; else a send alone tells."""

    @property
    def account(self) -> str:
        """The name of the account that has it."""
        return f"{self.kind}-{self.name}"


FAULTS = [
    Fault("aliyun", "secret", ("SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")),
    Fault("aliyun", "key_id", ("InvalidAccessKeyId.NotFound", "Specified access key is not found.")),
    Fault("aliyun", "clock", ("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")),
    Fault("aliyun", "address", ("isv.DENY_IP_RANGE", "源IP地址所在的地区被禁用")),
    Fault("aliyun", "right", ("isp.RAM_PERMISSION_DENY", "RAM权限DENY")),
    Fault("aliyun", "filing", send=("isv.SIGN_STATE_ILLEGAL", "签名状态不合法"), filing=False),
    Fault("aliyun", "template", send=("isv.SMS_TEMPLATE_ILLEGAL", "短信模板不合法"), review=False),
    Fault("aliyun", "balance", send=("isv.AMOUNT_NOT_ENOUGH", "账户余额不足"), is_told=False),
    Fault("tencent", "secret", ("AuthFailure.SignatureFailure", "The provided credentials could not be validated.")),
    Fault("tencent", "key_id", ("AuthFailure.SecretIdNotFound", "The SecretId is not found.")),
    Fault("tencent", "clock", ("AuthFailure.SignatureExpire", "Signature expired.")),
    Fault("tencent", "address", ("UnauthorizedOperation.RequestIpNotInWhitelist", "request ip is not in whitelist")),
    Fault(
        "tencent",
        "filing",
        send=("FailedOperation.SignatureIncorrectOrUnapproved", "签名格式错误或者签名未审批"),
        filing=False,
    ),
    Fault(
        "tencent",
        "template",
        send=("FailedOperation.TemplateIncorrectOrUnapproved", "模版未审批或内容不匹配"),
        review=False,
    ),
    Fault(
        "tencent",
        "balance",
        send=("FailedOperation.InsufficientBalanceInSmsPackage", "套餐包余量不足，请购买套餐包"),
        left=0,
    ),
    Fault("twilio", "secret", ("20003", "Authenticate")),
    Fault("twilio", "balance", send=("20005", "Account not active"), left=0),
]


def answer_aliyun(fault: Fault, asked: Asked) -> bytes:
    """Answer as Dysms does."""
    action = asked.headers["x-acs-action"]
    code, words = fault.refusal if fault.refusal[0] or action != "SendSms" else fault.send
    if code:
        return reply({"Code": code, "Message": words, "RequestId": "1"}, 200 if code.startswith("is") else 400)
    review = 1 if fault.review else 2
    return reply(
        {
            "Code": "OK",
            "BizId": secrets.token_hex(8),
            "SignStatus": 1,
            "SignIspRegisterDetailList": [
                {"OperatorCode": carrier, "RegisterStatus": 3 if fault.filing else -2} for carrier in CARRIERS
            ],
            "TemplateStatus": review,
            "TemplateContent": TEXT,
        }
    )


def answer_tencent(fault: Fault, asked: Asked) -> bytes:
    """Answer as Tencent does."""
    if fault.refusal[0]:
        return reply(
            {"Response": {"Error": dict(zip(("Code", "Message"), fault.refusal, strict=True)), "RequestId": "1"}}
        )
    code, words = fault.send if fault.send[0] else ("Ok", "send success")
    number = asked.json.get("PhoneNumberSet", ["+8613800138000"])[0]
    return reply(
        {
            "Response": {
                "SendStatusSet": [
                    {"SerialNo": secrets.token_hex(8), "PhoneNumber": number, "Fee": 1, "Code": code, "Message": words}
                ],
                "DescribeSignListStatusSet": [
                    {
                        "SignId": 1,
                        "SignName": "天存",
                        "StatusCode": 0 if fault.filing else -1,
                        "ReviewReply": "" if fault.filing else "未完成首次报备",
                    }
                ],
                "DescribeTemplateStatusSet": [
                    {
                        "TemplateId": 1110,
                        "TemplateContent": "{1}",
                        "StatusCode": 0 if fault.review else -1,
                        "ReviewReply": "内容不符",
                    }
                ],
                "SmsPackagesStatisticsSet": [
                    {"PackageId": 1, "PackageAmount": 5_000, "CurrentUsage": 5_000 - fault.left}
                ],
                "RequestId": "1",
            }
        }
    )


def answer_twilio(fault: Fault, asked: Asked) -> bytes:
    """Answer as Twilio does."""
    code, words = fault.refusal if fault.refusal[0] or asked.path.endswith("Balance.json") else fault.send
    if code:
        return reply({"code": int(code), "message": words, "more_info": "", "status": 401}, 401)
    return reply({"balance": f"{fault.left}.00", "currency": "USD", "sid": "SM1", "status": "queued"}, 201)


ANSWERS = {"aliyun": answer_aliyun, "tencent": answer_tencent, "twilio": answer_twilio}
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "aliyun": {"access_key_id": "LTAI1", "access_key_secret": "s3cret-1", "sign_name": "天存", "template": "SMS_1"},
    "tencent": {
        "secret_id": "AKID1",
        "secret_key": "s3cret-2",
        "app_id": "1400006666",
        "sign_name": "天存",
        "template": "1110",
    },
    "twilio": {"account_sid": "AC1", "auth_token": "s3cret-3", "sender": "+15005550006"},
}

DURATIONS = {
    "filing": ("工作日", "working days"),
    "template": ("2 小时", "2 hours"),
    "balance": ("几分钟", "some minutes"),
}
"""The code of a trouble → how long its remedy takes."""

LANGUAGES: Sequence[Literal["zh", "en"]] = ("zh", "en")


@dataclass(frozen=True, slots=True)
class Faults:
    """iMSG with an account for each fault, by each of which a test and a message were sent."""

    deployment: Deployment
    url: str
    """Of the providers."""
    tests: Mapping[str, str]
    """Account → the request of its test."""
    sends: Mapping[str, str]
    """Account → the request of its message."""
    since: str
    """The cursor of the events before."""

    def call(self, verb: str, path: str, body: Any = None, language: str = "zh", **params: str) -> dict[str, Any]:  # noqa: ANN401
        """Call the API in a language."""
        headers = {"authorization": f"Bearer {self.deployment.token()}", "accept-language": language}
        answer = self.deployment.client.request(verb, f"/api/v2{path}", json=body, params=params, headers=headers)
        found: dict[str, Any] = answer.json()
        return found

    def describe(self, fault: Fault, prefix: str = "") -> dict[str, object]:
        """Return an account that has a fault."""
        settings = {**SETTINGS[fault.kind], "endpoint": f"{self.url}/{fault.account}"}
        route = {"routes": {"numbers": f"+86{prefix}"}} if prefix else {}
        return {"method": "sms", "name": fault.account, "kind": fault.kind, "settings": settings, **route}

    def find(self, fault: Fault, language: str = "zh") -> list[tuple[str, str]]:
        """Return what needs attention at an account, each with its remedy."""
        listed = self.call("GET", "/providers", language=language)["providers"]
        (account,) = (provider for provider in listed if provider["name"] == fault.account)
        return [(problem["what"], problem["remedy"]) for problem in account["attention"]]

    def run(self, locale: str, *words: str) -> str:
        """Run a verb of the command line; return what it prints."""
        done = self.deployment.run(*words, LANG=locale, COLUMNS="2000")
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """Run iMSG; each account is for the numbers of its own prefix."""
    by_account = {fault.account: fault for fault in FAULTS}

    def answer(asked: Asked) -> bytes:
        fault = by_account[asked.path.split("/")[1]]
        return ANSWERS[fault.kind](fault, asked)

    stub = HttpStub(answer)
    with stub.running_apart(), running(tmp_path_factory.mktemp("faults")) as deployment:
        deployment.open_wide()
        since = deployment.look_up("/api/v2/events", token=deployment.token())["next"]
        tests: dict[str, str] = {}
        sends: dict[str, str] = {}
        faults = Faults(deployment, stub.url, tests, sends, since)
        for number, fault in enumerate(FAULTS):
            made = faults.call("POST", "/providers", faults.describe(fault, f"137{number:02d}"))
            assert made["errorCode"] == 0, made

        def has_sent(account: str, number: int) -> bool:
            """Send both, once every gateway knows the account."""
            trial = faults.call("POST", f"/providers/sms/{account}/test", {"to": f"137{number:02d}100001"})
            if trial["errorCode"]:
                return False
            message = {"method": "sms", "to": f"137{number:02d}200001", "content": "明天停电"}
            sent = faults.call("POST", "/messages", message)
            assert sent["errorCode"] == 0, sent
            tests[account], sends[account] = trial["id"], sent["id"]
            return True

        for number, account in enumerate(by_account):
            wait(lambda account=account, number=number: has_sent(account, number), 60)  # type: ignore[misc]
        yield faults


def is_in(language: str, text: str) -> bool:
    """Return whether a sentence is written in a language; it may quote names and a provider's words."""
    return ("。" in text) is (language == "zh")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.account)
def test_a_fault_is_shown_in_words_with_its_remedy_wherever_a_person_looks(faults: Faults, fault: Fault) -> None:
    wait(lambda: faults.find(fault) != [], 60, why=lambda: f"nothing of {fault}\n{faults.deployment.logs[-4_000:]}")
    for language, duration in zip(LANGUAGES, DURATIONS.get(fault.name, ("", "")), strict=True):
        check = faults.call("POST", "/providers/check", faults.describe(fault), language)
        kept = faults.call("POST", f"/providers/sms/{fault.account}/check", language=language)
        (found,) = faults.find(fault, language)
        if fault.is_told:
            assert (check["ok"], check["code"]) == (False, fault.name), check
            assert (check["why"], check["remedy"]) == (kept["why"], kept["remedy"]) == found
        else:
            assert check["ok"], "the provider has no call for it: a send tells"
        assert [is_in(language, words) for words in found] == [True, True], found
        assert duration in found[1]
        status = faults.call("GET", "/status", language=language)["findings"]
        assert found in [
            (provider["state"], provider["remedy"]) for provider in status if provider["name"] == f"sms {fault.account}"
        ]

    def list_told() -> list[tuple[str, tuple[str, str]]]:
        heard = faults.call("GET", "/events", after=faults.since, limit="500")["events"]
        told = [event["data"] for event in heard if event["type"] == "provider.attention"]
        return [
            (finding["code"], (finding["what"]["zh"], finding["remedy"]["zh"]))
            for finding in told
            if finding["provider"] == fault.account
        ]

    wait(lambda: list_told() == [(fault.name, faults.find(fault)[0])], 60, why=lambda: str(list_told()))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.account)
def test_a_message_shows_why_it_waits_and_what_to_do(faults: Faults, fault: Fault) -> None:
    for request in (faults.tests[fault.account], faults.sends[fault.account]):
        messages: list[dict[str, Any]] = []

        def has_error(request: str = request, messages: list[dict[str, Any]] = messages) -> bool:
            messages[:] = faults.call("GET", "/messages", id=request)["messages"]
            return bool(messages and messages[0]["error"])

        wait(has_error, 60, why=lambda messages=messages: str(messages))  # type: ignore[misc]
        code, words = fault.send if fault.send[0] else fault.refusal
        assert messages[0]["error"] == {"code": code, "detail": words}
        for status in ("retrying", "failed"):
            for language, duration in zip(LANGUAGES, DURATIONS.get(fault.name, ("", "")), strict=True):
                said = explain(Texts(language), "sms", status, code)
                assert said is not None
                assert duration in said.remedy, said
                operator = Texts(language)("explanations.remedy.operator")
                assert operator not in said.remedy, "the remedy is of this fault"


def test_the_command_line_lists_what_needs_attention_in_each_language(faults: Faults) -> None:
    for fault in FAULTS:
        wait(lambda fault=fault: faults.find(fault) != [], 60)  # type: ignore[misc]
    faults.run("C.UTF-8", "login", "admin", "--password", "123")
    for language, locale in zip(LANGUAGES, ("zh_CN.UTF-8", "C.UTF-8"), strict=True):
        printed = "".join(faults.run(locale, "providers", "list").split())
        for fault in FAULTS:
            for what, remedy in faults.find(fault, language):
                assert "".join(f"{fault.account}{what}{remedy}".split()) in printed


@pytest.mark.parametrize(("kind", "most"), [("aliyun", 35), ("tencent", 6)])
def test_a_variable_that_is_too_long_is_refused_before_anything_is_accepted(
    faults: Faults, kind: str, most: int
) -> None:
    number = next(number for number, fault in enumerate(FAULTS) if (fault.kind, fault.name) == (kind, "balance"))
    account = FAULTS[number].account
    sends = {"template": SETTINGS[kind]["template"], "variables": {"content": "{{ what }}"}}
    made = faults.call(
        "POST",
        "/templates",
        {
            "name": f"long-{kind}",
            "category": "notice",
            "default_language": "zh",
            "languages": {"zh": {"sms": {"providers": {account: sends}}}},
        },
    )
    assert made["errorCode"] == 0, made
    assert faults.call("POST", f"/templates/long-{kind}/publish")["errorCode"] == 0
    people = [
        {"to": f"137{number:02d}30000{row}", "params": {"what": "停" * characters}}
        for row, characters in enumerate((most, most + 1))
    ]
    body = {"method": "sms", "to": people, "template": f"long-{kind}"}
    for language, row in (("zh", f"第 2 行（{people[1]['to']}）"), ("en", f"row 2 ({people[1]['to']})")):
        for path in ("/messages", "/messages/check"):
            refused = faults.call("POST", path, body, language)
            assert (refused["errorCode"], refused["reason"]) == (10017, "wrong_type")
            for part in ("params.what", row, account, str(most), str(most + 1)):
                assert part in refused["detail"]
    free = {"method": "sms", "to": people[0]["to"]}
    assert faults.call("POST", "/messages/check", {**free, "content": "停" * most})["errorCode"] == 0
    refused = faults.call("POST", "/messages/check", {**free, "content": "停" * (most + 1)})
    assert (refused["reason"], str(most) in refused["detail"]) == ("content_shape", True), refused
