"""The requests of other services, and their answers."""

from typing import Annotated

from pydantic import Field

from imsg_auth.schemas.fields import Wechat
from imsg_web.request_models import RequestModel
from imsg_web.schemas import Success

MAX_NAMES = 10_000


class UserCacheRequest(RequestModel):
    """POST /internal/user-cache."""

    username: str
    token: str | None = None
    """The token that the gateway checks by the cached user; None where it needs the user only."""


class KeyLookup(RequestModel):
    """POST /internal/keys/find: the digest of a key."""

    user_id: str
    digest: str


class KeyOwnerAnswer(Success):
    """The key's user, who is now in the user cache."""

    username: str


class KeyUse(RequestModel):
    """When and from where a key was used last."""

    id: str
    at: Annotated[float, Field(strict=False)]
    """Unix time in seconds."""
    address: Annotated[str, Field(max_length=64)]


class KeyUses(RequestModel):
    """POST /internal/keys/used."""

    uses: Annotated[list[KeyUse], Field(max_length=MAX_NAMES)]


class UserLookup(RequestModel):
    """POST /internal/wechat/user."""

    username: str


class UserTagAnswer(Success):
    """A user, and the user's WeChat tag, null without one."""

    username: str
    user_id: str
    tag: str | None


class ContactsLookup(RequestModel):
    """POST /internal/contacts."""

    method: str
    names: Annotated[list[str], Field(max_length=MAX_NAMES)]


class ContactsAnswer(Success):
    """Username → address, null where the user has none; unknown users are absent."""

    contacts: dict[str, str | None]


class TagChange(RequestModel):
    """PUT /internal/wechat/contacts."""

    username: str
    user_id: str | None = None
    """The id that the user must have, since a name may be registered again; None: any user with the name."""
    wechat: Wechat


class HoldersLookup(RequestModel):
    """POST /internal/holders."""

    method: str
    address: str


class HoldersAnswer(Success):
    """Who has the contact."""

    usernames: list[str]


class UsernamesLookup(RequestModel):
    """POST /internal/wechat/usernames."""

    tags: Annotated[list[str], Field(max_length=MAX_NAMES)]


class UsernamesAnswer(Success):
    """Address → the user who has it; addresses of no user are absent."""

    usernames: dict[str, str]


class EventSubscription(RequestModel):
    """Which events of a user's messages callbacks subscribes to."""

    username: str
    user_id: str
    events: int
