"""The scope of a refusal, at every stage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_contract.results import Again, Blocked, Refused, Result
from imsg_smtp.refusals import REFUSAL_RULES, Extent, Scopes, Stage, classify_refusal
from imsg_smtp.replies import Reply

SERVER = "mail.example.com:587"
SCOPES = Scopes(SERVER, "noreply@example.com", "example.com to qq.com")
SENDER, DOMAIN = f"{SERVER} from noreply@example.com", f"{SERVER} from example.com to qq.com"


def classify_line(line: str, stage: Stage) -> Again | Refused | Blocked:
    return classify_refusal(Reply.of(int(line[:3]), line[4:]), SCOPES, stage)


@pytest.mark.parametrize(
    ("line", "stage", "scope"),
    [
        ("553 Mail from must equal authorized user", Stage.MAIL, SENDER),
        ("553 Mail from must equal authorized user", Stage.RCPT, SENDER),
        ("501 mail from address must be same as authorization user", Stage.MAIL, SENDER),
        ("501 mail from address must be same as authorization user", Stage.DATA, SENDER),
        ("550 5.7.1 Access denied", Stage.MAIL, SENDER),
        ("550 no", Stage.MAIL, SENDER),
        ("440 mail from account doesn't conform with authentication", Stage.MAIL, SENDER),
        ("553 5.7.1 <noreply@example.com>: Sender address rejected: not owned by user imsg", Stage.RCPT, SENDER),
        ("550 5.1.8 <noreply@example.com>: Sender address rejected: Domain not found", Stage.RCPT, SENDER),
        ("550 5.7.60 SMTP; Client does not have permissions to send as this sender", Stage.DATA, SENDER),
        ("554 DT:SUM 163 smtp1,x", Stage.DATA, SENDER),
        ("550 5.4.5 Daily user sending limit exceeded", Stage.DATA, SENDER),
        ("550 MI:SPF 163 mx1", Stage.DATA, DOMAIN),
        ("550 MI:DMA 163 mx1", Stage.DATA, DOMAIN),
        ("550 DMARC check failed", Stage.DATA, DOMAIN),
        ("550 5.7.26 Unauthenticated email from example.com is not accepted", Stage.DATA, DOMAIN),
        ("550 5.7.515 Access denied, sending domain does not meet the required level", Stage.DATA, DOMAIN),
        (
            "550 5.7.23 <zhang@qq.com>: Recipient address rejected: Message rejected due to: SPF fail",
            Stage.RCPT,
            DOMAIN,
        ),
        ("550 5.7.25 The IP address does not have a PTR record", Stage.RCPT, DOMAIN),
        ("554 5.7.1 <zhang@qq.com>: Relay access denied", Stage.RCPT, DOMAIN),
        ("550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", Stage.RCPT, DOMAIN),
        ("550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", Stage.RCPT, SERVER),
        ("554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied", Stage.RCPT, SERVER),
        ("530 5.7.0 Authentication required", Stage.MAIL, SERVER),
        ("530 5.7.57 Client not authenticated to send mail", Stage.RCPT, SERVER),
        ("535 5.7.8 Error: authentication failed", Stage.DATA, SERVER),
    ],
)
def test_a_refusal_of_the_sender_blocks_its_scope_and_fails_no_recipient(line: str, stage: Stage, scope: str) -> None:
    result = classify_line(line, stage)
    assert isinstance(result, Blocked)
    assert result.scope == scope
    assert result.detail == line[4:]
    assert result.after_s >= 60


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        ("550 5.1.1 <zhang@qq.com>: Recipient address rejected: User unknown", Stage.RCPT),
        ("550 5.1.1 <dmarc@qq.com>: no such user", Stage.RCPT),
        ("550 Mailbox not found", Stage.RCPT),
        ("550 Invalid User: zhang@qq.com", Stage.RCPT),
        ("550 Mail is rejected by recipients", Stage.DATA),
        ("550 5.7.1 RESOLVER.RST.NotAuthorized; not authorized", Stage.RCPT),
        ("552 5.2.2 mailbox full", Stage.RCPT),
        ("553 5.6.7 SMTPUTF8 is wanted", Stage.MAIL),
        ("552 5.3.4 Message size exceeds fixed limit", Stage.MAIL),
        ("552 message exceeds the limit", Stage.MAIL),
        ("552 5.3.4 too big", Stage.DATA),
        ("554 5.7.1 Message rejected as spam by content filter", Stage.DATA),
        ("550 DT:SPM 163 smtp1", Stage.DATA),
        ("550 Mail content denied", Stage.DATA),
        ("552 5.7.0 This message was blocked because its content presents a potential security issue", Stage.DATA),
        ("550 5.7.1 Unsolicited message", Stage.DATA),
        ("554 5.7.1 Message rejected as junk", Stage.DATA),
        ("550 5.7.1 likely suspicious due to the very low reputation of the sending domain", Stage.DATA),
        ("550 Message rejected by blacklist filter", Stage.DATA),
        ("554 5.7.1 URL in the message is listed at dbl.spamhaus.org", Stage.DATA),
        ("550 5.7.0 Local policy violation", Stage.DATA),
        ("554 no", Stage.DATA),
    ],
)
def test_a_no_to_the_mailbox_or_the_content_fails_that_message(line: str, stage: Stage) -> None:
    assert classify_line(line, stage) == Refused("smtp", Reply.of(int(line[:3]), line[4:]).label, line[4:])


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize(
    "line",
    [
        "550 Domain frequency limited",
        "550 Sender frequency limited",
        "550 Connection frequency limited",
        "550 Ip frequency limited",
        "550 Mailbox unavailable or access denied",
        "550 MI:STC 163 mx1",
        "550 RP:TRC 163 mx1",
        "554 HL:ITC 163 mx1",
        "421 HL:ICC 163 mx1",
        "421 HL:IFC 163 mx1",
        "421 HL:REP 163 mx1",
        "450 MI:DMC 163 mx1",
        "450 RP:DRC 163 mx1",
        "451 MI:SFQ 163 mx1",
        "451 RP:QRC 163 mx1",
        "451 DT:SPM 163 mx1",
        "421 4.7.28 Gmail has detected an unusual rate of mail",
        "550 5.7.28 There is an unusual rate of unsolicited mail",
        "450 4.2.1 The user you are trying to contact is receiving mail too quickly",
    ],
)
def test_throttling_is_tried_again_whatever_its_first_digit(line: str, stage: Stage) -> None:
    result = classify_line(line, stage)
    assert isinstance(result, Again)
    assert result.after_s >= 60


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA])
@pytest.mark.parametrize("line", ["550 5.7.1 Delivery not authorized", "554 5.7.0 no", "550 5.7.999 what?"])
def test_an_unspecific_refusal_of_permission_is_decided_by_other_mail(line: str, stage: Stage) -> None:
    result = classify_line(line, stage)
    assert isinstance(result, Refused)
    assert result.concerns == "domain"


def test_every_line_of_the_table_has_a_source_and_is_met_by_no_line_before_it_alone() -> None:
    assert all(line.source for line in REFUSAL_RULES)
    assert {line.extent for line in REFUSAL_RULES} == set(Extent)


@pytest.mark.parametrize(
    ("line", "stage", "kind"),
    [
        ("571 Delivery not authorized", Stage.RCPT, Refused),
        ("571 Delivery not authorized", Stage.MAIL, Blocked),
        ("498 come back", Stage.DATA, Again),
    ],
)
def test_an_unlisted_code_is_classified_by_its_first_digit_and_shown_so(
    line: str, stage: Stage, kind: type[Result]
) -> None:
    said = classify_line(line, stage)
    assert isinstance(said, kind)
    assert line[4:] in said.detail
    assert "an unlisted code" in said.detail


@pytest.mark.parametrize("line", ["550 no", "571 5.7.1 no", "554 5.1.1 unknown", "451 later"])
def test_a_listed_code_is_shown_as_the_server_words_it(line: str) -> None:
    assert classify_line(line, Stage.RCPT).detail == line[4:]


@given(st.integers(400, 599), st.text(), st.sampled_from(Stage))
def test_any_no_has_a_result(code: int, text: str, stage: Stage) -> None:
    assert isinstance(classify_refusal(Reply.of(code, text), SCOPES, stage), Again | Refused | Blocked)
