"""API keys: the bodies that make, change and end them, and how they are shown."""

import ipaddress
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from imsg_auth.schemas.fields import NO_NUL, PAGE, Name, example
from imsg_auth.tables import MAX_NAME
from imsg_channels import METHODS
from imsg_contract.api_keys import SCOPES, SEND, KeyKind
from imsg_web.request_models import RequestModel
from imsg_web.responses import field_error
from imsg_web.schemas import AnswerPart, PageLimit, Success, Time
from imsg_web.times import read_rfc3339

ALL_SCOPES = (*(f"{SEND}{method}" for method in METHODS), *SCOPES)
MAX_NETWORKS = 20
MAX_OVERLAP_S = 86_400


def _check_scopes(scopes: list[str]) -> list[str]:
    if not scopes or any(scope not in ALL_SCOPES for scope in scopes):
        raise field_error(
            f"应为非空的列表，可选 {'、'.join(ALL_SCOPES)}",
            f"it must be a list of one or more of {', '.join(ALL_SCOPES)}",
        )
    return sorted(set(scopes), key=ALL_SCOPES.index)


def _check_networks(networks: list[str]) -> list[str]:
    try:
        return list(dict.fromkeys(str(ipaddress.ip_network(text.strip(), strict=False)) for text in networks))
    except ValueError as error:
        raise field_error(
            "每一项应为 IP 地址或网段，例如 192.0.2.7 或 192.0.2.0/24",
            "each must be an IP address or a network, such as 192.0.2.7 or 192.0.2.0/24",
        ) from error


def _read_time(given: object) -> object:
    """Read RFC 3339 with an offset."""
    if given is None:
        return None
    try:
        return read_rfc3339(given if isinstance(given, str) else "")
    except ValueError as error:
        raise field_error(
            "应为带时区的 RFC 3339 时间，例如 2026-11-25T08:00:00+08:00",
            "it must be an RFC 3339 time with an offset, such as 2026-11-25T08:00:00+08:00",
        ) from error


_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_NETWORK_V4 = rf"{_BYTE}(\.{_BYTE}){{3}}/(3[0-2]|[12]?[0-9])"
_NETWORK_V6 = "(([0-9a-fA-F]{1,4}:){1,7}|:):/(12[0-8]|1[01][0-9]|[1-9]?[0-9])"
_NETWORK = f"^({_NETWORK_V4}|{_NETWORK_V6})$"
"""Networks as they are usually written; a few more forms of IPv6 are read."""

KeyName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_NAME,
        pattern=r"^[^\u0000-\u001f\u007f]*$",
        description="The program that uses it.",
    ),
]

Scopes = Annotated[
    list[str],
    AfterValidator(_check_scopes),
    Field(
        description="What the key may do, at most what its user may.",
        json_schema_extra={"minItems": 1, "items": {"type": "string", "enum": list(ALL_SCOPES)}},
    ),
]

Networks = Annotated[
    list[str],
    Field(max_length=MAX_NETWORKS),
    AfterValidator(_check_networks),
    Field(
        description="The networks it may be used from; without any, from everywhere.",
        json_schema_extra={
            "items": {
                "anyOf": [
                    {"type": "string", "format": "ipv4"},
                    {"type": "string", "format": "ipv6"},
                    {"type": "string", "pattern": _NETWORK},
                ]
            }
        },
    ),
]

ExpiresAt = Annotated[
    datetime | None,
    BeforeValidator(_read_time),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}],
            "description": "When it ends, with an offset; without it, it does not.",
        }
    ),
]


class NewKey(RequestModel):
    """POST /api/keys."""

    model_config = example({"name": "library system", "kind": "live", "scopes": ["send:smtp", "query"]})

    name: KeyName
    kind: Annotated[
        KeyKind, Field(description="`test`: what it sends goes the whole way but to the provider, which is played.")
    ]
    scopes: Scopes
    networks: Networks | None = None
    expires_at: ExpiresAt = None
    username: Annotated[Name | None, Field(description="The user of the key; default: the caller.")] = None


class KeyPatch(RequestModel):
    """PATCH /api/keys/ID: absent fields don't change; null removes `networks` and `expires_at`."""

    model_config = example({"networks": ["192.0.2.0/24"], "expires_at": None})

    name: KeyName | None = None
    scopes: Scopes | None = None
    networks: Networks | None = None
    expires_at: ExpiresAt = None


class KeyRotation(RequestModel):
    """POST /api/keys/ID/rotate."""

    model_config = example({"old_valid_s": 3_600})

    old_valid_s: Annotated[
        int, Field(ge=0, le=MAX_OVERLAP_S, description="How many seconds the old key stays valid; 0: it ends at once.")
    ]


class LeakedKey(RequestModel):
    """POST /api/keys/leaked."""

    model_config = example({"key": "imsg_live_…"})

    key: Annotated[str, Field(max_length=256, json_schema_extra={**NO_NUL})]


class KeysQuery(BaseModel):
    """The query of GET /api/keys."""

    model_config = ConfigDict(frozen=True)

    limit: PageLimit = PAGE
    cursor: Annotated[str | None, Field(pattern="^[0-9a-f]{32}$", description="`next` of the page before.")] = None
    username: Annotated[Name | None, Field(description="The user of the keys, for administrators.")] = None


class KeyRecord(AnswerPart):
    """A key, without its secret."""

    id: str
    username: str
    hint: Annotated[str, Field(description="By what one recognizes it: its kind and its last digits.")]
    name: str
    kind: KeyKind
    scopes: list[str]
    networks: Annotated[list[str], Field(description="The networks it may be used from; empty: all.")]
    created_at: Time
    expires_at: Annotated[Time | None, Field(description="null: it does not end.")]
    last_used_at: Annotated[Time | None, Field(description="To some seconds; null: never.")]
    last_used_from: Annotated[str | None, Field(description="The address of the client who used it last.")]


class KeyAnswer(KeyRecord, Success):
    """One key."""


class NewKeyAnswer(Success):
    """A new key."""

    id: str
    key: Annotated[str, Field(description="The key, shown this once.")]


class KeysAnswer(Success):
    """A page of keys, the oldest first."""

    keys: list[KeyRecord]
    next: Annotated[str | None, Field(description="The next page's cursor; null: this is the last page.")]
