"""The bodies, queries and answers of the routes of followers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from imsg_web.request_models import RequestModel
from imsg_web.schemas import AnswerPart, PageLimit, Success, Time

ACCOUNT: JsonDict = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,31}$"}


class FollowersQuery(BaseModel):
    """The query of GET /api/followers."""

    model_config = ConfigDict(frozen=True)

    account: Annotated[
        str | None, Field(json_schema_extra=ACCOUNT, description="Only those of this official account.")
    ] = None
    tag: Annotated[str | None, Field(description="Only the one who has this tag.")] = None
    user: Annotated[str | None, Field(description="Only the one who is this user's contact.")] = None
    limit: PageLimit = 50
    cursor: Annotated[str | None, Field(description="`next` of the page before.")] = None


class Follower(AnswerPart):
    """A follower or former follower of an official account."""

    account: str
    tag: str
    following: Annotated[bool, Field(description="false: they have left, and can't be sent to.")]
    since: Annotated[Time, Field(description="When they came or left.")]
    username: Annotated[str | None, Field(description="The user whose contact they are.")]


class FollowersAnswer(Success):
    """A page of followers, in the order of their tags."""

    followers: list[Follower]
    next: Annotated[str | None, Field(description="The next page's cursor; null: this is the last page.")]
    accounts: Annotated[list[str], Field(description="The official accounts that are configured.")]


class FollowerAnswer(Follower, Success):
    """The follower with the new tag; the old one answers 10014 from now on."""


class NewBinding(RequestModel):
    """POST /api/followers/bind."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"account": "main", "username": "zhang.san"}]})

    account: Annotated[str, Field(json_schema_extra=ACCOUNT)]
    username: Annotated[str, Field(min_length=1)]


class BindingAnswer(Success):
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
    expires_at: Annotated[Time, Field(description="When the code ends.")]


class NewBindingAnswer(BindingAnswer):
    """A code to be scanned in WeChat within 10 minutes."""

    url: Annotated[str, Field(description="What to draw as a QR code.")]


class RevocationAnswer(Success):
    """The tag was revoked: it answers 10014 from now on."""
