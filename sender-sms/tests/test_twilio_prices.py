"""Twilio names the price of a message late: it is looked up once the receipt has come."""

from urllib.parse import urlencode

import pytest

from imsg_sms.account_settings import Twilio
from imsg_sms.providers import HookRequest
from imsg_sms.providers.calls import open_pool
from imsg_sms.providers.twilio import PRICE_AFTER_S, TwilioProvider
from imsg_sms.providers.twilio_signature import sign
from imsg_sms.templates import build_text_book
from imsg_testing.http_stub import Asked, BreakOff, HttpStub, Step, reply
from imsg_testing.sms import TWILIO
from imsg_web.http_pool import NoAnswer

URL = "https://imsg.test/hooks/sms/twilio/secret"
PRICED = {"sid": "SM1", "num_segments": "2", "price": "-0.01660", "price_unit": "usd"}
NOT_YET = {**PRICED, "price": None}


def push(sid: str, status: str) -> HookRequest:
    """Make a signed status callback."""
    fields = {"MessageSid": sid, "MessageStatus": status, "To": "+12125550123"}
    signature = sign(URL, {name: [value] for name, value in fields.items()}, TWILIO["auth_token"])
    headers = {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signature}
    return HookRequest(URL, headers, urlencode(fields).encode())


async def test_a_price_is_looked_up_until_it_is_named() -> None:
    """A look-up that fails is made again; statuses that are not final are not looked up."""
    now = 1_000_000.0
    answers: list[Step] = [reply(NOT_YET), reply({"code": 20500}, 500), BreakOff(), reply(PRICED)]

    def answer(asked: Asked) -> Step:
        assert (asked.verb, asked.path.rpartition("/")[2]) == ("GET", "SM1.json")
        return answers.pop(0)

    async with HttpStub(answer).running() as server, open_pool(60.0) as pool:
        settings = Twilio.model_validate({**TWILIO, "endpoint": server.url})
        book = build_text_book("twilio", {})
        provider = TwilioProvider("twilio", settings, pool, book, "https://imsg.test", now=lambda: now)
        (pull,) = provider.pulls
        for status in ("queued", "sent", "delivered"):
            assert provider.read(push("SM1", status)) is not None
        assert not (await pull()).receipts
        assert server.asked == []
        for wait_s in PRICE_AFTER_S[:2]:
            now += wait_s
            assert not (await pull()).receipts
        now += PRICE_AFTER_S[2]
        with pytest.raises(NoAnswer):
            await pull()
        (report,) = (await pull()).receipts
        bill = (report.receipt.price, report.receipt.currency, report.receipt.segments)
        assert (report.receipt.provider_id, report.receipt.status, bill) == ("SM1", "delivered", ("0.01660", "USD", 2))
        now += sum(PRICE_AFTER_S)
        assert not (await pull()).receipts
        assert answers == []


async def test_a_message_without_a_price_is_given_up() -> None:
    now = 1_000_000.0
    async with HttpStub(lambda _: reply(NOT_YET)).running() as server, open_pool(60.0) as pool:
        settings = Twilio.model_validate({**TWILIO, "endpoint": server.url})
        book = build_text_book("twilio", {})
        provider = TwilioProvider("twilio", settings, pool, book, "https://imsg.test", now=lambda: now)
        assert provider.read(push("SM1", "undelivered")) is not None
        for wait_s in (*PRICE_AFTER_S, 1_000_000.0, 1_000_000.0):
            now += wait_s
            assert not (await provider.pulls[0]()).receipts
        assert len(server.asked) == len(PRICE_AFTER_S)
