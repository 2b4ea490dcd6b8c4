"""The check of a bounce mailbox before it is used: each problem in words, with the setting to change."""

import asyncio
import ssl
from typing import Any

import pytest

from imsg_smtp.bounce_settings import BounceMailbox
from imsg_smtp.bounces import mailbox
from imsg_smtp.bounces.bounce_sources import try_mailbox
from imsg_smtp.settings import MailServerSettings, Smtp
from imsg_testing.servers import Dovecot
from imsg_testing.servers.dovecot import PASSWORD
from imsg_testing.smtp_connections import LONG_S
from imsg_testing.token_issuer import CLIENT, MAILBOX, MICROSOFT_SCOPE, SECRET, TokenIssuer
from imsg_web.destinations import INSIDE

pytestmark = pytest.mark.long  # Dovecot


def at(server: Dovecot, user: str, **other: Any) -> BounceMailbox:  # noqa: ANN401  any setting
    given = {"host": "127.0.0.1", "port": server.port, "username": user, "password": PASSWORD, **other}
    return BounceMailbox.model_validate(given)


async def test_a_wrong_mailbox_is_reported_before_it_is_used(dovecot: Dovecot, user: str, reserved_port: int) -> None:
    assert await mailbox.check_mailbox(at(dovecot, user), None, LONG_S) is None
    no_folder = await mailbox.check_mailbox(at(dovecot, user, folder="退信"), None, LONG_S)
    assert no_folder is not None
    assert "IMSG_SMTP__BOUNCE_MAILBOX__FOLDER" in str(no_folder)
    nobody = await mailbox.check_mailbox(at(dovecot, user, port=reserved_port), None, LONG_S)
    assert nobody is not None
    assert f"127.0.0.1:{reserved_port} does not answer" in str(nobody)


async def test_what_is_wrong_names_the_settings_of_its_own_server(dovecot: Dovecot, user: str) -> None:
    for given, named in (
        ({"move_to": "退信"}, "MOVE_TO"),
        ({"folder": "退信"}, "FOLDER"),
        ({"password": "x"}, "USERNAME"),
    ):
        own = at(dovecot, user, **given)
        smtp = Smtp(
            host="127.0.0.1",
            sender="a@example.com",
            bounce_mailbox=own.model_copy(update={"username": "other"}),
            servers={"qq": MailServerSettings(host="127.0.0.1", bounce_mailbox=own)},
        )
        said = await mailbox.check_mailbox(smtp.bounce_mailboxes["qq"], None, LONG_S)
        assert said is not None
        assert f"IMSG_SMTP__SERVERS__QQ__BOUNCE_MAILBOX__{named}" in str(said)


async def test_an_untrusted_certificate_is_explained_in_words(dovecot: Dovecot, user: str) -> None:
    where = at(dovecot, user, host="localhost", port=dovecot.tls_port, security="tls")
    said = await mailbox.check_mailbox(where, ssl.create_default_context(), LONG_S)
    assert said is not None
    assert "IMSG_SMTP__BOUNCE_MAILBOX__CA_FILE" in str(said)


class Netease(asyncio.Protocol):
    """The part of NetEase's IMAP that opens a folder: a client that sent no ID is refused."""

    def __init__(self) -> None:
        self.is_known = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"* OK Coremail System IMap Server Ready\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer."""
        for line in data.splitlines():
            tag, command, *_ = line.split(b" ")
            self.is_known = self.is_known or command.upper() == b"ID"
            match command.upper():
                case b"CAPABILITY":
                    self.transport.write(
                        b"* CAPABILITY IMAP4rev1 XLIST SPECIAL-USE ID LITERAL+ STARTTLS XAPPLEPUSHSERVICE UIDPLUS\r\n"
                    )
                case b"SELECT" | b"EXAMINE" if not self.is_known:
                    self.transport.write(tag + b" NO SELECT Unsafe Login. Please contact kefu@188.com for help\r\n")
                    continue
                case b"SELECT" | b"EXAMINE":
                    self.transport.write(b"* 0 EXISTS\r\n* OK [UIDVALIDITY 1] UIDs valid\r\n")
                case b"ID":
                    self.transport.write(b'* ID ("name" "Coremail Imap" "vendor" "Mailtech")\r\n')
                case b"LOGOUT":
                    self.transport.write(b"* BYE IMAP4rev1 Server logging out\r\n")
            self.transport.write(tag + b" OK done\r\n")


async def test_netease_gets_our_client_id(user: str) -> None:
    server = await asyncio.get_running_loop().create_server(Netease, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        where = BounceMailbox(host="127.0.0.1", port=port, username=user, password=PASSWORD)
        assert await mailbox.check_mailbox(where, None, LONG_S) is None


OAUTH = """
auth_mechanisms = plain xoauth2
oauth2_introspection_mode = post
oauth2_introspection_url = {url}/introspect
oauth2_username_attribute = username
oauth2_active_attribute = active
oauth2_active_value = true
passdb oauth2 {{
}}
"""


async def test_a_mailbox_is_opened_by_a_token_and_a_refused_one_fetched_anew() -> None:
    issuer = TokenIssuer()
    async with issuer.http.running():
        with Dovecot(more=OAUTH.format(url=issuer.http.url)) as server:
            own = {"host": "127.0.0.1", "port": server.port}
            log_in = {"auth": "oauth2", "preset": "other", "token_url": issuer.url, "scope": MICROSOFT_SCOPE}
            account = {"username": MAILBOX, "client_id": CLIENT, "client_secret": SECRET, **log_in}
            settings = MailServerSettings.model_validate({"host": "h", **account, "bounce_mailbox": own})
            assert settings.bounce_mailbox is not None
            assert await try_mailbox(settings.bounce_mailbox, INSIDE, LONG_S) is None
            issuer.revoked.add("ya29.token-1")
            assert await try_mailbox(settings.bounce_mailbox, INSIDE, LONG_S) is None
            assert issuer.given == ["ya29.token-0", "ya29.token-1", "ya29.token-2"]
            issuer.revoked.update(("ya29.token-3", "ya29.token-4"))
            refused = await try_mailbox(settings.bounce_mailbox, INSIDE, LONG_S)
            assert refused is not None
            assert refused.trouble is not None
            assert "https://mail.google.com/" in refused.trouble.remedy_zh
            assert "ya29" not in str(refused) + refused.trouble.zh
