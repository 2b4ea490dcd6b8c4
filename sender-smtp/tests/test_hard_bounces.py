"""Only what says that the address is not there suppresses it: no policy, no throttling, no full mailbox."""

import time

import pytest

from imsg_contract.results import Refused
from imsg_smtp.hard_bounces import can_be_real, is_hard
from imsg_smtp.refusals import Scopes, Stage, classify_refusal
from imsg_smtp.replies import Reply
from imsg_smtp.unknown_users import names_unknown_user

GONE = (
    # QQ, Exmail, NetEase, DirectMail, Alibaba Mail, 263, Coremail, U-Mail
    "550 Mailbox not found. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000728",
    "550 The recipient may contain a non-existent account, please check the recipient address.",
    "550 User not found: zhang@163.com",
    "550 Invalid User: zhang@163.com",
    "550 Invalid User",
    "559 Invalid rcptto [@sm060102]",
    "550 RCPT (zhang@corp.cn) dosn't exist",
    "550 corp:user not exist",
    "550 Local User [zhang@corp.cn] not found.",
    "550 local server don't exists that user",
    "550 user not known",
    "550 recipient does not have an account",
    "550 not user of this server",
    "550 RC:LD The email account that you tried to reach does no exists.",
    "550 no such user here (umail mta)",
    "550 User zhang@163.net is not found in Server .",
    # qmail, Postfix, Exim, sendmail, Exchange, Yahoo, Yandex, Mail.ru, Gmail
    "550 sorry, no mailbox here by that name. (#5.1.1)",
    "553 sorry, no mailbox here by that name (#5.1.1 - chkuser)",
    "550 Sorry, address does not comply (#5.1.1)",
    "550 unknown or illegal alias: zhang@corp.cn",
    "550 <spam@corp.cn>: Recipient address rejected: User unknown in relay recipient table",
    "550 <content@corp.cn>... User unknown",
    "550 No such person at this address",
    '550 No Such User Here"',
    "550 5.1.1 User unknown",
    "551 5.1.6 Mailbox has moved",
    "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient zhang@corp.cn not found by SMTP address lookup",
    "550 5.4.1 Recipient address rejected: Access denied. AS(201806281) [BN1NAM02FT046.eop-nam02.prod.example.com]",
    "550 5.4.1 [zhang@corp.cn]: Recipient address rejected: Access denied",
    "554 delivery error: dd This user doesn't have a yahoo.com account (zhang@yahoo.com) [0]",
    "550 5.7.1 No such user!; 1764036005-abc",
    "550 Message was not accepted -- invalid mailbox. Local mailbox zhang@mail.ru is unavailable: user not found",
    "550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking the spaces.",
    "550 用户不存在",
)

NOT_GONE = (
    "550 Mail content denied. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000726",
    "550 5.1.1 Mail content denied",
    "550 Mailbox unavailable or access denied",
    "550 Domain frequency limited",
    "550 Sender frequency limited. http://service.mail.qq.com/cgi-bin/help?no=1000723",
    "550 Mail is rejected by recipients",
    "550 Suspected bounce attacks",
    "550 Domain may not exist or DNS query timeout",
    "550 User suspended",
    "550 User hangup",
    "550 User locked",
    "550 User in blacklist",
    "550 User has exceeded quota",
    "550 5.1.1 User unknown or over quota",
    "552 5.2.2 Mailbox full",
    "550 RP:TRC 163 smtp",
    "554 HL:ITC 163 smtp",
    "421 HL:REP 163 mx1: too many unknown users",
    "550 DT:SPM 163 mx1",
    "550 MI:SPF 163 mx1",
    "550 5.1.1 Domain frequency limited",
    "553 5.1.7 Bad sender's mailbox address syntax",
    "550 5.1.8 Sender address rejected: Domain not found",
    "550 <noreply@example.com>: Sender address rejected: User unknown in virtual mailbox table",
    "550 Verification failed for <noreply@example.com> Response: 550 5.1.1 user unknown Sender verify failed",
    "550 5.7.1 Message rejected by policy",
    "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
    "550 Requested action not taken: mailbox unavailable",
    "554 Reject by content spam",
    "550 Your IP address 203.0.113.9 was not found in PTR",
    "550 reverse lookup: address does not exist",
    "550 Recipient's mail server was not found",
    "554 5.7.1 <zhang@corp.cn>: Recipient address rejected: Access denied",
    "550 recipient domain does not exist",
    "550 EHLO account unknown",
    "550 收件人域名不存在",
    "550 收件人邮箱不存在或已停用",
    "450 4.1.1 User unknown",
    "450 User not found, try again",
    "550 sorry, no mailbox here by that name (#4.1.1)",
)


def is_suppressed(line: str, stage: Stage) -> bool:
    """Return whether the channel suppresses the recipient of this reply."""
    scopes = Scopes("smtp.example.com:25", "a@example.com", "example.com to c.cn")
    result = classify_refusal(Reply.of(int(line[:3]), line[4:]), scopes, stage)
    return isinstance(result, Refused) and is_hard(result.code, result.detail)


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA])
@pytest.mark.parametrize("line", GONE)
def test_an_unknown_user_is_known_by_code_or_words(line: str, stage: Stage) -> None:
    assert is_suppressed(line, stage)


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA])
@pytest.mark.parametrize("line", NOT_GONE)
def test_another_reason_suppresses_no_address(line: str, stage: Stage) -> None:
    assert not is_suppressed(line, stage)


@pytest.mark.parametrize("line", [line for line in GONE if "Recipient address" not in line])
def test_at_mail_an_unknown_user_is_our_own_sender(line: str) -> None:
    assert not is_suppressed(line, Stage.MAIL)


def test_every_phrase_is_found_without_going_back_and_forth_over_a_line() -> None:
    began = time.process_time()
    for piece in ("user ", "no ", "unknown or ", "address not ", "用户", "收件人不", "a", "a@", "://"):
        names_unknown_user(piece * 500)
    assert time.process_time() - began < 1.0


def test_reserved_names_are_no_real_addresses() -> None:
    names = ("example.com", "mail.example.com", "x.test", "examples.com", "163.com")

    assert [can_be_real(f"a@{name}") for name in names] == [False, False, False, True, True]
