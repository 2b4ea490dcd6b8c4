"""The WeChat channel: the port that the worker calls; from tags to openids, from contents to template messages."""

import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from imsg_contract.topology import Lane
from imsg_contract.wire import Again, Blocked, Job, Recipient, Refused, Result, message_id
from imsg_database.unavailable import DatabaseUnavailable
from imsg_delivery.attachment_client import AttachmentClient
from imsg_delivery.channel import Terms, Uncertain
from imsg_delivery.provider_pool import ProviderPool, refuse_switched_off
from imsg_delivery.routes import Route
from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis
from imsg_wechat.api import Api
from imsg_wechat.codes import LEFT, PROVIDER, Complaint
from imsg_wechat.followers import Followers
from imsg_wechat.placeholders import Occasion
from imsg_wechat.store import Follower
from imsg_wechat.template_check import TemplateBlocks, TemplateCheck
from imsg_wechat.templates import Outgoing, Templates, Unfit
from imsg_wechat.transport import CALLS
from imsg_wechat.ways import Ways

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

    ways: Ways
    templates: Templates


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a chunk's recipients share: the message as each account's template says it, and who they are."""

    messages: Mapping[str, Sequence[Outgoing] | Refused]
    """Account → the ways it may be sent there, in order, or why it can't be said there."""
    followers: Mapping[str, Follower]
    """By tag."""
    retired: Container[str]
    """Tags that are nobody's any more."""


def terms(uncertain: Uncertain) -> Terms:
    """Share out the calls that the clients make at once."""
    calls = CALLS
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
        self.provider_pool = ProviderPool(
            self.method, [Route(name) for name in accounts], time.monotonic, by_address=True
        )
        self._followers = followers
        self._contents = contents

    @property
    def apis(self) -> Mapping[str, Api]:
        """Return each account's API: the one token of an account serves all."""
        return {name: account.ways.api for name, account in self._accounts.items()}

    @property
    def templates(self) -> Mapping[str, Templates]:
        """Return each account's templates."""
        return {name: account.templates for name, account in self._accounts.items()}

    def checks(self, redis: Redis) -> Mapping[str, TemplateCheck]:
        """Return what asks WeChat whether each account has its templates."""
        return {
            name: TemplateCheck(
                name, account.ways.api, account.templates, TemplateBlocks(name, account.ways.breakers, provider), redis
            )
            for name, account in self._accounts.items()
            if (provider := self.provider_pool.find(name)) is not None
        }

    async def prepare(self, job: Job) -> Prepared | Again | Blocked | Refused:
        """Read the content, and look up who the tags are."""
        content = await self._content(job)
        if isinstance(content, Again | Blocked | Refused):
            return content
        try:
            followers = await self._followers.by_tags([recipient.address for recipient in job.recipients])
            absent = [one.address for one in job.recipients if one.address not in followers]
            retired = await self._followers.find_retired(absent) if absent else {}
        except DatabaseUnavailable as error:
            why = f"Followers can't be looked up for now: {error}."
            return Blocked(PROVIDER, "followers", "store_away", why, STORE_AGAIN_S)
        names = {follower.account for follower in followers.values()} & self._accounts.keys()
        return Prepared({name: self._render(name, content, job) for name in names}, followers, retired)

    async def deliver(self, job: Job, prepared: Prepared, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Send to each; a repeat carries the same client_msg_id."""
        return {recipient.n: await self._carry(job, prepared, recipient) for recipient in recipients}

    def find_outage(self) -> Blocked | None:
        """Say that every account is switched off, where that is so: what else stops one stops no other."""
        return self.provider_pool.find_outage(lambda _: None)

    async def _carry(self, job: Job, prepared: Prepared, recipient: Recipient) -> Result:
        """Send by the follower's account, unless that is switched off; count what came of it."""
        follower = prepared.followers.get(recipient.address)
        provider = None if follower is None else self.provider_pool.find(follower.account)
        if provider is None:
            return await self._deliver(job, prepared, recipient)
        if not (provider.is_on or job.provider == provider.name):
            return refuse_switched_off(PROVIDER, provider.name)
        began = self.provider_pool.clock()
        result = await self._deliver(job, prepared, recipient)
        if isinstance(result, Blocked) and result.concerns in (None, "sender"):
            # What stops one way to send stops the messages of some templates, as a template does.
            result = replace(result, concerns="template")
        provider.stats.note(result, self.provider_pool.clock() - began)
        return result

    async def _deliver(self, job: Job, prepared: Prepared, recipient: Recipient) -> Result:
        follower = self._find(job, prepared, recipient)
        if isinstance(follower, Refused):
            return follower
        account = self._accounts[follower.account]
        message = prepared.messages[follower.account]
        if isinstance(message, Refused):
            return message
        began = int(time.time())
        tried = await account.ways.send(follower, message, message_id(job.request, recipient.n))
        if isinstance(tried.answer, Complaint) and tried.answer.code in LEFT:
            await self._note_left(follower, began)
        return tried.result

    def _find(self, job: Job, prepared: Prepared, recipient: Recipient) -> Follower | Refused:
        """Find who a tag is, if they can be sent to."""
        if recipient.address in prepared.retired:
            return Refused(PROVIDER, "10014", "The tag was renewed or revoked; ask the follower for the new one.")
        follower = prepared.followers.get(recipient.address)
        if follower is None or (job.account is not None and follower.account != job.account):
            other = "" if follower is None else " at this account"
            return Refused(PROVIDER, "10011", f"There is no such tag{other}; ask the follower for it.")
        if follower.account not in self._accounts:
            return Refused(PROVIDER, "10015", f"The official account {follower.account} is configured no more.")
        if not follower.following:
            return Refused(PROVIDER, "10014", "The follower has left; they must follow the account first.")
        return follower

    async def _note_left(self, follower: Follower, at: int) -> None:
        """Believe WeChat where its own event did not reach us; one who has followed again since stays."""
        try:
            await self._followers.leaves(follower.account, follower.openid, at)
        except DatabaseUnavailable as error:
            log.warning("unfollow_not_recorded", account=follower.account, why=str(error))

    def _render(self, account: str, content: str | Filled, job: Job) -> Sequence[Outgoing] | Refused:
        said = content if isinstance(content, str) else (content.template, content.params)
        occasion = Occasion(job.request, job.username, account, job.accepted_at)
        try:
            return self._accounts[account].templates.fill(said, occasion)
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
