"""Whatever code a sender can give, the page has a sentence for it."""

import pytest

from imsg_console.explanations import explain
from imsg_console.texts import Texts
from imsg_sms.providers.aliyun import CODES
from imsg_smtp.replies import RULES as REPLIES
from imsg_smtp.replies import TROUBLES
from imsg_wechat.codes import RULES
from imsg_wechat.webhook import RESULTS

MENUS = frozenset(range(40015, 40028))
"""Answers to a menu, which no message gets."""

OURS = frozenset({41001, 43002, 44002, 47001})
"""A call of ours that is not what WeChat takes: a bug, whose own words say more than we could."""

SENT = [
    *(("smtp", code) for code in (*REPLIES, *TROUBLES)),
    *(("sms", code) for code in CODES),
    *(("wechat", str(code)) for code in RULES if code not in MENUS | OURS),
    *(("wechat", code) for code, _ in RESULTS.values()),
    *((method, code) for method in ("smtp", "sms", "wechat") for code in ("dead_letter", "expired", "claim_expired")),
]


@pytest.mark.parametrize(("method", "code"), SENT)
def test_a_code_of_a_senders_table_has_a_sentence(method: str, code: str) -> None:
    said = explain(Texts("en"), method, "failed", code)
    assert said is not None
    assert said.meaning != Texts("en")("explanations.otherwise.failed")
