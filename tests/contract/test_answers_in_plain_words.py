"""The page has a sentence for every code that a sender can give."""

from datetime import UTC, datetime

import pytest

from imsg_console.explanations import explain
from imsg_console.features.messages.timeline import describe
from imsg_console.texts import Texts
from imsg_sms.http_settings import Http
from imsg_sms.providers import aliyun, tencent, twilio, volcengine
from imsg_smtp.refusals import Scopes, Stage, classify_refusal
from imsg_smtp.replies import RULES as REPLIES
from imsg_smtp.replies import SERVER_FAILURES, Reply
from imsg_wechat.codes import RULES, ErrorAnswer
from imsg_wechat.webhook import RESULTS

MENUS = frozenset(range(40015, 40028))
"""Answers to a menu, which no message gets."""

OURS = frozenset({41001, 43002, 44002, 47001})
"""A call of ours that is not what WeChat takes: a bug, whose own words say more than we could."""

SECRETS = dict.fromkeys(("account", "password", "key", "user", "ec_name", "ap_id", "secret_key", "sign"), "x")

DESCRIBED = [
    Http.model_validate({"use": name, "secrets": SECRETS})
    for name in ("chuanglan", "luosimao", "mas", "smsbao", "yunpian")
]
"""The SMS providers that are described by files of ours."""

SENT = [
    *(
        ("sms", provider_kind.name_code(code))
        for provider_kind in DESCRIBED
        for code in provider_kind.errors
        if code != "*"
    ),
    *(("smtp", code) for code in (*REPLIES, *SERVER_FAILURES)),
    *(("sms", code) for provider in (aliyun, tencent, volcengine, twilio) for code in provider.CODES),
    *(("wechat", str(code)) for code in RULES if code not in MENUS | OURS),
    *(("wechat", code) for code, _ in RESULTS.values()),
    *((method, code) for method in ("smtp", "sms", "wechat") for code in ("dead_letter", "expired", "claim_expired")),
]


@pytest.mark.parametrize(("method", "code"), SENT)
def test_a_code_of_a_senders_table_has_a_sentence(method: str, code: str) -> None:
    said = explain(Texts("en"), method, "failed", code)
    assert said is not None
    assert said.meaning != Texts("en")("explanations.otherwise.failed")


@pytest.mark.parametrize("texts", [Texts("zh"), Texts("en")], ids=["zh", "en"])
def test_the_same_code_means_another_thing_at_another_described_provider(texts: Texts) -> None:
    said = [
        explain(texts, "sms", "failed", code) for code in ("yunpian:-1", "smsbao:-1", "yunpian:-50", "luosimao:-50")
    ]
    assert len({code.meaning for code in said if code is not None}) == 4


def test_an_unlisted_code_is_reported_as_such_in_the_pages_language() -> None:
    """Whichever sender met it: the answer beside it is the provider's own."""
    now = datetime(2026, 11, 27, tzinfo=UTC)
    sms = aliyun.TABLE.make_reply("aliyun", "isv.NEW", "new", now=now.timestamp(), raw='{"Code": "isv.NEW"}').result
    wechat = ErrorAnswer(99999, "new").detail
    smtp = classify_refusal(
        Reply(599, "new"), Scopes("mail", "a@example.com", "example.com to example.com"), Stage.RCPT
    ).detail
    for method, detail in (("sms", sms.detail), ("wechat", wechat), ("smtp", smtp)):
        entry = {"status": "retrying", "attempt": 1, "code": "new", "detail": detail}
        assert describe(Texts("zh"), method, entry)[-1] == "iMSG 没有收录这个错误码，按它的类别处理。"
        assert describe(Texts("en"), method, {**entry, "detail": "new"})[-1] != Texts("en")("messages.unlisted")
    assert describe(Texts("zh"), "sms", {"status": "sent", "attempt": 1, "code": None, "detail": None}) == [
        "服务商已接收。"
    ]
