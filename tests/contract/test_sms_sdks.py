"""The providers' own SDKs accept the answers of the sandbox."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from imsg_sms.providers.twilio_signature import sign
from imsg_testing.sandbox import OpenSandbox, open_sandbox
from imsg_testing.sms import ACCOUNT, SIGN, TEMPLATE, TENCENT, TWILIO, VOLCENGINE, write_settings

pytestmark = pytest.mark.long

SDKS = Path(__file__).parents[1] / "sdks"
TEMPLATES = {
    "code": {
        "text": "您的验证码为${code}，五分钟内有效。",
        "providers": {"tencent": {"id": "1110"}, "volcengine": {"id": "ST_1", "names": {"code": "vcode"}}},
    }
}
ACCOUNTS: dict[str, Any] = {
    "aliyun": dict(ACCOUNT),
    "tencent": {**TENCENT, "pull": True},
    "volcengine": dict(VOLCENGINE),
    "twilio": dict(TWILIO),
    "templates": TEMPLATES,
}


async def run(program: str, *arguments: str) -> Any:  # noqa: ANN401  whatever it answered
    """Run a program by an SDK, apart from us: their warnings are theirs."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, str(SDKS / program), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asyncio.wait_for(running.communicate(), 60)
    assert running.returncode == 0, complained.decode()
    return json.loads(said)


def at(sandbox: OpenSandbox) -> str:
    """Return the address of the port that simulates the providers at its root."""
    return f"127.0.0.1:{sandbox.service.aliyun_port}"


async def test_aliyuns_sdk_sends_and_asks() -> None:
    """A refusal comes with HTTP 200, as the account gives it."""
    account = ACCOUNT
    async with open_sandbox(services={"sms": write_settings(ACCOUNTS)}) as sandbox:
        said = await run(
            "aliyun.py", at(sandbox), account["access_key_id"], account["access_key_secret"], SIGN, TEMPLATE
        )
        kept = await sandbox.inbox(method="sms")
    assert (said["code"], said["has_id"], said["refused"]) == ("OK", True, "isv.MOBILE_NUMBER_ILLEGAL")
    assert said["listed"] == [["13800138000", "request/0", TEMPLATE]]
    assert [message["to"] for message in kept] == ["13800138000", "13800138001"]
    assert {message["text"] for message in kept} == {"【天存】您有一条新通知：明天下雨，请及时查看。"}


async def test_tencents_sdk_sends_and_pulls() -> None:
    account = TENCENT
    async with open_sandbox(services={"sms": write_settings(ACCOUNTS)}) as sandbox:
        said = await run(
            "tencent.py", at(sandbox), account["secret_id"], account["secret_key"], account["app_id"], SIGN
        )
        kept = await sandbox.inbox(method="sms")
    assert said["codes"] == ["Ok", "InvalidParameterValue.IncorrectPhoneNumber"]
    assert said["package"] == [10_000, 1]
    assert said["pulled"] == [[said["serials"][0], "SUCCESS", "request/0"]]
    assert [message["text"] for message in kept] == ["【天存】您的验证码为4370，五分钟内有效。"]


async def test_volcengines_sdk_sends() -> None:
    account = VOLCENGINE
    async with open_sandbox(services={"sms": write_settings(ACCOUNTS)}) as sandbox:
        said = await run(
            "volcengine_sms.py",
            at(sandbox),
            account["access_key_id"],
            account["access_key_secret"],
            account["sms_account"],
            SIGN,
        )
        kept = await sandbox.inbox(method="sms")
    assert len(said["Result"]["MessageID"]) == 1
    assert [message["to"] for message in kept] == ["13800138000", "13800138001"]


async def test_twilios_library_sends_and_takes_our_signature() -> None:
    account, callback = TWILIO, "https://imsg.test/hooks/sms/twilio/x"
    form = {"MessageSid": ["SM1"], "MessageStatus": ["delivered"], "To": ["+12025550123"]}
    signature = sign(callback, form, account["auth_token"])
    async with open_sandbox(services={"sms": write_settings(ACCOUNTS)}) as sandbox:
        root = f"http://{at(sandbox)}"
        said = await run(
            "twilio_sms.py", root, account["account_sid"], account["auth_token"], account["sender"], callback, signature
        )
        kept = await sandbox.inbox(method="sms")
    assert (said["status"], said["refused"], said["is_valid"]) == ("queued", 21211, True)
    assert [(message["to"], message["text"]) for message in kept] == [("12025550123", "明天下雨")]
