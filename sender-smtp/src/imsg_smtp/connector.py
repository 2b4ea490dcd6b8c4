"""Opens connections to a mail server: greeting, TLS and log-in, by aiosmtplib, which only this module imports.

After the log-in `connection` uses the transport itself: aiosmtplib has no pipelining, and does not report whether the
final dot was sent before an error, which decides between a safe repeat and `unknown` (docs/providers.md).
"""

import asyncio
import ssl
from functools import partial
from typing import cast

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPHeloError, SMTPResponseException
from pydantic import SecretStr

from imsg_contract.results import Again, Blocked
from imsg_runtime.masking import Secrets
from imsg_smtp.connection import Connection, Extensions, failure_code
from imsg_smtp.dialogue import take_over
from imsg_smtp.oauth import TokenFailure
from imsg_smtp.oauth_troubles import NO_XOAUTH2, SAID, find_remedy
from imsg_smtp.refusals import classify_before_mail
from imsg_smtp.replies import BLOCK_S, OUT_OF_STEP, PROVIDER, Reply
from imsg_smtp.server_address import ServerAddress, Timeouts, describe_error, open_socket

NEXT_MECHANISM = (500, 501, 502, 503, 504, 534)
"""Replies to AUTH that refuse the mechanism and not the password (RFC 4954, sections 4 and 6)."""

REFUSED_TOKEN = ("535", "430")
"""Replies to a token that another one may mend: refused (RFC 4954, section 6); Microsoft's `430 4.2.0 mailbox logon
failure` while the application's right to the mailbox is missing or new."""


async def connect(server: ServerAddress, timeouts: Timeouts) -> Connection | Again | Blocked:
    """Open a connection, with TLS and the log-in that the settings name; a refused token is fetched anew once.

    Returns Again where the server is unavailable, Blocked where a setting has to be changed, here or at the server.
    """
    if server.tokens is None:
        return await _connect(server, timeouts, server.password)
    token = await server.tokens.get()
    if isinstance(token, TokenFailure):
        return _translate_failure(token, server)
    result = await _connect(server, timeouts, SecretStr(token))
    if not (isinstance(result, Blocked) and result.code.startswith(REFUSED_TOKEN)):
        return result
    fresh = await server.tokens.get(stale=token)
    if isinstance(fresh, TokenFailure):
        return _translate_failure(fresh, server)
    return await _connect(server, timeouts, SecretStr(fresh))


def _translate_failure(failure: TokenFailure, server: ServerAddress) -> Again | Blocked:
    """Return the result where there is no token for the log-in."""
    if failure.is_transient:
        return Again(PROVIDER, failure.code, failure.detail)
    return Blocked(PROVIDER, server.scope, failure.code, failure.detail, BLOCK_S)


async def _connect(server: ServerAddress, timeouts: Timeouts, secret: SecretStr | None) -> Connection | Again | Blocked:
    """Open a connection; `secret` is the password or the token."""
    sock = await open_socket(server, timeouts.connect_s)
    if isinstance(sock, Again | Blocked):
        return sock
    client = SMTP(
        hostname=server.host,
        sock=sock,
        local_hostname=server.hello,
        timeout=timeouts.command_s,
        use_tls=server.security == "tls",
        start_tls=False,  # `_authenticate` starts TLS: the library's default is opportunistic
        tls_context=server.tls,
    )
    failure: Again | Blocked | None
    try:
        await client.connect(timeout=timeouts.greeting_s)
        failure = await _authenticate(client, server, secret)
    except SMTPResponseException as error:
        failure = classify_before_mail(_read_reply(error, secret), server.scope)
    except (SMTPException, OSError) as error:
        failure = _translate_error(error, server)
    except BaseException:
        _abort(client)
        raise
    if failure is None and _has_unread(client):
        failure = Again(PROVIDER, OUT_OF_STEP, f"{server.scope} said more than it was asked before the first mail.")
    if failure is None:
        assert client.transport is not None  # noqa: S101  connected
        dialogue = take_over(client.transport)
        return Connection(dialogue, _read_extensions(client), server.scope, timeouts, partial(_abort, client))
    _abort(client)
    return failure


def _has_unread(client: SMTP) -> bool:
    """Return whether octets follow the last reply: they would be read as the next reply."""
    protocol = client.protocol
    return protocol is not None and bool(protocol._buffer)  # noqa: SLF001  it offers no other way; a test holds it to this


async def _authenticate(client: SMTP, server: ServerAddress, secret: SecretStr | None) -> Again | Blocked | None:
    """Send EHLO, start TLS, send EHLO again (required by RFC 3207), and log in; return why that failed."""
    await _greet(client)
    if server.security == "starttls":
        if not client.supports_extension("starttls"):
            detail = (
                f"{server.scope} offers no STARTTLS, so nothing is sent; set {server.variable('security')} to tls "
                "(port 465), or to none where the way to it is safe."
            )
            return Blocked(PROVIDER, server.scope, "no_starttls", detail, BLOCK_S)
        await client.starttls()
        await _greet(client)
    if server.username is None or secret is None:
        return None
    if server.tokens is not None:
        return await _log_in_by_token(client, server, server.username, secret)
    return await _log_in(client, server, server.username, secret)


async def _greet(client: SMTP) -> None:
    try:
        await client.ehlo()
    except SMTPHeloError:
        if not client.is_connected:
            raise
        await client.helo()


async def _log_in(client: SMTP, server: ServerAddress, username: str, password: SecretStr) -> Blocked | None:
    """Log in by the first mechanism that both sides support; by the next only if the mechanism itself was refused.

    A refused password is not tried by another mechanism: repeated wrong log-ins lock the account.
    """
    known = {"plain": client.auth_plain, "login": client.auth_login, "cram-md5": client.auth_crammd5}
    if client.get_transport_info("sslcontext") is None:
        known = dict(reversed(known.items()))  # unencrypted, which settings allow to this machine only
    offered = " ".join(client.server_auth_methods) or "none"
    scope, port = server.scope, server.variable("port")
    code, detail = "no_log_in", f"{scope} offers no log-in we know (it offers {offered}); correct {port}."
    for name in [name for name in known if name in client.server_auth_methods]:
        try:
            await known[name](username, password.get_secret_value())
        except SMTPAuthenticationError as error:
            reply = _read_reply(error, password)
            if reply.closes_connection:
                raise
            remedy = f"correct {server.variable('username')} and {server.variable('password')}"
            code, detail = reply.label, f"{scope} refused the log-in, so {remedy}: {reply.text}"
            if reply.code not in NEXT_MECHANISM:
                break
        else:
            return None
    return Blocked(PROVIDER, scope, code, detail, BLOCK_S)


async def _log_in_by_token(
    client: SMTP, server: ServerAddress, username: str, token: SecretStr
) -> Again | Blocked | None:
    """Log in by XOAUTH2; the library answers the challenge that holds an error."""
    if "xoauth2" not in client.server_auth_methods:
        offered = " ".join(client.server_auth_methods) or "none"
        detail = f"{server.scope} offers no XOAUTH2 (it offers {offered}); correct {server.variable('port')}."
        return Blocked(PROVIDER, server.scope, NO_XOAUTH2, detail, BLOCK_S)
    try:
        await client.auth_xoauth2(username, token.get_secret_value())
    except SMTPAuthenticationError as error:
        reply = _read_reply(error, token)
        if not str(reply.code).startswith(("5", *REFUSED_TOKEN)):
            raise
        remedy = find_remedy(f"{reply.code} {reply.text}", username).en
        detail = f"{server.scope} refused the token. {remedy} {SAID}{reply.text}"
        return Blocked(PROVIDER, server.scope, reply.label, detail, BLOCK_S)
    return None


def _read_reply(error: SMTPResponseException, secret: SecretStr | None) -> Reply:
    """Return a refusal. It may repeat the log-in, whose password or token is hidden."""
    secrets = Secrets([] if secret is None else [secret])
    return Reply.of(error.code, secrets.hide_in(error.message))


def _read_extensions(client: SMTP) -> Extensions:
    limit = client.esmtp_extensions.get("size", "").strip()
    return Extensions(
        pipelining=client.supports_extension("pipelining"),
        size=client.supports_extension("size"),
        smtputf8=client.supports_extension("smtputf8"),
        dsn=client.supports_extension("dsn"),
        size_limit=int(limit) if limit.isdecimal() else 0,
    )


def _abort(client: SMTP) -> None:
    if client.transport is not None:
        cast("asyncio.WriteTransport", client.transport).abort()
    client.close()


def _translate_error(error: Exception, server: ServerAddress) -> Again | Blocked:
    """Return the result of a failed connection: Blocked for an untrusted certificate, else Again."""
    cause: BaseException | None = error
    scope = server.scope
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            detail = (
                f"The certificate of {scope} is not trusted ({cause.verify_message}); "
                f"correct {server.variable('host')}, or name its authority in {server.variable('ca_file')}."
            )
            return Blocked(PROVIDER, scope, "certificate", detail, BLOCK_S)
        cause = cause.__cause__
    return Again(PROVIDER, failure_code(error), f"{scope}: {describe_error(error)}")
