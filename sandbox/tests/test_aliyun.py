"""Aliyun in the sandbox: what it takes, what it refuses whole, and its receipts until they are answered."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from imsg_sandbox.aliyun import Account, AliyunLimits, AliyunSms
from imsg_sandbox.aliyun_rules import Frequencies
from imsg_sandbox.approved_templates import make_template
from imsg_sandbox.faults import Faults
from imsg_sandbox.inbox import Inbox
from imsg_sandbox.sms_callbacks import Callbacks, pushing
from imsg_sandbox.sms_provider import SmsContext
from imsg_testing.waiting import eventually
from imsg_web.responses import ApiResponse

NOW = datetime(2026, 11, 25, 4, 0, 0, tzinfo=UTC)
SEND = {"SignName": "天存", "TemplateCode": "SMS_1", "TemplateParam": '{"content":"明天下雨"}', "OutId": "r/0"}


class Hook:
    """Takes reports; the first `deaf` pushes are answered by nothing a provider could use."""

    def __init__(self, deaf: int = 0) -> None:
        self.pushes: list[list[dict[str, Any]]] = []
        self._deaf = deaf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record a push."""
        self.pushes.append(await Request(scope, receive).json())
        is_deaf = len(self.pushes) <= self._deaf
        await ApiResponse({"code": 1} if is_deaf else {"code": 0, "msg": "接收成功"}, 503 if is_deaf else 200)(
            scope, receive, send
        )


@dataclass(frozen=True)
class OpenService:
    """The service with what is behind it."""

    provider: AliyunSms
    inbox: Inbox
    callbacks: Callbacks

    async def perform(self, action: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Perform an action; return its answer."""
        content, _ = await self.provider.perform(action, params, b"raw")
        return content


@asynccontextmanager
async def open_service(hook: Hook, balance: int = 100, daily: int = 50) -> AsyncIterator[OpenService]:
    """Open the service over a hook."""
    account = Account({}, frozenset({"天存"}), {"SMS_1": make_template("通知：${content}。")}, "http://sms/hook")
    async with pushing("http://sms", {"sms": hook}, 0.0) as callbacks:
        inbox = Inbox(1_000_000, {})
        context = SmsContext(inbox, Faults(), callbacks, "http://sms", lambda: NOW)
        limits = AliyunLimits(Frequencies(daily), balance, minute_s=0.01)
        yield OpenService(AliyunSms("aliyun", account, context, limits), inbox, callbacks)


async def code(service: OpenService, action: str, params: Mapping[str, str]) -> str:
    """Perform an action; return its code."""
    return str((await service.perform(action, params))["Code"])


async def test_a_receipt_is_pushed_again_until_it_is_answered() -> None:
    hook = Hook(deaf=2)
    async with open_service(hook) as service:
        answer = await service.perform("SendSms", {**SEND, "PhoneNumbers": "13800138000,13800138001"})

        async def is_answered() -> bool:
            return len(hook.pushes) >= 3

        await eventually(is_answered)
    assert hook.pushes[0] == hook.pushes[1] == hook.pushes[2]
    assert [(push["phone_number"], push["success"], push["biz_id"], push["out_id"]) for push in hook.pushes[0]] == [
        (to, True, answer["BizId"], "r/0") for to in ("13800138000", "13800138001")
    ]


async def test_an_unanswered_receipt_is_dropped_after_three_repeats() -> None:
    hook = Hook(deaf=100)
    async with open_service(hook) as service:
        await service.perform("SendSms", {**SEND, "PhoneNumbers": "13800138000"})

        async def has_given_up() -> bool:
            return not service.callbacks.has_tasks

        await eventually(has_given_up)
    assert len(hook.pushes) == 4


async def test_a_batch_gives_each_number_its_own_words() -> None:
    async with open_service(Hook()) as service:
        given = {
            "PhoneNumberJson": '["13800138000","13800138001"]',
            "SignNameJson": '["天存","天存"]',
            "TemplateCode": "SMS_1",
            "TemplateParamJson": json.dumps([{"content": "一"}, {"content": "二"}]),
        }
        assert await code(service, "SendBatchSms", given) == "OK"
        assert [message.text for message in service.inbox.find()] == ["【天存】通知：一。", "【天存】通知：二。"]
        assert await code(service, "SendBatchSms", {**given, "SignNameJson": '["天存"]'}) == "isv.INVALID_PARAMETERS"


async def test_a_call_is_refused_whole() -> None:
    everybody = ",".join(f"138{number:08d}" for number in range(1_001))
    async with open_service(Hook(), balance=1, daily=1) as service:
        answers = [
            await code(service, "SendSms", {**SEND, **changed})
            for changed in (
                {},
                {"PhoneNumbers": "13800138000,12"},
                {"PhoneNumbers": everybody},
                {"PhoneNumbers": "13800138000", "SignName": "别人"},
                {"PhoneNumbers": "13800138000", "TemplateCode": "SMS_9"},
                {"PhoneNumbers": "13800138000,13800138001"},
                {"PhoneNumbers": "13800138000"},
                {"PhoneNumbers": "13800138000"},
            )
        ]
        kept = service.inbox.find()
    assert answers == [
        "MissingPhoneNumbers",
        "isv.MOBILE_NUMBER_ILLEGAL",
        "isv.MOBILE_COUNT_OVER_LIMIT",
        "isv.SMS_SIGNATURE_ILLEGAL",
        "isv.SMS_TEMPLATE_ILLEGAL",
        "isv.AMOUNT_NOT_ENOUGH",
        "OK",
        "isv.BUSINESS_LIMIT_CONTROL",
    ]
    assert [message.to for message in kept] == ["13800138000"]


async def test_details_come_in_pages_newest_first() -> None:
    async with open_service(Hook()) as service:
        for number in range(3):
            await service.perform("SendSms", {**SEND, "PhoneNumbers": "13800138000", "OutId": f"r/{number}"})
        asked = {"PhoneNumber": "13800138000", "SendDate": "20261125", "PageSize": "2", "CurrentPage": "2"}
        answer = await service.perform("QuerySendDetails", asked)
        elsewhere = await service.perform("QuerySendDetails", {**asked, "SendDate": "20261124"})
    assert answer["TotalCount"] == 3
    assert [detail["OutId"] for detail in answer["SmsSendDetailDTOs"]["SmsSendDetailDTO"]] == ["r/0"]
    assert elsewhere["TotalCount"] == 0
