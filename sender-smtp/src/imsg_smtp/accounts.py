"""Mail servers that administrators set up in the web page: the form, its presets, and what a check says."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator

from imsg_contract.provider_accounts import Preset, ProviderAccount, ProviderTrouble, SetUp, Words
from imsg_contract.results import Again, Blocked
from imsg_delivery.provider_kinds import FormField, ProviderKind, quote
from imsg_smtp.bounces.imap import MailboxError
from imsg_smtp.log_in import GOOGLE, MICROSOFT365, OAUTH2
from imsg_smtp.oauth_troubles import SAID, find_remedy, is_of_microsoft
from imsg_smtp.oauth_troubles import TROUBLES as TOKEN_TROUBLES
from imsg_smtp.port_probe import WRONG_SECURITY
from imsg_smtp.replies import TIMEOUT, UNREACHABLE
from imsg_smtp.settings import MailServerSettings, Smtp, check_sender

SMTP = "smtp"

AUTHORIZATION_CODE = Words(
    zh="密码填授权码，不是邮箱的登录密码：在邮箱网页的“设置”中开启 SMTP 服务，按提示生成授权码。",
    en="The password is an authorization code, not that of the mailbox: switch SMTP on in its settings to get one.",
)


class MailAccount(MailServerSettings):
    """A mail server with the sender of its mail."""

    sender: Annotated[
        str,
        AfterValidator(check_sender),
        FormField("发件人", "Sender", "收件人看到的发件人，如 天存 <noreply@example.com>；多数邮箱要求与用户名相同。"),
    ]
    """The sender that recipients see, such as `iMSG <noreply@example.com>`. Most mailboxes want the log-in name."""


def _preset(
    name: str, zh: str, en: str, host: str, words: Words, *, port: int = 465, log_in: Mapping[str, str] | None = None
) -> Preset:
    settings = {"host": host, "port": port, "security": "tls" if port == 465 else "starttls"}  # noqa: PLR2004
    return Preset(name=name, title=Words(zh=zh, en=en), settings={**settings, **(log_in or {})}, help=words)


MAIL_SERVER = ProviderKind(
    SMTP,
    Words(zh="邮件服务器（SMTP）", en="Mail server (SMTP)"),
    MailAccount,
    presets=(
        _preset(
            "exmail",
            "腾讯企业邮箱",
            "Tencent Exmail",
            "smtp.exmail.qq.com",
            Words(
                zh="用户名是完整的邮箱地址。开启了安全登录的，密码填客户端专用密码（邮箱网页：设置 → 微信绑定）。",
                en="The name is the whole address. With secure log-in, the password is the client's own.",
            ),
        ),
        _preset("qq", "QQ 邮箱", "QQ Mail", "smtp.qq.com", AUTHORIZATION_CODE),
        _preset("163", "网易 163 邮箱", "NetEase 163", "smtp.163.com", AUTHORIZATION_CODE),
        _preset(
            "gmail",
            "Gmail",
            "Gmail",
            "smtp.gmail.com",
            Words(
                zh="用密码登录的，填应用专用密码：Google 账号须先开启两步验证。"
                "Google Workspace 也可把登录方式改为 OAuth 2.0，用服务账号代表该邮箱发信。",
                en="A password is an app password; the Google account needs 2-step verification first. Google "
                "Workspace may use OAuth 2.0 instead, with a service account that acts for the mailbox.",
            ),
            log_in={"preset": GOOGLE},
        ),
        _preset(
            "outlook",
            "Outlook / Microsoft 365",
            "Outlook / Microsoft 365",
            "smtp.office365.com",
            Words(
                zh="Microsoft 默认于 2026 年 12 月底停用密码登录，因此这里默认用 OAuth 2.0。先在 Microsoft Entra "
                "管理中心注册应用：API 权限添加 Office 365 Exchange Online 的应用程序权限 SMTP.SendAsApp"
                "（读取退信另加 IMAP.AccessAsApp）并授予管理员同意，再新建客户端密码或上传证书；"
                "最后执行表单下方的 Exchange Online PowerShell 命令。",
                en="Microsoft ends passwords by default at the end of December 2026, so the log-in is by OAuth 2.0. "
                "Register an application in the Microsoft Entra admin center: add the application permission "
                "SMTP.SendAsApp of Office 365 Exchange Online (for bounces IMAP.AccessAsApp too), grant admin "
                "consent, and make a client secret or upload a certificate. Then run the commands of Exchange Online "
                "PowerShell below the form.",
            ),
            port=587,
            log_in={"auth": OAUTH2, "preset": MICROSOFT365},
        ),
        _preset(
            "aliyun",
            "阿里云邮件推送",
            "Aliyun DirectMail",
            "smtpdm.aliyun.com",
            Words(
                zh="用户名和发件人是控制台“发信地址”中的地址，密码是在那里设置的 SMTP 密码；发信域名须先通过验证。",
                en="Name and sender are the sender address of the console; the SMTP password is set there too.",
            ),
        ),
        _preset(
            "tencent",
            "腾讯云邮件推送 SES",
            "Tencent Cloud SES",
            "smtp.qcloudmail.com",
            Words(
                zh="用户名和发件人是控制台“发信地址”中的地址，密码是在那里设置的 SMTP 密码。",
                en="Name and sender are the sender address of the console; the SMTP password is set there too.",
            ),
        ),
    ),
    setup=(
        SetUp(
            title=Words(
                zh="Exchange Online PowerShell（<对象 ID> 在 Entra 的“企业应用程序”中，不是应用注册中的对象 ID）",
                en="Exchange Online PowerShell (<OBJECT-ID> of Enterprise applications, not of App registrations)",
            ),
            value="New-ServicePrincipal -AppId {client_id} -ObjectId <OBJECT-ID>\n"
            "Add-MailboxPermission -Identity {username} -User <OBJECT-ID> -AccessRights FullAccess\n"
            "Set-CASMailbox -Identity {username} -SmtpClientAuthenticationDisabled $false",
            when={"auth": (OAUTH2,), "preset": (MICROSOFT365,)},
        ),
    ),
)


CERTIFICATE_FAULTS = (
    ("expired", Words(zh="已过期", en="has expired")),
    ("mismatch", Words(zh="与服务器地址不符", en="is of another name")),
    ("not valid for", Words(zh="与服务器地址不符", en="is of another name")),
    ("self", Words(zh="是自签的", en="is self-signed")),
)
"""Parts of OpenSSL's error texts about a certificate → the words for people."""

UNKNOWN_ISSUER = Words(zh="由不受信任的机构签发", en="has an issuer that is not trusted")


LOG_IN = "log_in"

TROUBLES: Mapping[str, ProviderTrouble] = {
    code: ProviderTrouble(code=code, zh=zh, en=en, remedy_zh=remedy_zh, remedy_en=remedy_en)
    for code, zh, en, remedy_zh, remedy_en in (
        (
            LOG_IN,
            "{at} 拒绝登录（服务器答复：{code} {reply}）。",
            "{at} refuses the log-in ({code} {reply}).",
            "请核对用户名和密码；QQ、163 等邮箱的密码是授权码，须先在邮箱设置中开启 SMTP 服务。",
            "Correct the name and the password; at QQ and NetEase it is an authorization code.",
        ),
        (
            "no_log_in",
            "{at} 不提供用户名和密码的登录。",
            "{at} offers no log-in by name and password.",
            "多半是端口不对：请改用 465（tls）或 587（starttls）；服务器本来就不用登录的，请清空用户名和密码。",
            "Mostly the port is wrong: use 465 (tls) or 587 (starttls). Without log-in, leave name and password empty.",
        ),
        (
            "no_starttls",
            "{at} 不支持 STARTTLS，密码会以明文传输，因此没有登录。",
            "{at} offers no STARTTLS: the password would travel in clear, so there was no log-in.",
            "请改用端口 465，加密方式选 tls。",
            "Use port 465 with tls.",
        ),
        (
            WRONG_SECURITY,
            "{at} 的端口与加密方式不符。",
            "The port of {at} does not fit the security.",
            "端口 465 选 tls，端口 587 选 starttls。",
            "Port 465 is for tls, 587 for starttls.",
        ),
        (
            "certificate",
            "{at} 的证书{why}，因此没有登录。",
            "The certificate of {at} {why}, so there was no log-in.",
            "请核对服务器地址；证书过期、与地址不符或自签的，请换上有效的证书。",
            "Correct the server's name; an expired or self-signed certificate has to be replaced there.",
        ),
        *(
            (
                code,
                "无法连接 {at}。",
                "{at} can't be reached.",
                "请核对服务器地址和端口，并确认防火墙放行；多数云主机封禁 25 端口，请改用 465 或 587。",
                "Correct the name and the port, and let the firewall pass it; most clouds close port 25.",
            )
            for code in (UNREACHABLE, TIMEOUT)
        ),
    )
}
"""Code of a failed connection → the trouble; LOG_IN for whatever a server replies to a log-in."""

OTHER = ProviderTrouble(
    code="",
    zh="{at} 答复：“{reply}”。",
    en="{at} answered: {reply}",
    remedy_zh="请按答复中的说明处理；看不懂时，把答复转给邮件服务商。",
    remedy_en="Do as the answer says, or show it to the provider.",
)


def list_servers(smtp: Smtp) -> Mapping[str, tuple[str, MailServerSettings]]:
    """Return the mail servers by their names."""
    return {name: (SMTP, server) for name, server in smtp.all_servers.items()}


def complete(merged: Mapping[str, Any], accounts: Sequence[ProviderAccount]) -> Mapping[str, Any]:
    """Return the settings with the default sender of the first account, and its server where they name none."""
    servers = {name: dict(server) for name, server in merged["servers"].items()}
    senders = [
        server.pop("sender", None) for name, server in servers.items() if name in {account.name for account in accounts}
    ]
    completed = {"sender": next(filter(None, senders), None), **merged, "servers": servers}
    if "host" in merged or not accounts:
        return completed
    first = accounts[0].name
    return {**completed, **servers.pop(first), "name": first}


def explain(failure: Again | Blocked, server: MailServerSettings, *, is_login: bool) -> ProviderTrouble:
    """Return why a mail server refuses the account, and the remedy."""
    troubles = {**TROUBLES, **TOKEN_TROUBLES}
    known = troubles.get(LOG_IN if is_login and failure.code not in troubles else failure.code, OTHER)
    reply = failure.detail
    if known.code == LOG_IN:
        # What precedes the reply names settings of a file, and it begins with the enhanced code once more.
        said = reply.rpartition(SAID)[2] if SAID in reply else reply.partition(": ")[2]
        reply = said.removeprefix(failure.code.partition(" ")[2]).strip()
        if server.auth == OAUTH2 or is_of_microsoft(failure.code):
            remedy = find_remedy(f"{failure.code} {reply}", server.username or "")
            known = known.model_copy(update={"remedy_zh": remedy.zh, "remedy_en": remedy.en})
    why = next((why for word, why in CERTIFICATE_FAULTS if word in failure.detail), UNKNOWN_ISSUER)
    at = f"{server.host}:{server.server_port}"
    return known.model_copy(
        update={
            "code": failure.code,
            "zh": known.zh.format(at=at, code=failure.code, reply=quote(reply), why=why.zh),
            "en": known.en.format(at=at, code=failure.code, reply=quote(reply), why=why.en),
        }
    )


def explain_mailbox(error: MailboxError) -> ProviderTrouble:
    """Return why the bounce mailbox of an account is not read, and the remedy."""
    return error.trouble or ProviderTrouble(
        code="bounce_mailbox",
        zh=f"无法读取退信邮箱（{quote(str(error))}）。",
        en=f"The bounce mailbox can't be read: {quote(str(error))}.",
        remedy_zh="请核对 IMAP 服务器、端口、加密方式和文件夹，并确认该邮箱已开启 IMAP。",
        remedy_en="Correct the IMAP server, its port, the security and the folder, and switch IMAP on.",
    )
