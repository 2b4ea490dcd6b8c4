"""Checks of the mail servers and bounce mailboxes that the settings name: each is logged in to, and nothing is sent."""

import asyncio
from functools import partial

import imsg_smtp.main
from imsg.findings import ENGLISH, TIMEOUT_S, Finding, Translate
from imsg_contract.results import Again, Blocked

MAIL_EXCHANGE_PORT = 25
"""The port of RFC 5321, between servers; clients submit mail to 465 or 587 (RFC 8314)."""


async def check_servers(smtp: imsg_smtp.main.Smtp, translate: Translate = ENGLISH) -> dict[str, Finding]:
    """Return a finding for each mail server, by its name. Raises StartError."""
    names = list(smtp.all_servers)
    findings = await asyncio.gather(*(_check_server(smtp, name, translate) for name in names))
    return dict(zip(names, findings, strict=True))


async def _check_server(smtp: imsg_smtp.main.Smtp, name: str, translate: Translate) -> Finding:
    server = smtp.all_servers[name]
    address = f"{server.host}:{server.server_port}"
    part = translate("邮件服务器 ", "mail server ") + name
    failure = await imsg_smtp.main.try_server(smtp, TIMEOUT_S, name)
    if failure is None:
        login_zh, login = (
            ("登录成功", "accepts the log-in") if server.username else ("无需登录", "answers without a log-in")
        )
        state = translate(
            f"{address} {login_zh}，加密方式 {server.protection}", f"{address} {login}, security {server.protection}"
        )
        return Finding(part, state)
    is_login = isinstance(failure, Blocked) and server.username is not None
    is_login = is_login and await imsg_smtp.main.works_without_login(smtp, name, TIMEOUT_S)
    state = failure.detail
    if is_login:
        state = translate(f"{address} 拒绝登录：{state}", f"{address} refuses the log-in: {state}")
    return Finding(part, state, _find_remedy(name, server, failure, translate, is_login=is_login))


def _find_remedy(
    name: str,
    server: imsg_smtp.main.MailServerSettings,
    failure: Again | Blocked,
    translate: Translate,
    *,
    is_login: bool,
) -> str:
    variable = partial(imsg_smtp.main.variable_of, name)
    host, port, security = variable("host"), variable("port"), variable("security")
    if server.auth == "oauth2" and (is_login or failure.code.startswith("oauth_")):
        trouble = imsg_smtp.main.explain(failure, server, is_login=is_login)
        return translate(trouble.remedy_zh, trouble.remedy_en)
    if is_login:
        username, password = variable("username"), variable("password")
        return translate(f"核对 {username} 和 {password}。", f"Correct {username} and {password}.")
    if failure.code == "wrong_security":
        return translate(
            f"修改 {security} 或 {port}：465 配 tls，587 配 starttls。",
            f"Change {security} or {port}: 465 is for tls, 587 for starttls.",
        )
    if server.server_port == MAIL_EXCHANGE_PORT and isinstance(failure, Again):
        return translate(
            "多数云主机封禁 25 端口：改用 465（SECURITY=tls）或 587（SECURITY=starttls）。",
            "Most clouds close port 25: use 465 (SECURITY=tls) or 587 (SECURITY=starttls).",
        )
    return translate(
        f"确认服务器在运行，并核对 {host}、{port} 和 {security}（现为 {server.protection}）。",
        f"Check that it runs; correct {host}, {port} and {security} (now {server.protection}).",
    )


async def check_mailboxes(smtp: imsg_smtp.main.Smtp, translate: Translate = ENGLISH) -> dict[str, Finding]:
    """Return a finding for each bounce mailbox, by the name of its mail server. Raises StartError."""
    findings = {}
    for name, address, failure in await imsg_smtp.main.try_bounce_mailboxes(smtp, TIMEOUT_S):
        part = translate("退信邮箱 ", "bounce mailbox ") + name
        if failure is None:
            findings[name] = Finding(part, translate(f"{address} 可以读取", f"{address} can be read"))
            continue
        host = smtp.bounce_mailboxes[name].variable("host")
        remedy = translate(
            f"核对 {host} 及账号与授权码，并在服务商处开启 IMAP。",
            f"Correct {host}, its username and password, and switch IMAP on at the provider.",
        )
        findings[name] = Finding(part, failure, remedy)
    return findings
