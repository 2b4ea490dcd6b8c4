"""The way into a server: reached, greeted, secured by TLS and logged in at."""

import ssl
from collections.abc import Sequence
from dataclasses import replace

import pytest
import trustme
import uvloop
from pydantic import SecretStr

from imsg_contract.results import Again, Blocked, Sent, Unknown
from imsg_smtp import port_probe
from imsg_smtp.connection import Connection
from imsg_smtp.connector import connect
from imsg_smtp.port_probe import connect_or_explain
from imsg_smtp.server_address import ServerAddress
from imsg_smtp.settings import Security
from imsg_testing.smtp_connections import IMPATIENT, LONG_S, QUICK, address_of, connecting, large_mail, mail
from imsg_testing.smtp_server import Act, Raw, ScriptedReply, smtp_server

pytestmark = pytest.mark.usefixtures("_offered")


async def test_a_server_without_ehlo_is_greeted_with_helo() -> None:
    async with connecting({"EHLO": "502 5.5.1 not implemented"}) as (server, connection):
        assert isinstance(await connection.send(mail()), Sent)
        assert server.mails[0].options == ""


async def test_a_port_without_a_listener_is_tried_again(reserved_port: int) -> None:
    gone = ServerAddress("127.0.0.1", reserved_port, "none", "example.com", None)
    result = await connect(gone, QUICK)
    assert isinstance(result, Again)
    assert result.code == "unreachable"
    assert gone.scope in result.detail


async def test_a_name_without_an_address_is_tried_again() -> None:
    patient = replace(QUICK, connect_s=200)  # a machine without a name server looks for it for long
    result = await connect(ServerAddress("no-such-host.invalid", 25, "none", "example.com", None), patient)
    assert isinstance(result, Again)
    assert result.code == "unreachable"


@pytest.mark.parametrize("step", [Act.HANG, Act.DROP, Act.RESET, Raw(b"hello\r\n"), "421 4.3.2 not now", "450 busy"])
@pytest.mark.parametrize("command", ["GREETING", "EHLO"])
async def test_a_server_that_does_not_let_us_in_for_the_moment_is_tried_again(
    command: str, step: ScriptedReply
) -> None:
    replies: dict[str, ScriptedReply | Sequence[ScriptedReply]] = {command: step, "HELO": step}
    async with smtp_server(replies) as server:
        result = await connect(address_of(server), IMPATIENT)
        assert isinstance(result, Again)


@pytest.mark.parametrize("command", ["GREETING", "HELO"])
async def test_a_server_that_wants_nothing_from_us_is_blocked_and_no_recipient_refused(command: str) -> None:
    async with smtp_server({command: "554 5.7.1 go away", "EHLO": "554 5.7.1 go away"}) as server:
        result = await connect(address_of(server), QUICK)
        assert isinstance(result, Blocked)
        assert result.scope == f"127.0.0.1:{server.port}"
        assert result.code == "554 5.7.1"


# TLS and log-in


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def client_context(authority: trustme.CA | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority is not None:
        authority.configure_trust(context)
    return context


async def test_starttls_secures_the_session_and_greets_anew(authority: trustme.CA) -> None:
    async with smtp_server(starttls=server_context(authority)) as server:
        connection = await connect(
            ServerAddress(server.host, server.port, "starttls", "example.com", client_context(authority)), QUICK
        )
        assert isinstance(connection, Connection)
        assert isinstance(await connection.send(mail()), Sent)
        assert server.mails[0].tls
        assert server.commands[:4] == ["GREETING", "EHLO", "STARTTLS", "EHLO"]
        await connection.quit()


async def test_tls_from_the_first_byte(authority: trustme.CA) -> None:
    async with smtp_server(tls=server_context(authority)) as server:
        connection = await connect(
            ServerAddress(server.host, server.port, "tls", "example.com", client_context(authority)), QUICK
        )
        assert isinstance(connection, Connection)
        large = large_mail(1_000_000)
        assert isinstance(await connection.send(large), Sent)
        assert server.mails[0].tls
        assert server.mails[0].data == large.head + large.body
        await connection.quit()


async def test_a_server_without_starttls_gets_nothing_where_starttls_is_wanted(authority: trustme.CA) -> None:
    async with smtp_server(users={"imsg": "secret"}) as server:
        wanted = ServerAddress(
            server.host,
            server.port,
            "starttls",
            "example.com",
            client_context(authority),
            "imsg",
            SecretStr("secret"),
        )
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == "no_starttls"
        assert "IMSG_SMTP__SECURITY" in result.detail
        assert set(server.commands) == {"GREETING", "EHLO"}


@pytest.mark.parametrize(
    ("security", "said", "named"),
    [
        ("starttls", {}, ("SECURITY",)),
        ("none", {"AUTH": "535 5.7.8 Authentication failed"}, ("USERNAME", "PASSWORD")),
        ("tls", {}, ("PORT",)),
    ],
)
async def test_a_remedy_for_a_named_server_names_its_own_settings(
    authority: trustme.CA,
    security: Security,
    said: dict[str, str],
    named: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(port_probe, "PROBE_S", LONG_S)
    async with smtp_server(said, users={"imsg": "secret"}) as server:
        tls = None if security == "none" else client_context(authority)
        secret = SecretStr("wrong")
        wanted = ServerAddress(server.host, server.port, security, "example.com", tls, "imsg", secret, name="second")
        result = await connect_or_explain(wanted, QUICK)
        assert isinstance(result, Blocked)
        for field in named:
            assert f"IMSG_SMTP__SERVERS__SECOND__{field}" in result.detail
        assert "IMSG_SMTP__PASSWORD" not in result.detail


async def test_starttls_refused_for_the_moment_is_not_sent_around(authority: trustme.CA) -> None:
    async with smtp_server({"STARTTLS": "454 4.7.0 TLS not available"}, starttls=server_context(authority)) as server:
        wanted = ServerAddress(server.host, server.port, "starttls", "example.com", client_context(authority))
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == "454 4.7.0"
        assert "MAIL" not in server.commands


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_of_an_unknown_authority_blocks(authority: trustme.CA, security: str) -> None:
    context = server_context(authority)
    async with smtp_server(**{security: context}) as server:  # type: ignore[arg-type]
        wanted = ServerAddress(server.host, server.port, security, "example.com", client_context(None))  # type: ignore[arg-type]
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == "certificate"
        assert "IMSG_SMTP__CA_FILE" in result.detail


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_for_another_name_blocks(authority: trustme.CA, security: str) -> None:
    context = server_context(authority, "other.example.com")
    async with smtp_server(**{security: context}) as server:  # type: ignore[arg-type]
        wanted = ServerAddress(server.host, server.port, security, "example.com", client_context(authority))  # type: ignore[arg-type]
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == "certificate"


async def test_tls_against_a_server_that_speaks_in_clear_is_no_way_in(authority: trustme.CA) -> None:
    async with smtp_server() as server:
        wanted = ServerAddress(server.host, server.port, "tls", "example.com", client_context(authority))
        assert isinstance(await connect(wanted, IMPATIENT), Again)


@pytest.mark.parametrize("mechanisms", ["PLAIN LOGIN", "LOGIN", "CRAM-MD5", "XOAUTH2 CRAM-MD5 LOGIN PLAIN"])
async def test_a_right_password_logs_in_by_what_the_server_offers(authority: trustme.CA, mechanisms: str) -> None:
    async with smtp_server(
        users={"天存": "密码"}, extensions=[f"AUTH {mechanisms}"], tls=server_context(authority)
    ) as server:
        wanted = ServerAddress(
            server.host, server.port, "tls", "example.com", client_context(authority), "天存", SecretStr("密码")
        )
        connection = await connect(wanted, QUICK)
        assert isinstance(connection, Connection)
        assert isinstance(await connection.send(mail()), Sent)
        assert server.mails[0].user == "天存"
        await connection.quit()


async def test_a_wrong_password_blocks_and_is_tried_once(authority: trustme.CA) -> None:
    async with smtp_server(users={"imsg": "right"}, tls=server_context(authority)) as server:
        wanted = ServerAddress(
            server.host, server.port, "tls", "example.com", client_context(authority), "imsg", SecretStr("wrong")
        )
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == "535 5.7.8"
        assert "wrong" not in result.detail
        assert server.commands.count("AUTH") == 1


async def test_a_mechanism_that_is_refused_gives_way_to_the_next(authority: trustme.CA) -> None:
    async with smtp_server(
        {"AUTH": ["504 5.5.4 not really"]}, users={"imsg": "right"}, tls=server_context(authority)
    ) as server:
        wanted = ServerAddress(
            server.host, server.port, "tls", "example.com", client_context(authority), "imsg", SecretStr("right")
        )
        connection = await connect(wanted, QUICK)
        assert isinstance(connection, Connection)
        await connection.quit()


@pytest.mark.parametrize("reply", ["454 4.7.0 Too many login attempts", "530 5.7.0 Must use STARTTLS", "534 5.7.9 no"])
async def test_a_log_in_that_is_not_possible_now_blocks(reply: str) -> None:
    async with smtp_server({"AUTH": reply}, users={"imsg": "right"}) as server:
        wanted = replace(address_of(server), username="imsg", password=SecretStr("right"))
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == reply[:9]


async def test_a_server_that_offers_no_log_in_blocks_where_one_is_set() -> None:
    async with smtp_server() as server:
        wanted = replace(address_of(server), username="imsg", password=SecretStr("right"))
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == "no_log_in"


async def test_a_server_that_wants_a_log_in_blocks_where_none_is_set() -> None:
    async with smtp_server(users={"imsg": "right"}) as server:
        connection = await connect(address_of(server), QUICK)
        assert isinstance(connection, Connection)
        result = await connection.send(mail())
        assert isinstance(result, Blocked)
        assert result.code == "530 5.7.0"
        connection.abort()


def test_the_same_under_uvloop(authority: trustme.CA) -> None:
    async def main() -> None:
        async with smtp_server(starttls=server_context(authority), users={"imsg": "right"}) as server:
            wanted = ServerAddress(
                server.host,
                server.port,
                "starttls",
                "example.com",
                client_context(authority),
                "imsg",
                SecretStr("right"),
            )
            connection = await connect(wanted, QUICK)
            assert isinstance(connection, Connection)
            large = large_mail(2_000_000)
            assert isinstance(await connection.send(large), Sent)
            assert isinstance(await connection.send(mail()), Sent)
            assert server.mails[0].data == large.head + large.body
            await connection.quit()
        async with smtp_server({"DOT": Act.RESET}) as server:
            connection = await connect(address_of(server), QUICK)
            assert isinstance(connection, Connection)
            assert isinstance(await connection.send(mail()), Unknown)
            assert not connection.is_usable

    uvloop.run(main())
