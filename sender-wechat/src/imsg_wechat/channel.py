"""The WeChat channel: the port that the worker calls; from tags to openids, from contents to template messages."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from imsg_contract.topology import Lane
from imsg_contract.wire import Again, Blocked, Job, Recipient, Refused, Result, Sent, Unknown, message_id
from imsg_database.unavailable import DatabaseUnavailable
from imsg_delivery.attachment_client import AttachmentClient
from imsg_delivery.channel import Terms, Uncertain
from imsg_runtime.observe import logger
from imsg_wechat.api import Api
from imsg_wechat.codes import ALREADY_SENT, LEFT, PROVIDER, Complaint, result
from imsg_wechat.followers import Followers
from imsg_wechat.health import Health
from imsg_wechat.store import Follower
from imsg_wechat.templates import Templates, Unfit
from imsg_wechat.transport import CALLS_PER_CLIENT, CLIENTS, Answer, Trouble

CHUNK_SIZE = 100
REPEAT_FOR_S = 540.0
"""WeChat remembers a client_msg_id for 10 minutes from the first try; a minute of that is for the way."""

STORE_AGAIN_S = 10.0

log = logger(__name__)


class Filled(BaseModel):
    """`{template, params}`."""

    model_config = ConfigDict(strict=True)

    template: str
    params: dict[str, str] = {}


_CONTENT: TypeAdapter[str | Filled] = TypeAdapter(str | Filled)


@dataclass(frozen=True, slots=True)
class Account:
    """One official account as the channel sees it."""

    api: Api
    templates: Templates
    health: Health


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a chunk's recipients share: the message as each account's template says it, and who they are."""

    messages: Mapping[str, tuple[str, dict[str, str]] | Refused]
    """Account → (template, values), or why it can't be said there."""
    followers: Mapping[str, Follower]
    """By tag."""


def terms(uncertain: Uncertain) -> Terms:
    """Share out the calls that the clients make at once."""
    calls = CLIENTS * CALLS_PER_CLIENT
    return Terms(
        chunk_size=CHUNK_SIZE,
        call_size=1,
        concurrency={Lane.PRIORITY: calls, Lane.NORMAL: calls - calls // 8, Lane.BULK: calls // 2},
        uncertain=uncertain,
        repeat_for_s=REPEAT_FOR_S if uncertain == "repeat" else None,
    )


class WeChatChannel:
    """A template message to each recipient."""

    method = "wechat"

    def __init__(
        self, accounts: Mapping[str, Account], followers: Followers, contents: AttachmentClient, terms: Terms
    ) -> None:
        self.terms = terms
        self._accounts = accounts
        self._followers = followers
        self._contents = contents

    async def prepare(self, job: Job) -> Prepared | Again | Blocked | Refused:
        """Read the content, and look up who the tags are."""
        content = await self._content(job)
        if isinstance(content, Again | Blocked | Refused):
            return content
        try:
            followers = await self._followers.by_tags([recipient.address for recipient in job.recipients])
        except DatabaseUnavailable as error:
            why = f"Followers can't be looked up for now: {error}."
            return Blocked(PROVIDER, "followers", "store_away", why, STORE_AGAIN_S)
        names = {follower.account for follower in followers.values()} & self._accounts.keys()
        return Prepared({name: self._render(name, content) for name in names}, followers)

    async def deliver(self, job: Job, prepared: Prepared, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Send to each; a repeat carries the same client_msg_id."""
        return {recipient.n: await self._deliver(job, prepared, recipient) for recipient in recipients}

    async def _deliver(self, job: Job, prepared: Prepared, recipient: Recipient) -> Result:
        follower = prepared.followers.get(recipient.address)
        if follower is None or (job.account is not None and follower.account != job.account):
            other = "" if follower is None else " at this account"
            return Refused(PROVIDER, "10011", f"There is no such tag{other}; ask the follower for it.")
        account = self._accounts.get(follower.account)
        if account is None:
            return Refused(PROVIDER, "10015", f"The official account {follower.account} is configured no more.")
        if not follower.following:
            return Refused(PROVIDER, "10014", "The follower has left; they must follow the account first.")
        message = prepared.messages[follower.account]
        if isinstance(message, Refused):
            return message
        if (blocked := account.health.find_block()) is not None:
            return blocked
        began = int(time.time())
        answer = await account.api.send(follower.openid, *message, message_id(job.request, recipient.n))
        judged = _judge(answer, follower.account)
        account.health.note(judged)
        if isinstance(answer, Complaint) and answer.code in LEFT:
            await self._note_left(follower, began)
        return judged

    async def _note_left(self, follower: Follower, at: int) -> None:
        """Believe WeChat where its own event did not reach us; one who has followed again since stays."""
        try:
            await self._followers.leaves(follower.account, follower.openid, at)
        except DatabaseUnavailable as error:
            log.warning("unfollow_not_recorded", account=follower.account, why=str(error))

    def _render(self, account: str, content: str | Filled) -> tuple[str, dict[str, str]] | Refused:
        said = content if isinstance(content, str) else (content.template, content.params)
        try:
            return self._accounts[account].templates.fill(said)
        except Unfit as unfit:
            return Refused(PROVIDER, "content", f"The content does not fit: {unfit}.")

    async def _content(self, job: Job) -> str | Filled | Again | Blocked | Refused:
        try:
            if job.content_at is None:
                return _CONTENT.validate_python(job.content)
            body = await self._contents.fetch(job.request, job.content_at)
            return _CONTENT.validate_json(body) if isinstance(body, bytes) else body
        except ValidationError:
            return Refused(PROVIDER, "content", "The content must be a string, or {template, params}.")


def _judge(answer: Answer, account: str) -> Result:
    match answer:
        case Trouble(code, detail, may_have_it=True):
            return Unknown(PROVIDER, code, detail)
        case Trouble(code, detail):
            return Again(PROVIDER, code, detail)
        case Complaint(code) if code == ALREADY_SENT:
            return Sent(PROVIDER, _msgid(answer.fields), answer.detail)
        case Complaint():
            return result(answer, account)
        case _:
            return Sent(PROVIDER, _msgid(answer))


def _msgid(fields: Mapping[str, object]) -> str | None:
    """Find the message's number, which has 64 bits: a string from here on."""
    msgid = fields.get("msgid", fields.get("msg_id"))
    return None if msgid is None else str(msgid)
