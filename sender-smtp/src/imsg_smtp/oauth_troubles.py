"""What is missing at Microsoft, Google or another issuer where a log-in by OAuth 2.0 is refused, in both languages."""

import re
from collections.abc import Mapping

from imsg_contract.provider_accounts import ProviderTrouble, Words
from imsg_delivery.provider_kinds import FORBIDDEN_ADDRESS

NO_XOAUTH2 = "no_xoauth2"

SAID = "It said: "
"""Precedes a server's words behind the remedy, in what the log shows."""

REFUSED_LOG_INS: tuple[tuple[re.Pattern[str], Words], ...] = (
    (
        re.compile(r"authentication is disabled for the tenant", re.IGNORECASE),
        Words(
            zh="整个租户停用了 SMTP AUTH。请在 Exchange Online PowerShell 中为该邮箱单独开启："
            "Set-CASMailbox -Identity {user} -SmtpClientAuthenticationDisabled $false；最多 2 小时后生效。",
            en="SMTP AUTH is off in the tenant. Switch it on for the mailbox in Exchange Online PowerShell: "
            "Set-CASMailbox -Identity {user} -SmtpClientAuthenticationDisabled $false. It takes up to 2 hours.",
        ),
    ),
    (
        re.compile(r"authentication is disabled for the mailbox", re.IGNORECASE),
        Words(
            zh="该邮箱停用了 SMTP AUTH。请在 Exchange Online PowerShell 中执行："
            "Set-CASMailbox -Identity {user} -SmtpClientAuthenticationDisabled $false；最多 2 小时后生效。",
            en="SMTP AUTH is off for the mailbox. In Exchange Online PowerShell: "
            "Set-CASMailbox -Identity {user} -SmtpClientAuthenticationDisabled $false. It takes up to 2 hours.",
        ),
    ),
    (
        re.compile(r"basic authentication is", re.IGNORECASE),
        Words(
            zh="Microsoft 365 不再接受密码登录：请把“登录方式”改为 OAuth 2.0 令牌。",
            en="Microsoft 365 takes no passwords any more: choose OAuth 2.0 as the log-in.",
        ),
    ),
    (
        re.compile(r"\b5\.7\.(3|139)\b|mailbox logon failure|authenticate failed", re.IGNORECASE),
        Words(
            zh="令牌已取得，但该邮箱不允许此应用登录。请检查：应用注册 → API 权限中有 SMTP.SendAsApp"
            "（退信邮箱另需 IMAP.AccessAsApp）并已获管理员同意；已用企业应用程序的对象 ID 执行 "
            "New-ServicePrincipal；已执行 Add-MailboxPermission -Identity {user} -AccessRights FullAccess。"
            "更改最多 2 小时后生效。",
            en="There is a token, but the mailbox does not let the application in. It needs the API permission "
            "SMTP.SendAsApp (for the bounce mailbox IMAP.AccessAsApp) with admin consent, New-ServicePrincipal with "
            "the object ID of the enterprise application, and Add-MailboxPermission -Identity {user} -AccessRights "
            "FullAccess. Changes take up to 2 hours.",
        ),
    ),
    (
        re.compile(r"\b5\.7\.8\b|AUTHENTICATIONFAILED"),
        Words(
            zh="令牌已取得，但服务器不允许用它登录该邮箱。请核对用户名是该邮箱的完整地址，"
            "令牌的权限范围包含收发邮件（Google：https://mail.google.com/），且该邮箱未停用 IMAP。",
            en="There is a token, but the server does not open the mailbox by it. The username has to be the whole "
            "address, the token's scope has to include mail (Google: https://mail.google.com/), and IMAP has to be on.",
        ),
    ),
)
"""A server's reply to a log-in → the remedy; the first that matches. `{user}` is the username."""

ANY_REFUSED_LOG_IN = Words(
    zh="令牌已取得，但服务器拒绝了它。请核对用户名（邮箱的完整地址）、权限范围，以及服务商一侧对该邮箱的授权。",
    en="There is a token, but the server refuses it. Correct the username (the whole address), the scope, and what the "
    "provider allows the application in this mailbox.",
)

TROUBLES: Mapping[str, ProviderTrouble] = {FORBIDDEN_ADDRESS.code: FORBIDDEN_ADDRESS} | {
    code: ProviderTrouble(code=code, zh=zh, en=en, remedy_zh=remedy_zh, remedy_en=remedy_en)
    for code, zh, en, remedy_zh, remedy_en in (
        (
            "oauth_wrong_secret",
            "未能取得令牌：客户端密码不正确（{reply}）。",
            "There is no token: the client secret is wrong ({reply}).",
            "请填写应用注册 → 证书和密码中的“值”，不是“机密 ID”；值只在新建时显示一次，没有记下的请新建一个。",
            (
                "Enter the value, not the ID, of App registrations → Certificates & secrets. It is shown only "
                "once: make a new one if it is lost."
            ),
        ),
        (
            "oauth_expired_secret",
            "未能取得令牌：客户端密码已过期（{reply}）。",
            "There is no token: the client secret has expired ({reply}).",
            "请在应用注册 → 证书和密码中新建客户端密码，把“值”填到这里。",
            "Make a new client secret at App registrations → Certificates & secrets, and enter its value here.",
        ),
        (
            "oauth_wrong_certificate",
            "未能取得令牌：证书不被接受（{reply}）。",
            "There is no token: the certificate is not accepted ({reply}).",
            "请把该证书上传到应用注册 → 证书和密码 → 证书，并核对它未过期、本机时间准确。",
            (
                "Upload the certificate at App registrations → Certificates & secrets → Certificates. It must not have "
                "expired, and this machine's clock has to be right."
            ),
        ),
        (
            "oauth_unknown_application",
            "未能取得令牌：租户中没有该应用（{reply}）。",
            "There is no token: the tenant has no such application ({reply}).",
            "请核对“应用程序（客户端）ID”和“目录（租户）ID”，两者都在应用注册 → 该应用 → 概述中。",
            "Correct the application (client) ID and the directory (tenant) ID; the application's overview shows both.",
        ),
        (
            "oauth_unknown_tenant",
            "未能取得令牌：没有该租户（{reply}）。",
            "There is no token: there is no such tenant ({reply}).",
            "请核对“目录（租户）ID”：应用注册 → 该应用 → 概述。世纪互联运营的租户请选“其他”并填写其令牌地址。",
            (
                "Correct the directory (tenant) ID: App registrations → the application → Overview. For a tenant of "
                "21Vianet choose another issuer, and enter its token URL."
            ),
        ),
        (
            "oauth_no_consent",
            "未能取得令牌：应用没有所需的权限，或管理员尚未同意（{reply}）。",
            "There is no token: the application lacks a permission, or an administrator's consent ({reply}).",
            (
                "请在应用注册 → API 权限 → 添加权限 → 我的组织使用的 API → Office 365 Exchange Online → 应用程序权限中"
                "添加 SMTP.SendAsApp（退信邮箱另加 IMAP.AccessAsApp），然后点“代表组织授予管理员同意”。"
            ),
            (
                "At App registrations → API permissions add Office 365 Exchange Online → Application permissions → "
                "SMTP.SendAsApp (for the bounce mailbox IMAP.AccessAsApp), then grant admin consent."
            ),
        ),
        (
            "oauth_not_delegated",
            "未能取得令牌：该应用无权代表这个邮箱（{reply}）。",
            "There is no token: the application may not act for this mailbox ({reply}).",
            (
                "Google：请在管理控制台 → 安全性 → API 控件 → 全网域授权中，用服务账号的数字客户端 ID（不是邮箱地址）"
                "授予范围 https://mail.google.com/；最多 24 小时后生效。"
            ),
            (
                "Google: in the Admin console → Security → API controls → Domain-wide delegation, grant the scope "
                "https://mail.google.com/ to the service account's numeric client ID, not its address. It takes up to "
                "24 hours."
            ),
        ),
        (
            "oauth_no_scope",
            "未能取得令牌：没有授予所需的权限范围（{reply}）。",
            "There is no token: the scope is not granted ({reply}).",
            "请核对权限范围；Google 的全网域授权中须有 https://mail.google.com/。",
            "Correct the scope; Google's domain-wide delegation has to have https://mail.google.com/.",
        ),
        (
            "oauth_invalid_grant",
            "未能取得令牌：刷新令牌或服务账号的签名无效（{reply}）。",
            "There is no token: the refresh token or the service account's signature is not valid ({reply}).",
            (
                "刷新令牌：可能已被撤销、6 个月未用或用户改了密码（测试状态的应用 7 天即失效），请重新取得；"
                "服务账号：请核对用户名是本组织的邮箱、密钥未删除、本机时间准确。"
            ),
            (
                "A refresh token ends when it is revoked, when it is unused for 6 months, when the password changes, "
                "and after 7 days in status Testing: get a new one. For a service account check that the username is a "
                "mailbox of the organization, that the key exists, and this machine's clock."
            ),
        ),
        (
            "oauth_refused",
            "未能取得令牌（{reply}）。",
            "There is no token ({reply}).",
            "请按答复中的说明核对应用的设置。",
            "Correct the application's settings as the answer says.",
        ),
        (
            "oauth_unreachable",
            "未能取得令牌：{reply}",
            "There is no token: {reply}",
            "请确认本机能访问令牌地址（https，443 端口；代理由环境变量 HTTPS_PROXY 指定），然后重试。",
            (
                "Make sure that this machine reaches the token URL (https, port 443; HTTPS_PROXY names a proxy), and "
                "try again."
            ),
        ),
        (
            NO_XOAUTH2,
            "{at} 不支持 XOAUTH2。",
            "{at} offers no XOAUTH2.",
            "请核对服务器地址和端口（Microsoft 365：smtp.office365.com，587）；只支持密码的，登录方式改选密码。",
            "Correct the server and the port (Microsoft 365: smtp.office365.com, 587), or choose the password.",
        ),
    )
}
"""Our code of a refused token → the trouble."""


def find_remedy(reply: str, user: str) -> Words:
    """Return what to do where a server refuses a log-in by a token; `reply` is its whole reply."""
    words = next((words for pattern, words in REFUSED_LOG_INS if pattern.search(reply)), ANY_REFUSED_LOG_IN)
    return Words(zh=words.zh.replace("{user}", user), en=words.en.replace("{user}", user))


def is_of_microsoft(code: str) -> bool:
    """Return whether a refusal of a password, such as `535 5.7.139`, is one of Microsoft's that a setting mends."""
    return code.endswith((" 5.7.139", " 5.7.30"))
