"""What docs/settings.md says beside the models: topics, examples, settings that no model holds, and the Chinese."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A heading of the page, and the settings below it by the beginnings of their paths; the longest decides."""

    en: str
    zh: str
    paths: tuple[tuple[str, ...], ...]
    page: str = ""
    """A page of docs/ that says more."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A setting that is read by compose, by a script or by the frame, and by no model."""

    name: str
    topic: str
    kind: Literal["text", "number", "path", "list", "secret"]
    default: str
    meaning: str
    example: str
    readers: tuple[str, ...]


def _paths(*names: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(name.split(".")) for name in names)


ACCESS, STORES, KEYS = "Where iMSG listens", "Stores and data", "Keys and log-in"
LOGS, BOUNCES = "Logs and processes", "E-mail: bounces"

TOPICS: tuple[Topic, ...] = (
    Topic(
        ACCESS,
        "监听与访问",
        _paths("host", "port", "public_url", "trusted_proxies", "allowed_hosts", "connections_per_address", "tls"),
        "operations.md",
    ),
    Topic(
        STORES,
        "存储与数据",
        _paths(
            "broker_url",
            "redis_url",
            "database_url",
            "data_dir",
            "backup",
            "retention_days",
            "keep_content_days",
            "keep_audit_days",
            "tombstones_file",
            "sweep",
        ),
        "operations.md",
    ),
    Topic(
        KEYS,
        "密钥与登录",
        _paths(
            "admin_password",
            "token_key",
            "token_hours",
            "service_key",
            "peer_keys",
            "secret_key",
            "provider_key",
            "provider_networks",
            "provider_keys",
            "erasure_key",
            "console_idle_minutes",
        ),
        "operations.md",
    ),
    Topic("Limits and time", "上限与时区", _paths("timezone", "max_recipients", "max_attachment_bytes", "max_depth")),
    Topic(LOGS, "日志与进程", _paths("log_level", "log_format", "disk_free_gib", "backup_hours", "no_provider")),
    Topic("E-mail", "邮件", _paths("smtp"), "mail.md"),
    Topic("E-mail: more mail servers", "邮件：更多邮件服务器", _paths("smtp.servers"), "mail.md"),
    Topic("E-mail: DKIM", "邮件：DKIM", _paths("smtp.dkim"), "mail.md"),
    Topic(
        BOUNCES,
        "邮件：退信",
        _paths("smtp.bounce_domain", "smtp.bounce_secret", "smtp.bounce_mailbox", "smtp.bounce_listener"),
        "mail.md",
    ),
    Topic("SMS", "短信", _paths("sms"), "sms.md"),
    Topic("SMS: Aliyun", "短信：阿里云", _paths("sms.accounts.aliyun"), "sms.md"),
    Topic("SMS: Tencent Cloud", "短信：腾讯云", _paths("sms.accounts.tencent"), "sms.md"),
    Topic("SMS: Volcengine", "短信：火山引擎", _paths("sms.accounts.volcengine"), "sms.md"),
    Topic("SMS: Twilio", "短信：Twilio", _paths("sms.accounts.twilio"), "sms.md"),
    Topic(
        "SMS: any provider with a plain HTTP API", "短信：其他 HTTP 接口的服务商", _paths("sms.accounts.http"), "sms.md"
    ),
    Topic("WeChat", "微信", _paths("wechat"), "wechat.md"),
    Topic("WeCom groups", "企业微信群", _paths("wecom")),
    Topic("Callbacks", "回调", _paths("callbacks"), "callbacks.md"),
    Topic(
        "URLs between services",
        "服务之间的地址",
        _paths(
            "auth_url",
            "history_url",
            "wechat_url",
            "callbacks_url",
            "catalog_url",
            "scheduler_url",
            "gateway_url",
            "sandbox_url",
        ),
    ),
    Topic("Sandbox", "沙箱", _paths("sandbox")),
)

ELSEWHERE: tuple[Elsewhere, ...] = (
    Elsewhere(
        "IMSG_BIND",
        ACCESS,
        "text",
        "127.0.0.1:8000",
        "As containers: the address and port on which Caddy listens.",
        "0.0.0.0:8000",
        ("compose",),
    ),
    Elsewhere(
        "IMSG_EDGE_PROXIES",
        ACCESS,
        "text",
        "127.0.0.1/32",
        "As containers: the proxies before Caddy whose `X-Forwarded-For` is believed, with blanks between them.",
        "192.0.2.10/32",
        ("compose",),
    ),
    Elsewhere(
        "IMSG_STORE_CPUS",
        STORES,
        "number",
        "1",
        "As containers: the processors that RabbitMQ, Redis and PostgreSQL may each use.",
        "2",
        ("compose",),
    ),
    Elsewhere(
        "IMSG_USERNAME",
        KEYS,
        "text",
        "admin",
        "As containers: the user that the command `imsg` logs in as.",
        "operator",
        ("compose",),
    ),
    Elsewhere(
        "IMSG_PASSWORD",
        KEYS,
        "secret",
        "",
        "The password that the command `imsg` logs in with. Unset: it asks; as containers it has the administrator's.",
        "correct-horse-battery",
        ("imsg",),
    ),
    Elsewhere(
        "IMSG_CONFIG",
        LOGS,
        "path",
        "imsg.toml",
        "The file that holds settings; the environment and `.env` override it.",
        "/etc/imsg.toml",
        ("all",),
    ),
    Elsewhere(
        "IMSG_BOUNCE_BIND",
        BOUNCES,
        "text",
        "0.0.0.0:25",
        "As containers: the address and port that take bounces by SMTP (`deploy/bounces.yml`).",
        "192.0.2.1:25",
        ("compose",),
    ),
)

_KEY = "3f1c…"
"""What `openssl rand -hex 32` makes, shortened."""

EXAMPLES: Mapping[str, str] = {
    "host": "0.0.0.0",
    "disk_free_gib": "20",
    "backup_hours": "170",
    "port": "8080",
    "public_url": "https://imsg.example.com",
    "trusted_proxies": "10.0.0.0/8",
    "allowed_hosts": "imsg.example.com,*.example.org",
    "broker_url": "amqps://imsg:PASSWORD@rabbit1:5671,rabbit2:5671/",
    "redis_url": "redis+sentinel://h1,h2,h3/NAME",
    "database_url": "postgresql://imsg:PASSWORD@h1:5432,h2:5432/imsg",
    "data_dir": "/var/lib/imsg",
    "keep_content_days": "30",
    "keep_audit_days": "365",
    "tombstones_file": "/srv/tombstones",
    "admin_password": "correct-horse-battery",
    "token_key": _KEY,
    "service_key": _KEY,
    "secret_key": _KEY,
    "provider_key": _KEY,
    "provider_keys": _KEY,
    "erasure_key": _KEY,
    "peer_keys": _KEY,
    "timezone": "Europe/Berlin",
    "smtp.host": "smtp.example.com",
    "servers.host": "relay.example.com",
    "smtp.port": "587",
    "servers.port": "587",
    "username": "imsg@example.com",
    "password": "authorization-code",
    "ca_file": "/etc/ssl/company.pem",
    "preset": "microsoft365",
    "auth": "oauth2",
    "tenant": "72f988bf-86f1-41af-91ab-2d7cd011db47",
    "refresh_token": "1//0exampleRefreshToken",
    "service_account": "/etc/imsg/service-account.json",
    "client_id": "6731de76-14a6-49ae-97bc-6eba6914391e",
    "smtp.certificate": "/etc/imsg/application.pem",
    "servers.certificate": "/etc/imsg/application.pem",
    "bounce_mailbox.certificate": "/etc/imsg/application.pem",
    "client_secret": "authorization-code",
    "token_url": "https://login.example.com/oauth2/token",
    "scope": "https://mail.example.com/.default",
    "sender_domains": "example.com",
    "recipient_domains": "qq.com,foxmail.com",
    "categories": "code,notice",
    "bounce_domain": "bounce.example.com",
    "sender": "iMSG <imsg@example.com>",
    "feedback_id": "example",
    "dkim.domain": "example.com",
    "selector": "imsg2026",
    "key_file": "/etc/imsg/dkim.pem",
    "ed25519_selector": "imsg2026e",
    "ed25519_key_file": "/etc/imsg/dkim-ed25519.pem",
    "domains.match": "qq.com,foxmail.com",
    "domains.connections": "2",
    "domains.per_minute": "60",
    "dkim.domains.domain": "example.org",
    "address": "News <news@example.com>",
    "senders.users": "marketing",
    "senders.reply_to": "office@example.com",
    "senders.signature": "天存教育",
    "bounce_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "bounce_mailbox.host": "imap.example.com",
    "bounce_mailbox.port": "993",
    "bounce_mailbox.move_to": "Bounces",
    "bounce_listener.port": "2525",
    "bounce_listener.host": "127.0.0.1",
    "cert_file": "/etc/imsg/bounces.pem",
    "bounce_listener.key_file": "/etc/imsg/bounces-key.pem",
    "sms.providers": "aliyun,tencent",
    "sign_name": "天存",
    "hook_secret": "8b1a9953c4611296a827abf8c47804d7",
    "access_key_id": "LTAI5tExample",
    "access_key_secret": "authorization-code",
    "aliyun.template": "SMS_100000001",
    "aliyun.endpoint": "https://dysmsapi.ap-southeast-1.aliyuncs.com/",
    "tencent.template": "1234567",
    "volcengine.template": "ST_1234abcd",
    "secret_id": "AKIDexample",
    "tencent.secret_key": "authorization-code",
    "app_id": "1400000000",
    "sms_account": "7a1b2c3d",
    "account_sid": "AC00000000000000000000000000000000",
    "auth_token": "authorization-code",
    "key_sid": "SK00000000000000000000000000000000",
    "key_secret": "authorization-code",
    "signing_key": "authorization-code",
    "twilio.sender": "+15005550006",
    "messaging_service_sid": "MG00000000000000000000000000000000",
    "signature": "【天存】",
    "suffix": "（自动发送）",
    "countries": "+86,+852",
    "opt_out": "退订,TD,STOP",
    "opt_in": "订阅,START",
    "routes.weight": "3",
    "routes.numbers": "+852,+853",
    "routes.templates": "code",
    "http.use": "yunpian",
    "http.needs": '["apikey"]',
    "http.url": "https://sms.example.com/send",
    "http.basic": "{user}:{password}",
    "http.body": "mobile={number}&text={text}",
    "http.success": "code=0",
    "http.id": "data.id",
    "http.code": "code",
    "http.separator": ";",
    "sms.templates.text": "您的验证码是 ${code}。",
    "appid": "wx5a2d8c1e0f3b7a94",
    "secret": "authorization-code",
    "token": "imsg2026",
    "aes_key": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "wechat.accounts.template": "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
    "variable": "code",
    "wechat.accounts.variable": "thing1",
    "robots.key": "693a91f6-7e1b-4bc4-97a0-0ec2f1fa5aaa",
    "history_url": "http://history:8000",
    "callbacks.allow": "10.1.0.0/16",
    "provider_networks": "10.1.0.0/16",
    "sandbox_url": "http://sandbox:8000",
    "smtp_host": "127.0.0.1",
    "wechat_allowed": "127.0.0.1",
    "certificate": "/etc/imsg/sandbox.pem",
    "backup.folder": "/srv/backups",
    "backup.at": "03:30",
    "tls.certificate": "/etc/letsencrypt/live/imsg.example.com/fullchain.pem",
    "tls.host": "192.0.2.10",
    "tls.port": "443",
    "tls.key": "/etc/letsencrypt/live/imsg.example.com/privkey.pem",
    "smtp_port": "2526",
    "aliyun_port": "8443",
}
"""The end of a setting's path, without the names that people choose → a value it takes. The longest end decides.

A setting with a default needs none: its example is another choice, or twice the number.
"""

WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "text": "text",
        "number": "number",
        "path": "path",
        "list": "list",
        "table": "table",
        "secret": "secret",
        "required": "required",
        "all": "every service",
        "more": "More: [{page}]({page}).",
        "columns": "| setting | type | default | meaning | example | read by |",
    },
    "zh": {
        "text": "文本",
        "number": "数字",
        "path": "路径",
        "list": "列表",
        "table": "表",
        "secret": "机密",
        "required": "必填",
        "all": "全部服务",
        "more": "详见 [{page}]({page})。",
        "columns": "| 设置 | 类型 | 默认值 | 含义 | 示例 | 由谁读取 |",
    },
}

HEADS: Mapping[Language, str] = {
    "en": """\
# Settings

[中文](settings.zh.md) · `make generate` writes this page from the models that the services read.

A setting comes from the environment, else from `.env`, else from `imsg.toml` (`IMSG_CONFIG` names another file). \
`IMSG_SMTP__HOST=mail.example.com` and these two lines are one setting:

```toml
[smtp]
host = "mail.example.com"
```

- `NAME` stands for a name that you choose, in capitals in a variable and in small letters in `imsg.toml`.
- A *list* is written with commas in a variable, and as a TOML array in `imsg.toml`.
- A *table* has settings of its own. It stands best in `imsg.toml`; a variable takes it as JSON.
- A **secret** is never shown by `imsg doctor` or in an error. Give it through the environment or a file that only \
iMSG reads. Of several keys, new ones go in front, with commas between them. As containers, the init step makes \
all keys.
- A wrong value stops the start with the setting's name and the remedy, exit code 2. A name that nothing reads is \
reported with the name that was meant. `imsg config check` checks all without starting, `imsg doctor` shows what is \
in force and where it comes from.
- `imsg up` makes the keys that are missing and keeps them in the data folder; broker, Redis and database are \
embedded, and the sandbox plays the provider of a channel of which nothing is set.
""",
    "zh": """\
# 设置

[English](settings.md) · 本页由 `make generate` 根据各服务读取的模型生成。

设置依次取自环境变量、`.env`、`imsg.toml`（可用 `IMSG_CONFIG` 指定其他文件），前者优先。\
`IMSG_SMTP__HOST=mail.example.com` 与下面两行是同一个设置：

```toml
[smtp]
host = "mail.example.com"
```

- `NAME` 代表您自己取的名称：在变量名中用大写，在 `imsg.toml` 中用小写。
- “列表”在变量中用逗号分隔，在 `imsg.toml` 中写成 TOML 数组。
- “表”有自己的下级设置，最好写在 `imsg.toml` 里；写在变量中则用 JSON。
- **机密**不会出现在 `imsg doctor` 的输出和错误信息里。请通过环境变量或只有 iMSG 能读的文件提供。\
密钥可以有多个，新的写在最前面，用逗号分隔。以容器方式运行时，全部密钥由初始化步骤生成。
- 值有误时启动停止，给出设置名称和改正办法，退出码 2。没有服务读取的名称会被指出，并提示可能想写的名称。\
`imsg config check` 只检查、不启动；`imsg doctor` 显示当前生效的值及其来源。
- `imsg up` 自动生成缺少的密钥并保存在数据目录中；消息代理、Redis 和数据库均已内置；\
没有任何设置的渠道由沙箱充当服务商。
""",
}

CHINESE: Mapping[str, str] = tomllib.loads(
    (Path(__file__).parent / "generated/settings.zh.toml").read_text(encoding="utf-8")
)
"""A setting's description → the same in Chinese."""
