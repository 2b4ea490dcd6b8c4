"""Only what says that the address is not there suppresses it: no policy, no throttling, no full mailbox."""

import pytest

from imsg_contract.wire import Refused
from imsg_smtp.hard_bounces import is_anybodys, is_hard
from imsg_smtp.refusals import Envelope, Stage, judge
from imsg_smtp.replies import Reply


@pytest.mark.parametrize(
    ("code", "text", "hard"),
    [
        (550, "5.1.1 User unknown", True),
        (550, "5.1.10 RESOLVER.ADR.RecipientNotFound", True),
        (551, "5.1.6 Mailbox has moved", True),
        (553, "5.1.7 Bad sender's mailbox address syntax", False),
        (550, "5.1.8 Sender address rejected: Domain not found", False),
        (552, "5.2.2 Mailbox full", False),
        (550, "5.7.1 Message rejected by policy", False),
        (550, "User not found", False),
        (550, "Domain frequency limited", False),
        (550, "RP:TRC 163 smtp", False),
        (554, "HL:ITC 163 smtp", False),
        (450, "4.1.1 Greylisted", False),
    ],
)
def test_a_refusal_is_hard_by_its_code_and_never_by_what_providers_say_for_throttling(
    code: int,
    text: str,
    hard: bool,  # noqa: FBT001  a parameter
) -> None:
    result = judge(Reply.of(code, text), Envelope("smtp.example.com:25", "a@example.com", "b@163.com"), Stage.RCPT)

    assert (isinstance(result, Refused) and is_hard(result.code)) == hard


def test_names_that_are_nobodys_are_left_alone() -> None:
    names = ("example.com", "mail.example.com", "x.test", "examples.com", "163.com")

    assert [is_anybodys(f"a@{name}") for name in names] == [False, False, False, True, True]
