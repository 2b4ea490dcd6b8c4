"""The shapes of the URLs of followers (`schemas`)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from imsg_gateway.schemas import ACCOUNT, Answered, Token, example
from imsg_web.request_models import RequestModel


class Follower(BaseModel):
    """Somebody who follows an official account, or did."""

    model_config = ConfigDict(extra="forbid")

    account: str
    tag: str
    following: Annotated[bool, Field(description="false: they have left, and can't be sent to.")]
    since: Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="When they came or left.")]
    username: Annotated[str | None, Field(description="The user whose contact they are.")]


class FollowersAnswer(Answered):
    """A page of followers, in the order of their tags."""

    followers: list[Follower]
    next: Annotated[str | None, Field(description="The next page's cursor; null: this is the last page.")]
    accounts: Annotated[list[str], Field(description="The official accounts that are configured.")]


class FollowerAnswer(Answered, Follower):
    """The follower with the new tag; the old one answers 10014 from now on."""


class BindingAsked(RequestModel):
    """POST /api/v2/followers/bind."""

    model_config = ConfigDict(json_schema_extra=example(account="main", username="zhang.san"))

    token: Token = None
    account: Annotated[str, Field(json_schema_extra=ACCOUNT)]
    username: Annotated[str, Field(min_length=1)]


class ConfirmationAsked(RequestModel):
    """POST /api/v2/followers/bind/ID/confirm."""

    model_config = ConfigDict(json_schema_extra=example())

    token: Token = None


class RenewalAsked(RequestModel):
    """POST /api/v2/followers/TAG/renew."""

    model_config = ConfigDict(json_schema_extra=example())

    token: Token = None


class BindingAnswer(Answered):
    """How far a code is."""

    id: str
    account: str
    username: str
    state: Annotated[
        Literal["waiting", "scanned", "confirmed", "expired"],
        Field(
            description="`scanned`: compare the tag with the one that WeChat showed to who scanned it, then confirm."
        ),
    ]
    tag: Annotated[str | None, Field(description="Of who scanned the code.")]
    expires_at: Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="When the code ends.")]


class NewBindingAnswer(BindingAnswer):
    """A code to be scanned in WeChat within 10 minutes."""

    url: Annotated[str, Field(description="What to draw as a QR code.")]


class RevocationAnswer(Answered):
    """The tag is nobody's any more: it answers 10014 from now on."""
