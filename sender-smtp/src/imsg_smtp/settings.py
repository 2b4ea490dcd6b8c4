"""The settings of the e-mail channel, checked at start."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from imsg_delivery.channel import Uncertain
from imsg_delivery.provider_kinds import FormField, FormGroup, ProviderGroup
from imsg_delivery.routes import Route, check_categories, split_categories, split_list
from imsg_runtime.lines import fill
from imsg_runtime.settings import Keys, SenderSettings, is_loopback, variable
from imsg_smtp import senders
from imsg_smtp.bounce_settings import BounceListener, BounceMailbox
from imsg_smtp.log_in import OAUTH2, PASSWORD, SECRETS, LogIn
from imsg_smtp.webhook_signature import SIGNED, read_secret
from imsg_web.responses import field_error

Security = Literal["none", "starttls", "tls"]

DEFAULT = "default"
"""The name of the server whose settings are directly under `smtp`."""

PORTS = {"none": 25, "starttls": 587, "tls": 465}
"""Security → the default port (RFC 5321, RFC 6409, RFC 8314)."""


def check_sender(text: str) -> str:
    """Return a text that is a sender. Raises ValueError."""
    senders.parse(text)
    return text


def _is_file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(
            fill("there is no file {0}; correct the path, or unset it to trust the system's own authorities", path)
        )
    return path


def _is_key_file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(fill("there is no file {0}; `imsg dkim new DOMAIN` makes keys", path))
    return path


KeyFile = Annotated[Path, AfterValidator(_is_key_file)]

Selector = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$")]
"""Labels of DNS (RFC 6376, 3.1)."""


class DkimKeys(BaseModel):
    """The keys that sign mail of a domain: RSA, and ed25519 for receivers that support it (RFC 8463)."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    domain: Annotated[str, Field(pattern=r"^[a-z0-9.-]+\.[a-z0-9-]+$")] | None = None
    """The domain that signs; it signs for the domains below it, too. Unset: the sender's."""
    selector: Selector | None = None
    """The selector of the RSA key in DNS."""
    key_file: KeyFile | None = None
    """The file of the RSA key, made by `imsg dkim new`."""
    ed25519_selector: Selector | None = None
    """The selector of the ed25519 key in DNS."""
    ed25519_key_file: KeyFile | None = None
    """The file of the ed25519 key, made by `imsg dkim new`."""

    @property
    def pairs(self) -> list[tuple[str, Path]]:
        """The selectors of the keys that are set, each with its file."""
        both = ((self.selector, self.key_file), (self.ed25519_selector, self.ed25519_key_file))
        return [(selector, file) for selector, file in both if selector is not None and file is not None]

    @model_validator(mode="after")
    def _belongs_together(self) -> "DkimKeys":
        for selector, file, prefix in (
            (self.selector, self.key_file, ""),
            (self.ed25519_selector, self.ed25519_key_file, "ed25519_"),
        ):
            if (selector is None) != (file is None):
                raise ValueError(
                    fill("{0}selector and {1}key_file belong together; set both, or neither", prefix, prefix)
                )
        if self.domain is not None and not self.pairs:
            raise ValueError(fill("a domain has no key; set selector and key_file, as `imsg dkim new` prints them"))
        if self.selector is not None and self.selector == self.ed25519_selector:
            raise ValueError(fill("the two keys need two selectors: each has a record of its own in DNS"))
        return self


class Dkim(DkimKeys):
    """DKIM: the keys of the sender's domain, and those of `domains`, by any name."""

    domains: dict[str, DkimKeys] = {}
    """The keys of more domains, under names of your choice."""

    @property
    def sets(self) -> list[DkimKeys]:
        """All sets with a key."""
        return [keys for keys in (self, *self.domains.values()) if keys.pairs]


_BOUNCE_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def _is_bounce_domain(text: str) -> str:
    domain = text.lower()
    if domain != "none" and not _BOUNCE_DOMAIN.fullmatch(domain):
        raise ValueError(
            fill("is no domain; write one whose mail comes back to iMSG, such as bounce.example.com, or none")
        )
    return domain


_URL_SECRET = re.compile(r"[A-Za-z0-9_-]{24,200}", re.ASCII)


def _are_bounce_secrets(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    for hidden in secrets:
        secret = hidden.get_secret_value()
        if secret.startswith(SIGNED):
            read_secret(secret)
        elif not _URL_SECRET.fullmatch(secret):
            raise ValueError(
                fill(
                    "a secret in a URL has 24 or more letters, digits, - and _: give it what `openssl rand "
                    "-hex 32` makes"
                )
            )
    return secrets


Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]

_DOMAINS = re.compile(r"[a-z0-9.-]+")


def _are_domains(text: str) -> str:
    for domain in split_domains(text):
        if not _DOMAINS.fullmatch(domain):
            raise ValueError(fill("{0} is no domain; write qq.com, foxmail.com", domain))
    return text


def split_domains(text: str) -> frozenset[str]:
    """Split a list such as `qq.com, foxmail.com` into lower-case domains."""
    return frozenset(split_list(text.lower()))


def _refuse_templates(value: object) -> object:
    del value
    raise ValueError(
        fill(
            "mail has no templates, so no server can be for some of them; remove it, and tell mail "
            "apart by sender_domains, recipient_domains and categories"
        )
    )


def _refuse_routes(value: object) -> object:
    del value
    raise ValueError(
        fill(
            "mail's servers have no routes beside them; set weight, sender_domains, "
            "recipient_domains and categories of {0}",
            variable("smtp", "servers", "name"),
        )
    )


def variable_of(server: str, field: str) -> str:
    """Return the environment variable of a server's field, such as IMSG_SMTP__PASSWORD of `default`."""
    return variable("smtp", field) if server == DEFAULT else variable("smtp", "servers", server, field)


DomainList = Annotated[str, AfterValidator(_are_domains)]
"""Domains with commas between them; a text, since a list in the environment would have to be JSON."""


class MailServerAddress(BaseModel):
    """Where a mail server is, and how it is connected to."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    host: Annotated[
        str,
        Field(min_length=1, pattern=r"^[^\s/@]+$"),
        FormField("服务器地址", "Server", "邮件服务器，如 smtp.example.com。"),
    ]
    """The mail server."""
    port: Annotated[
        Annotated[int, Field(ge=1, le=65_535)] | None,
        FormField("端口", "Port", "邮件服务器的端口。未设置时：不加密为 25，`starttls` 为 587，`tls` 为 465。"),
    ] = None
    """Its port. Unset: 25 without security, 587 with `starttls`, 465 with `tls`."""
    security: Annotated[
        Security | None,
        FormField(
            "加密方式", "Security", "连接的加密方式。未设置时：连接本机不加密（`none`），连接其他主机用 `starttls`。"
        ),
    ] = None
    """How the connection is encrypted. Unset: `none` for this machine, `starttls` for any other."""

    @property
    def protection(self) -> Security:
        """The security that is set; else none on this machine, and STARTTLS to any other."""
        return self.security or ("none" if is_loopback(self.host) else "starttls")

    @property
    def server_port(self) -> int:
        """The port that is set; else the one that belongs to the security."""
        return self.port or PORTS[self.protection]


class MailServerSettings(LogIn, MailServerAddress):
    """A mail server, and how it is used."""

    ca_file: Annotated[
        Annotated[Path, AfterValidator(_is_file)] | None,
        FormField(
            "CA 证书文件",
            "CA file",
            "服务器证书由内部 CA 签发时填写：该 CA 证书（PEM）在 sender-smtp 所在机器上的路径。",
            rare=True,
        ),
    ] = None
    """A file of certificates to trust beside the system's own."""
    connections: Annotated[
        int,
        Field(ge=1, le=100),
        FormField("连接数", "Connections", "同时打开多少个到该服务器的连接。", rare=True),
    ] = 8
    """How many connections to the server are open at once."""
    weight: Annotated[int, Field(ge=0, le=1_000)] = 1
    """The server's share of the mail. 0: only where the others are unavailable."""
    sender_domains: Annotated[
        DomainList,
        FormField(
            "发件域名",
            "Sender domains",
            "该服务器只发送发件人属于这些域名的邮件，如 example.com。留空：不限。",
            rare=True,
            route=True,
        ),
    ] = ""
    """The server takes mail from these domains alone. Empty: from all."""
    recipient_domains: Annotated[
        DomainList,
        FormField(
            "收件域名",
            "Recipient domains",
            "该服务器只发送收件人属于这些域名的邮件，如 qq.com。留空：不限。",
            rare=True,
            route=True,
        ),
    ] = ""
    """The server takes mail to these domains alone. Empty: to all."""
    categories: Annotated[
        str,
        AfterValidator(check_categories),
        FormField(
            "类别",
            "Categories",
            "该服务器只发送这些类别的邮件，如 notice, marketing。留空：不限。",
            rare=True,
            route=True,
        ),
    ] = ""
    """The server takes these categories alone. Empty: all."""
    templates: Annotated[object, BeforeValidator(_refuse_templates), Field(exclude=True)] = None
    """A condition that only routes of SMS providers have: refused by its name."""
    bounce_domain: Annotated[str, AfterValidator(_is_bounce_domain)] | None = None
    """The domain whose mail comes back to iMSG. Unset: that of the server `default`. `none`: bounces go to the
    sender."""
    bounce_mailbox: Annotated[BounceMailbox | None, FormGroup("退信邮箱", "Bounce mailbox")] = None
    """The mailbox from which bounces of the server's mail are read."""

    def route(self, name: str) -> Route:
        """Return the server's weight and conditions."""
        return Route(
            name,
            self.weight,
            sender_domains=split_domains(self.sender_domains),
            recipient_domains=split_domains(self.recipient_domains),
            categories=split_categories(self.categories),
        )

    @model_validator(mode="before")
    @classmethod
    def _copy_login_to_mailbox(cls, values: object) -> object:
        """Use the server's log-in for a bounce mailbox without one: at 163 and QQ one code serves both.

        An application that may read the server's mailbox reads another one too.
        """
        mailbox = values.get("bounce_mailbox") if isinstance(values, Mapping) else None
        if not isinstance(values, Mapping) or not isinstance(mailbox, Mapping):
            return values
        log_in = {name: values[name] for name in LogIn.model_fields if values.get(name)}
        if not any(mailbox.get(name) for name in ("username", *SECRETS)):
            mailbox = {**mailbox, **log_in}
        elif not mailbox.get("username"):
            mailbox = {**mailbox, **{name: value for name, value in log_in.items() if name == "username"}}
        elif log_in.get("auth") == OAUTH2 and not any(mailbox.get(name) for name in SECRETS):
            mailbox = {**mailbox, **{name: value for name, value in log_in.items() if name != "username"}}
        return {**values, "bounce_mailbox": mailbox}

    @model_validator(mode="after")
    def _belongs_together(self) -> "MailServerSettings":
        if self.auth == OAUTH2 and self.username is None:
            raise field_error(
                "使用 OAuth 2.0 须填写用户名，即邮箱地址", "OAuth 2.0 needs the username: the address of the mailbox"
            )
        if self.auth == PASSWORD and (self.username is None) != (self.password is None):
            raise field_error(
                "用户名和密码要么都填，要么都不填", "a username and a password belong together; set both, or neither"
            )
        if self.username is not None and self.protection == "none" and not is_loopback(self.host):
            raise field_error(
                f"加密方式为 none 时，密码会不加密地传给 {self.host}；请改用 tls 或 starttls",
                f"with security none the password would travel to {self.host} unencrypted; "
                "set …__SECURITY to starttls or tls, or unset …__USERNAME and …__PASSWORD",
            )
        return self


class DomainPace(BaseModel):
    """How mail to some domains is paced, by each process. A name of a preset (qq, netease, gmail) replaces that."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    match: Annotated[DomainList, Field(min_length=1)]
    """The domains of recipients that share this pace."""
    connections: Annotated[int, Field(ge=1, le=100)] | None = None
    """How many connections carry their mail at once, in each process."""
    per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How many mails a minute go to them. Unset: a limit applies only after they complain."""


class NamedAddress(BaseModel):
    """An address that a send names."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    address: Annotated[str, AfterValidator(check_sender)]
    """The address, with or without a name."""


class NamedSender(NamedAddress):
    """A sender of mail; its use may be limited to some users."""

    users: str = ""
    """The usernames that may send by it. Empty: all."""
    reply_to: Annotated[str, AfterValidator(check_sender)] | None = None
    """Where replies go, unless the send names a reply-to address. Unset: to the sender."""

    @property
    def allowed(self) -> frozenset[str]:
        """The usernames; empty: all."""
        return frozenset(name for part in self.users.split(",") if (name := part.strip()))


class Smtp(MailServerSettings, ProviderGroup):
    """The mail servers, and how they are used. `IMSG_SMTP__HOST` and `[smtp] host` are one setting.

    What stands here itself is the server `default`; more have names of their own.
    """

    name: Annotated[str, Field(exclude=True)] = DEFAULT
    """The name of the server with these settings; of an account that was set up in the web page, its own."""
    sender: Annotated[str, AfterValidator(check_sender)]
    """The sender of mails whose send names none."""
    senders: dict[Name, NamedSender] = {}
    """The senders that a send may name."""
    reply_to: dict[Name, NamedAddress] = {}
    """The reply-to addresses that a send may name."""
    uncertain: Uncertain = "repeat"
    """What happens to a message whose result is unknown: `repeat` sends it again, `stop` settles it `uncertain`."""
    dkim: Dkim = Dkim()
    feedback_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{5,15}$")] | None = None
    """The sender's name in Gmail's feedback loop. The header is signed with DKIM."""
    servers: dict[Name, MailServerSettings] = {}
    """More mail servers, each with the settings of the first."""
    routes: Annotated[object, BeforeValidator(_refuse_routes), Field(exclude=True)] = None
    """What SMS has, and mail says of each server: refused by its name."""
    domains: dict[str, DomainPace] = {}
    """How fast mail goes to the domains of recipients."""
    bounce_secret: Annotated[Keys, AfterValidator(_are_bounce_secrets)] = ()
    """The secrets of pushes of bounces to `/hooks/smtp`: a `whsec_…` signs the push, any other is part of the URL."""
    presets: bool = True
    """Whether QQ, NetEase and Gmail get few connections from the start."""
    bounce_listener: BounceListener | None = None

    @property
    def bounce_mailboxes(self) -> dict[str, BounceMailbox]:
        """Every configured mailbox, once, by the name of a server that uses it."""
        mailboxes = dict[BounceMailbox, str]()
        for name, server in self.all_servers.items():
            if server.bounce_mailbox is not None:
                mailboxes.setdefault(server.bounce_mailbox, name)
        return {name: mailbox.set_by(variable_of(name, "bounce_mailbox")) for mailbox, name in mailboxes.items()}

    @property
    def all_servers(self) -> dict[str, MailServerSettings]:
        """Every server by its name, the default first."""
        return {self.name: self, **self.servers}

    def bounce_domain_of(self, name: str) -> str | None:
        """Return the bounce domain of a server; None where bounces go to the sender."""
        domain = self.all_servers[name].bounce_domain or self.bounce_domain
        return None if domain == "none" else domain

    @model_validator(mode="after")
    def _has_one_default(self) -> "Smtp":
        if DEFAULT in self.servers:
            raise ValueError(
                fill("the server {0} is that of {1}; choose another name", DEFAULT, variable("smtp", "host"))
            )
        return self


class Settings(SenderSettings):
    """All that sender-smtp reads."""

    smtp: Annotated[Smtp, Field(default_factory=dict, validate_default=True)]
    history_url: str
    """The URL of history, which keeps attachments and long contents."""
