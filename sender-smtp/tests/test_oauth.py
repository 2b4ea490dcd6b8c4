"""Log-ins by tokens of OAuth 2.0: fetched as the issuer wants, taken by the server, and explained where they fail."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from imsg_contract.results import Again, Blocked
from imsg_delivery.shared_token import Token
from imsg_runtime.redis import Redis
from imsg_runtime.sealing import Sealer
from imsg_smtp.accounts import MAIL_SERVER, explain
from imsg_smtp.connection import Connection
from imsg_smtp.connector import connect
from imsg_smtp.main import check_account
from imsg_smtp.oauth import PURPOSE, OwnToken, TokenFailure, fetch, share_tokens
from imsg_smtp.server_address import ServerAddress
from imsg_smtp.settings import MailServerSettings, Smtp
from imsg_testing.smtp_connections import QUICK
from imsg_testing.smtp_server import SmtpServer, smtp_server
from imsg_testing.token_issuer import CLIENT, GOOGLE_SCOPE, MAILBOX, MICROSOFT_SCOPE, REFRESH, SECRET, TokenIssuer
from imsg_web.destinations import INSIDE

Settings = dict[str, Any]


@pytest.fixture
async def issuer() -> AsyncIterator[TokenIssuer]:
    """Run a token endpoint."""
    issuer = TokenIssuer()
    async with issuer.http.running():
        yield issuer


def microsoft(issuer: TokenIssuer, **more: object) -> Settings:
    log_in = {"auth": "oauth2", "preset": "microsoft365", "tenant": "contoso.com", "client_id": CLIENT}
    return {"host": "127.0.0.1", "username": MAILBOX, "token_url": issuer.url, **log_in, "client_secret": SECRET} | more


def google(issuer: TokenIssuer, **more: object) -> Settings:
    log_in = {"host": "127.0.0.1", "auth": "oauth2", "preset": "google", "username": MAILBOX}
    return {**log_in, "token_url": issuer.url, **more}


def read(settings: Settings) -> MailServerSettings:
    return MailServerSettings.model_validate(settings)


WAYS: dict[str, Callable[[TokenIssuer], Settings]] = {
    "Microsoft, a secret": microsoft,
    "Microsoft, a certificate": lambda issuer: microsoft(
        issuer, client_secret=None, certificate=issuer.certificate_pem
    ),
    "Microsoft, a certificate from a form without line breaks": lambda issuer: microsoft(
        issuer, client_secret=None, certificate=issuer.certificate_pem.replace("\n", "")
    ),
    "Google, a service account": lambda issuer: google(issuer, service_account=issuer.service_account),
    "Google, a refresh token": lambda issuer: google(
        issuer, refresh_token=REFRESH, client_id=CLIENT, client_secret=SECRET
    ),
    "another issuer": lambda issuer: microsoft(issuer, preset="other", scope=MICROSOFT_SCOPE),
}


@pytest.mark.parametrize("way", WAYS)
async def test_the_issuer_gives_a_token_for_each_kind_of_log_in(issuer: TokenIssuer, way: str) -> None:
    token = await fetch(read(WAYS[way](issuer)), INSIDE)
    assert isinstance(token, Token), token
    assert token.text == issuer.given[0]
    assert token.ends_at - token.renew_at == 300


def test_the_presets_ask_microsoft_and_google_for_their_scopes() -> None:
    log_in = {"auth": "oauth2", "username": MAILBOX, "host": "smtp.office365.com"}
    tenant = read({**log_in, "preset": "microsoft365", "tenant": "t1", "client_id": "c", "client_secret": "s"}).source
    assert tenant.token_url == "https://login.microsoftonline.com/t1/oauth2/v2.0/token"
    assert tenant.scope == MICROSOFT_SCOPE
    refresh = {"refresh_token": "r", "client_id": "c", "client_secret": "s"}
    assert read({**log_in, "preset": "google", **refresh}).source.scope == GOOGLE_SCOPE


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"preset": "microsoft365"}, {"tenant", "client_id", "client_secret"}),
        ({"preset": "google"}, {"service_account"}),
        ({"preset": "google", "refresh_token": "r"}, {"client_id", "client_secret"}),
        ({"preset": "other"}, {"client_id", "client_secret", "token_url"}),
    ],
)
def test_what_a_preset_needs_is_missed_by_its_name(settings: Settings, missing: set[str]) -> None:
    with pytest.raises(ValidationError) as raised:
        read({"host": "h", "username": MAILBOX, "auth": "oauth2", **settings})
    assert {error["loc"][0] for error in raised.value.errors() if error["type"] == "missing"} == missing


def test_a_file_of_the_certificate_is_read_and_a_wrong_one_refused(tmp_path: Path) -> None:
    issuer = TokenIssuer()
    (tmp_path / "app.pem").write_text(issuer.certificate_pem, encoding="utf-8")
    read(microsoft(issuer, certificate=str(tmp_path / "app.pem")))
    for wrong in (str(tmp_path / "nowhere.pem"), TokenIssuer().key_pem, "x"):
        with pytest.raises(ValidationError, match="PEM"):
            read(microsoft(issuer, certificate=wrong))


ERRORS = {
    "invalid_client AADSTS7000215: Invalid client secret provided.": "oauth_wrong_secret",
    "invalid_client AADSTS7000222: The provided client secret keys are expired.": "oauth_expired_secret",
    "unauthorized_client AADSTS700016: Application was not found.": "oauth_unknown_application",
    "invalid_request AADSTS90002: Tenant 'x' not found.": "oauth_unknown_tenant",
    "invalid_grant AADSTS65001: No consent.": "oauth_no_consent",
    "unauthorized_client Client is unauthorized to retrieve access tokens.": "oauth_not_delegated",
    "invalid_grant Token has been expired or revoked.": "oauth_invalid_grant",
    "something_new what nobody knows": "oauth_refused",
}


@pytest.mark.parametrize("error", ERRORS)
async def test_why_there_is_no_token_has_a_remedy_in_both_languages(issuer: TokenIssuer, error: str) -> None:
    name, _, description = error.partition(" ")
    issuer.error = {"error": name, "error_description": f"{description} {SECRET}"}
    async with smtp_server(find_user=issuer.find_user) as server:
        smtp = Smtp.model_validate({**microsoft(issuer), "port": server.port, "sender": MAILBOX})
        (trouble,) = await check_account(smtp, "default")
        assert trouble.code == ERRORS[error]
        assert description in trouble.zh
        assert SECRET not in trouble.zh + trouble.en
        assert trouble.remedy_zh
        assert trouble.remedy_en
        assert server.sessions == 1  # the one that tries without a log-in


async def test_an_issuer_that_is_away_is_asked_again(reserved_port: int) -> None:
    gone = read({**microsoft(TokenIssuer()), "token_url": f"http://127.0.0.1:{reserved_port}/token"})
    failure = await OwnToken(gone, INSIDE).get()
    assert isinstance(failure, TokenFailure)
    assert failure.is_transient
    address = ServerAddress("127.0.0.1", 1, "none", "example.com", None, MAILBOX, None, OwnToken(gone, INSIDE))
    result = await connect(address, QUICK)
    assert isinstance(result, Again)
    assert result.code == "oauth_unreachable"


def at(server: SmtpServer, issuer: TokenIssuer, redis: Redis) -> ServerAddress:
    tokens = share_tokens(read(microsoft(issuer)), INSIDE, redis, Sealer((SecretStr("k" * 32),), PURPOSE))
    return ServerAddress(server.host, server.port, "none", "example.com", None, MAILBOX, None, tokens)


async def test_replicas_share_a_token_that_redis_holds_sealed(issuer: TokenIssuer, redis: Redis) -> None:
    async with smtp_server(find_user=issuer.find_user) as server:
        for replica in (at(server, issuer, redis), at(server, issuer, redis)):
            connection = await connect(replica, QUICK)
            assert isinstance(connection, Connection), connection
            connection.abort()
        assert issuer.given == ["ya29.token-0"]
        for key in await redis.call("KEYS", "imsg:smtp:token:*"):
            assert b"ya29" not in await redis.call("GET", key)


async def test_a_refused_token_is_fetched_anew_once(issuer: TokenIssuer, redis: Redis) -> None:
    async with smtp_server(find_user=issuer.find_user) as server:
        address = at(server, issuer, redis)
        first = await connect(address, QUICK)
        assert isinstance(first, Connection)
        first.abort()
        issuer.revoked.add("ya29.token-0")
        again = await connect(address, QUICK)
        assert isinstance(again, Connection), again
        again.abort()
        assert issuer.given == ["ya29.token-0", "ya29.token-1"]
        server.find_user = lambda _: None
        refused = await connect(address, QUICK)
        assert isinstance(refused, Blocked)
        assert refused.code == "535 5.7.8"
        assert len(issuer.given) == 3


@pytest.mark.parametrize(
    ("reply", "remedy"),
    [
        ("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", "租户"),
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.",
            "该邮箱停用",
        ),
        ("535 5.7.3 Authentication unsuccessful", "New-ServicePrincipal"),
        ("430 4.2.0 STOREDRV; mailbox logon failure; Authentication unsuccessful", "FullAccess"),
    ],
)
async def test_what_the_tenant_does_not_allow_is_named(issuer: TokenIssuer, reply: str, remedy: str) -> None:
    async with smtp_server({"AUTH": [reply, reply]}, find_user=issuer.find_user) as server:
        smtp = Smtp.model_validate({**microsoft(issuer), "port": server.port, "sender": MAILBOX})
        (trouble,) = await check_account(smtp, "default")
        assert remedy in trouble.remedy_zh
        assert trouble.zh.count("Authentication unsuccessful") == 1
        assert trouble.code == " ".join(reply.split()[:2])


def test_a_password_that_microsoft_takes_no_more_leads_to_oauth() -> None:
    server = read({"host": "smtp.office365.com", "username": MAILBOX, "password": "x"})
    detail = "smtp.office365.com:587 refused the log-in, so correct A and B: 5.7.139 basic authentication is disabled."
    trouble = explain(Blocked("smtp", "s", "535 5.7.139", detail, 1.0), server, is_login=True)
    assert "OAuth 2.0" in trouble.remedy_zh
    assert "OAuth 2.0" in trouble.remedy_en


def test_the_form_asks_for_what_the_preset_needs() -> None:
    fields = {field.name: field for field in MAIL_SERVER.describe("").fields}
    assert fields["tenant"].when == {"auth": ("oauth2",), "preset": ("microsoft365",)}
    assert fields["password"].when == {"auth": ("password",)}
    assert fields["client_secret"].secret
    assert fields["ca_file"].rare
    assert fields["bounce_mailbox.host"].group is not None
    assert not fields["bounce_mailbox.host"].required
    assert fields["bounce_mailbox.tenant"].when["bounce_mailbox.auth"] == ("oauth2",)
    nested = MAIL_SERVER.nest({"host": "h", "bounce_mailbox.folder": "INBOX"})
    assert nested == {"host": "h"}
    assert MAIL_SERVER.nest({"bounce_mailbox.host": "i"}) == {"bounce_mailbox": {"host": "i"}}
