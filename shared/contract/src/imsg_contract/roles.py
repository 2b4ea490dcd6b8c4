"""The roles of users, and the sets of them that the routes name."""

from typing import Literal, get_args

from imsg_contract.api_keys import SEND
from imsg_contract.errors import Refusal

Role = Literal["admin", "operator", "auditor", "user"]

Roles = frozenset[Role]

ROLES: tuple[Role, ...] = get_args(Role)

EVERYBODY: Roles = frozenset(ROLES)

SENDERS: Roles = EVERYBODY - {"auditor"}
"""Who sends, and reads the content of messages: an auditor does neither."""

READERS: Roles = EVERYBODY - {"user"}
"""The roles that see the data of all users."""

OPERATORS: Roles = frozenset({"admin", "operator"})
"""Who resends the messages of others, pauses channels, and suppresses addresses."""

ADMINISTRATORS: Roles = frozenset({"admin"})

_IN_CHINESE: dict[Role, str] = {"admin": "管理员", "operator": "操作员", "auditor": "审计员", "user": "普通用户"}

_IN_ENGLISH: dict[Role, str] = {
    "admin": "an administrator's",
    "operator": "an operator's",
    "auditor": "an auditor's",
    "user": "a user's",
}

_OF_READERS = frozenset({"followers", "providers", "users", "audit", "erasures"})
"""The scopes of routes that only readers may call."""


def find_forbidden_scopes(role: Role, scopes: frozenset[str]) -> frozenset[str]:
    """Return the scopes that no key of a user with this role can have."""
    forbidden = _OF_READERS if role not in READERS else frozenset[str]()
    if role not in SENDERS:
        forbidden |= {scope for scope in scopes if scope.startswith(SEND)}
    return forbidden & scopes


def read(text: str | None) -> Role:
    """Return the role of a name; `user` for what is none."""
    return next((role for role in ROLES if role == text), "user")


def sort(roles: Roles) -> list[Role]:
    """Return roles in the order of `ROLES`."""
    return [role for role in ROLES if role in roles]


def refuse_role(roles: Roles = ADMINISTRATORS) -> Refusal:
    """Return the refusal of a caller who has none of the roles."""
    named = sort(roles)
    return Refusal(
        "no_right",
        roles_zh="或".join(_IN_CHINESE[role] for role in named),
        roles_en=" or ".join(_IN_ENGLISH[role] for role in named),
    )
