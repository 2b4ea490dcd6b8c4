"""A marketing mail has signed headers for one-click unsubscription; other mail has none."""

from datetime import UTC, datetime

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from pydantic import SecretStr

from imsg_contract.unsubscribing import Subscription, derive_keys, read_token
from imsg_smtp import dkim
from imsg_smtp.mime import MailContent, render
from imsg_smtp.senders import Sender
from imsg_smtp.unsubscribe_headers import UnsubscribeHeaders

KEY = derive_keys((SecretStr("an erasure key, long enough for all of this"),))[0]
AT = datetime(2026, 11, 26, 1, 30, tzinfo=UTC)


def test_both_headers_are_signed_and_reveal_no_address() -> None:
    headers = UnsubscribeHeaders("https://imsg.example.com/", KEY, "news", "marketing").headers
    signing = dkim.DomainSigners([dkim.Signer("example.com", "s", dkim.make_key("ed25519"))])
    letter, sender = MailContent("新品", "您好"), Sender("天存", "news@example.com")

    mails = [
        render(letter, sender, "0" * 32, AT, signing, unsubscribe=headers).make_mail(0, "li.wei@example.com")
        for _ in range(2)
    ]

    assert mails[0].head == mails[1].head
    lines = mails[0].head.decode().split("\r\n")
    (link,) = [line for line in lines if line.startswith("List-Unsubscribe: ")]
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines
    assert link.startswith("List-Unsubscribe: <https://imsg.example.com/u/")
    assert "li.wei" not in link
    signature = mails[0].head.decode().partition("From:")[0].replace("\r\n ", "").replace(" ", "")
    assert "list-unsubscribe:list-unsubscribe-post" in signature
    sealed = read_token(link.removeprefix("List-Unsubscribe: <https://imsg.example.com/u/").removesuffix(">"))
    assert sealed is not None
    found = Subscription.unpack(AESSIV(KEY).decrypt(sealed, None))
    assert found == Subscription("li.wei@example.com", "news", "marketing")


def test_another_mail_has_neither() -> None:
    mail = render(MailContent("通知", "您好"), Sender("", "a@example.com"), "0" * 32, AT).make_mail(0, "li@example.com")

    assert b"List-Unsubscribe" not in mail.head
