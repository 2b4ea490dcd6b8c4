"""The settings of the bounce sources, checked at start."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from imsg_delivery.provider_kinds import FormField
from imsg_runtime.lines import fill
from imsg_runtime.settings import is_loopback, variable
from imsg_smtp.log_in import PASSWORD, LogIn

Security = Literal["none", "starttls", "tls"]

PORTS = {"none": 143, "starttls": 143, "tls": 993}
"""Security → the default port of IMAP (RFC 9051, RFC 8314)."""

MIB = 1024 * 1024


def _is_file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(fill("there is no file {0}; correct the path, or unset it", path))
    return path


File = Annotated[Path, AfterValidator(_is_file)]


FIXED_ENVELOPES = {
    "smtp.163.com": "imap.163.com",
    "smtp.126.com": "imap.126.com",
    "smtp.yeah.net": "imap.yeah.net",
    "smtp.qiye.163.com": "imap.qiye.163.com",
    "smtp.qq.com": "imap.qq.com",
    "smtp.exmail.qq.com": "imap.exmail.qq.com",
    "smtp.qiye.aliyun.com": "imap.qiye.aliyun.com",
    "smtp.mxhichina.com": "imap.mxhichina.com",
}
"""Servers that accept only the account's address as envelope sender → the IMAP server of its mailbox.

NetEase's 553 `Mail from must equal authorized user`, QQ's 501, Alibaba Mail's 440 (document 36612).
"""


def has_fixed_envelope(host: str) -> bool:
    """Return whether a server accepts only its account's address as envelope sender; DirectMail has no mailbox."""
    return host in FIXED_ENVELOPES or (host.startswith("smtpdm") and host.endswith(".aliyun.com"))


class MailboxAddress(BaseModel):
    """Where a mailbox is, and how it is connected to."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    host: Annotated[
        str,
        Field(min_length=1, pattern=r"^[^\s/@]+$"),
        FormField("IMAP 服务器", "IMAP server", "从这里读取退信，如 imap.qq.com。留空：不读取退信。"),
    ]
    """The IMAP server."""
    port: Annotated[
        Annotated[int, Field(ge=1, le=65_535)] | None,
        FormField("IMAP 端口", "IMAP port", "IMAP 服务器的端口。未设置时：`tls` 为 993，其他为 143。"),
    ] = None
    """Its port. Unset: 993 with `tls`, else 143."""
    security: Annotated[
        Security | None,
        FormField(
            "IMAP 加密方式",
            "IMAP security",
            "连接的加密方式。未设置时：连接本机用 `none`，连接其他主机用 `tls`。",
        ),
    ] = None
    """How the connection is encrypted. Unset: `none` for this machine, `tls` for any other."""


class BounceMailbox(LogIn, MailboxAddress):
    """A mailbox that bounces are delivered to, read by IMAP; people's own mail may be in it too."""

    _setting: str = variable("smtp", "bounce_mailbox")

    username: Annotated[
        str,
        Field(min_length=1),
        FormField("用户名", "Username", "登录用户名。用户名和密码都留空：使用邮件服务器的登录信息。"),
    ]
    """The name to log in with, needed where the mail server has none."""
    password: Annotated[
        SecretStr | None,
        FormField(
            "密码", "Password", "登录密码。QQ 邮箱、腾讯企业邮箱和网易邮箱填授权码。", when={"auth": (PASSWORD,)}
        ),
        Field(validate_default=True),
    ] = None
    """The password to log in with. QQ, Exmail and NetEase want the authorization code (授权码). Needed where the mail
    server has none."""
    folder: Annotated[str, Field(min_length=1), FormField("文件夹", "Folder", "读取哪个文件夹。")] = "INBOX"
    """The folder to read."""
    move_to: Annotated[
        Annotated[str, Field(min_length=1)] | None,
        FormField("移到文件夹", "Move to", "处理过的退信移到哪个文件夹，须已存在。未设置：留在原处，标为已读。"),
    ] = None
    """The folder to move our bounces to. Unset: they stay, marked as read."""
    ca_file: Annotated[
        File | None,
        FormField(
            "IMAP 的 CA 证书文件",
            "CA file of IMAP",
            "服务器证书由内部 CA 签发时填写：该 CA 证书（PEM）在 sender-smtp 所在机器上的路径。",
        ),
    ] = None
    """A file of certificates to trust beside the system's own."""

    @field_validator("password", mode="after")
    @classmethod
    def _needs_password(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("auth") == PASSWORD:
            raise PydanticCustomError("missing", "Field required")
        return value

    @property
    def protection(self) -> Security:
        """The security that is set; else none on this machine, and TLS from the first byte to any other."""
        return self.security or ("none" if is_loopback(self.host) else "tls")

    @property
    def server_port(self) -> int:
        """The port that is set; else the one that belongs to the security."""
        return self.port or PORTS[self.protection]

    @property
    def name(self) -> str:
        """Its name for people: `imap.exmail.qq.com:993, folder INBOX`."""
        return f"{self.host}:{self.server_port}, folder {self.folder}"

    def set_by(self, setting: str) -> "BounceMailbox":
        """Return a copy that names the variables of another setting than the default server's."""
        mailbox = self.model_copy()
        mailbox._setting = setting  # noqa: SLF001  its own class
        return mailbox

    def variable(self, field: str) -> str:
        """Return the environment variable of a field."""
        return f"{self._setting}__{field.upper()}"

    @model_validator(mode="after")
    def _moves_away(self) -> "BounceMailbox":
        if self.move_to == self.folder:
            raise ValueError(fill("move_to is the folder that is read; name another one, or unset move_to"))
        return self

    @model_validator(mode="after")
    def _keeps_the_password(self) -> "BounceMailbox":
        if self.protection == "none" and not is_loopback(self.host):
            raise ValueError(
                fill(
                    "with security none the password would travel to {0} unencrypted; set security to tls, "
                    "or to starttls",
                    self.host,
                )
            )
        return self


class BounceListener(BaseModel):
    """A small SMTP server that takes bounces, and nothing else."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    port: Annotated[int, Field(ge=1, le=65_535)]
    """The port that takes bounces by SMTP."""
    host: str = "0.0.0.0"
    """The address to listen on."""
    max_bytes: Annotated[int, Field(ge=64 * 1024, le=64 * MIB)] = 5 * MIB
    """The size of the largest message. A larger one is refused (552)."""
    connections: Annotated[int, Field(ge=1, le=1_000)] = 32
    """How many connections each process holds open, half of them from one address. One more is refused (421)."""
    messages: Annotated[int, Field(ge=1, le=10_000)] = 100
    """How many messages one connection may deliver."""
    timeout_s: Annotated[float, Field(ge=1, le=3_600)] = 120
    """How many seconds one command or message may take. It is 10 while more than half of the connections are open."""
    cert_file: File | None = None
    """The certificate for STARTTLS, with its chain. A changed file is read again."""
    key_file: File | None = None
    """The private key of the certificate."""

    @model_validator(mode="after")
    def _belongs_together(self) -> "BounceListener":
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError(fill("cert_file and key_file belong together; set both, or neither"))
        return self
