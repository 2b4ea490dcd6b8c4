"""How to log in at a mail server or a mailbox: by a password, or by OAuth2 with what its preset needs."""

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from imsg_delivery.provider_kinds import FormField
from imsg_runtime.settings import is_loopback
from imsg_web.responses import field_error

PASSWORD, OAUTH2 = "password", "oauth2"

PresetName = Literal["microsoft365", "google", "other"]


@dataclass(frozen=True, slots=True)
class OAuthPreset:
    """Where a provider gives tokens, and what it wants for them."""

    token_url: str
    """`{tenant}` stands for the tenant."""
    scope: str
    needs: Sequence[tuple[str, ...]]
    """The fields that have to be set; of several in a row one is enough."""


MICROSOFT365, GOOGLE, OTHER = "microsoft365", "google", "other"

PRESETS: Mapping[str, OAuthPreset] = {
    MICROSOFT365: OAuthPreset(
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
        "https://outlook.office365.com/.default",
        (("tenant",), ("client_id",), ("certificate", "client_secret")),
    ),
    GOOGLE: OAuthPreset(
        "https://oauth2.googleapis.com/token", "https://mail.google.com/", (("refresh_token", "service_account"),)
    ),
    OTHER: OAuthPreset("", "", (("client_id",), ("certificate", "client_secret"), ("token_url",))),
}

OF_A_REFRESH_TOKEN = (("client_id",), ("client_secret",))
"""What a refresh token needs beside itself."""

SECRETS = ("password", "service_account", "refresh_token", "certificate", "client_secret")
"""The fields of which a log-in has at least one."""

_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----([^-]*)-----END \1-----")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate of the application, and its key."""

    certificate: x509.Certificate
    key_pem: str


def read_text(secret: SecretStr) -> str:
    """Return a secret that is given as a text, or as the path of a file that holds it. Raises OSError."""
    text = secret.get_secret_value().strip()
    return Path(text).read_text(encoding="utf-8") if text.startswith("/") else text


def read_certificate(text: str) -> ClientCertificate:
    """Read a certificate and its RSA key in PEM form, also without their line breaks. Raises ValueError."""
    blocks = {kind: _break_lines(kind, body) for kind, body in _PEM.findall(text)}
    key_pem = next((block for kind, block in blocks.items() if kind.endswith("PRIVATE KEY")), "")
    certificate = x509.load_pem_x509_certificate(blocks.get("CERTIFICATE", "").encode())
    key = load_pem_private_key(key_pem.encode(), None)
    if not isinstance(key, RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("the key is not the certificate's")
    return ClientCertificate(certificate, key_pem)


def read_service_account(text: str) -> tuple[str, str]:
    """Return address and private key of a service account, from the JSON file of Google's console.

    Raises ValueError.
    """
    account = json.loads(text)
    if not isinstance(account, dict) or account.get("type") != "service_account":
        raise ValueError("no service account")
    address, key_pem = str(account.get("client_email", "")), str(account.get("private_key", ""))
    if not isinstance(load_pem_private_key(key_pem.encode(), None), RSAPrivateKey) or not address:
        raise ValueError("no key")
    return address, key_pem


def _break_lines(kind: str, body: str) -> str:
    """Write a block of PEM as it should be: a form's field may have lost its line breaks."""
    lines = textwrap.wrap("".join(body.split()), 64)
    return "\n".join((f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""))


def _is_certificate(secret: SecretStr) -> SecretStr:
    try:
        read_certificate(read_text(secret))
    except (OSError, ValueError, TypeError):
        raise field_error(
            "应为 PEM 格式的证书及其 RSA 私钥（不加密），或本机上该文件的绝对路径",
            "wants a certificate and its RSA key (unencrypted) in PEM form, or the absolute path of their file",
        ) from None
    return secret


def _is_service_account(secret: SecretStr) -> SecretStr:
    try:
        read_service_account(read_text(secret))
    except (OSError, ValueError, TypeError):
        raise field_error(
            "应为 Google Cloud 控制台下载的服务账号 JSON 密钥，或本机上该文件的绝对路径",
            "wants the JSON key of a service account from Google's console, or the absolute path of its file",
        ) from None
    return secret


def _is_token_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise field_error("应以 https:// 开头", "wants a URL that begins with https://")
    return url


def _when(*presets: PresetName) -> Mapping[str, Sequence[str]]:
    return {"auth": (OAUTH2,), "preset": presets}


class LogIn(BaseModel):
    """The log-in of an account."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    username: Annotated[str | None, FormField("用户名", "Username", "登录用户名，多为完整的邮箱地址。")] = None
    """The name to log in with."""
    auth: Annotated[
        Literal["password", "oauth2"],
        FormField(
            "登录方式",
            "Log-in by",
            "用密码，或用 OAuth 2.0 令牌（XOAUTH2）。Microsoft 365 默认于 2026 年 12 月底停用密码，请选 OAuth 2.0。",
        ),
    ] = "password"
    """By a password, or by tokens of OAuth 2.0 (XOAUTH2). Microsoft 365 ends passwords by default at the end of
    December 2026."""
    password: Annotated[
        SecretStr | None,
        FormField("密码", "Password", "登录密码；QQ、163 等邮箱填授权码。", when={"auth": (PASSWORD,)}),
    ] = None
    """The password to log in with."""
    preset: Annotated[
        PresetName,
        FormField("令牌来自", "Tokens from", "由谁签发令牌。", when={"auth": (OAUTH2,)}),
    ] = "other"
    """Who issues the tokens."""
    tenant: Annotated[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")] | None,
        FormField(
            "目录（租户）ID",
            "Directory (tenant) ID",
            "Microsoft Entra 管理中心 → 应用注册 → 该应用 → 概述中的“目录（租户）ID”。",
            when=_when(MICROSOFT365),
        ),
        Field(validate_default=True),
    ] = None
    """The tenant at Microsoft: Microsoft Entra admin center → App registrations → the application → Overview."""
    refresh_token: Annotated[
        SecretStr | None,
        FormField(
            "刷新令牌",
            "Refresh token",
            "没有服务账号时使用：该邮箱的用户同意范围 https://mail.google.com/ 后得到；须同时填写客户端 ID 和密钥。",
            when=_when(GOOGLE),
        ),
    ] = None
    """The refresh token of the mailbox's user for the scope `https://mail.google.com/`, in place of a service
    account; it needs client_id and client_secret."""
    service_account: Annotated[
        Annotated[SecretStr, AfterValidator(_is_service_account)] | None,
        FormField(
            "服务账号密钥",
            "Service account key",
            "Google Cloud 控制台 → IAM 和管理 → 服务账号 → 密钥 → 添加密钥（JSON），填文件的全部内容或其绝对路径。"
            "须在 Google 管理控制台 → 安全性 → API 控件 → 全网域授权中，为其数字客户端 ID "
            "授予范围 https://mail.google.com/。",
            when=_when(GOOGLE),
        ),
        Field(validate_default=True),
    ] = None
    """The JSON key of a service account (Google Cloud console → IAM & Admin → Service Accounts → Keys), its text or
    the absolute path of its file. In Google's Admin console its numeric client ID needs domain-wide delegation of
    the scope `https://mail.google.com/` (Security → API controls)."""
    client_id: Annotated[
        Annotated[str, Field(min_length=1)] | None,
        FormField(
            "应用程序（客户端）ID",
            "Application (client) ID",
            "Microsoft：应用注册 → 该应用 → 概述；Google：仅使用刷新令牌时需要。",
            when=_when(MICROSOFT365, GOOGLE, OTHER),
        ),
        Field(validate_default=True),
    ] = None
    """The application's id; at Microsoft: App registrations → the application → Overview. At Google only a refresh
    token needs it."""
    certificate: Annotated[
        Annotated[SecretStr, AfterValidator(_is_certificate)] | None,
        FormField(
            "应用证书",
            "Application certificate",
            "代替客户端密码：PEM 格式的证书及其私钥，或该文件的绝对路径；证书须已上传到应用注册 → 证书和密码。",
            when=_when(MICROSOFT365, OTHER),
        ),
    ] = None
    """In place of a client secret: a certificate and its key in PEM form, or the absolute path of their file. The
    certificate is uploaded at App registrations → Certificates & secrets."""
    client_secret: Annotated[
        SecretStr | None,
        FormField(
            "客户端密码（密钥值）",
            "Client secret (value)",
            "Microsoft：应用注册 → 证书和密码 → 新客户端密码，填“值”，不是“机密 ID”；已填证书的留空。",
            when=_when(MICROSOFT365, GOOGLE, OTHER),
        ),
        Field(validate_default=True),
    ] = None
    """The application's secret; at Microsoft the value, not the id, at Certificates & secrets. A certificate takes its
    place."""
    token_url: Annotated[
        Annotated[str, AfterValidator(_is_token_url)] | None,
        FormField("令牌地址", "Token URL", "签发令牌的地址（token endpoint），以 https:// 开头。", when=_when(OTHER)),
        Field(validate_default=True),
    ] = None
    """The URL that issues tokens. Unset: the preset's."""
    scope: Annotated[
        str | None,
        FormField("权限范围", "Scope", "令牌的 scope；多个用空格分隔。", when=_when(OTHER)),
    ] = None
    """The scope of the tokens. Unset: the preset's."""

    @property
    def source(self) -> OAuthPreset:
        """The preset, with the URL and the scope that are set."""
        known = PRESETS[self.preset]
        url = self.token_url or known.token_url.replace("{tenant}", self.tenant or "")
        return OAuthPreset(url, self.scope or known.scope, known.needs)

    @field_validator("tenant", "service_account", "client_id", "client_secret", "token_url", mode="after")
    @classmethod
    def _is_needed(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401  any field
        """Refuse a field that is not set and that the preset needs; of several, the last is the one to be missing."""
        set_fields: dict[str, Any] = {**info.data, str(info.field_name): value}
        if value is not None or set_fields.get("auth") != OAUTH2 or "preset" not in set_fields:
            return value
        needs = [*PRESETS[set_fields["preset"]].needs]
        if set_fields["preset"] == GOOGLE and set_fields.get("refresh_token") is not None:
            needs += OF_A_REFRESH_TOKEN
        for fields in needs:
            if fields[-1] == info.field_name and all(set_fields.get(field, value) is None for field in fields):
                raise PydanticCustomError("missing", "Field required")
        return value
