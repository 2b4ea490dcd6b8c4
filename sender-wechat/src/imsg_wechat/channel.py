"""The WeChat channel: it turns tags into openids and contents into messages, and sends them."""

import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from imsg_channels.wechat import WECHAT
from imsg_contract.results import Again, Blocked, Refused, Result
from imsg_contract.topology import Lane
from imsg_contract.wire import Job, Recipient, message_id
from imsg_database.unavailable import DatabaseUnavailable
from imsg_delivery.attachment_client import AttachmentClient
from imsg_delivery.channel import Terms, Uncertain
from imsg_delivery.provider_pool import ProviderPool, refuse_switched_off
from imsg_delivery.routes import Route
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import Redis
from imsg_wechat.api import Api
from imsg_wechat.codes import NOT_FOLLOWING, PROVIDER, ErrorAnswer
from imsg_wechat.delivery_options import DeliveryOptions
from imsg_wechat.followers import Followers
from imsg_wechat.placeholders import MessageContext
from imsg_wechat.store import Follower
from imsg_wechat.template_check import TemplateBlocks, TemplateCheck
from imsg_wechat.templates import Outgoing, Templates, UnfitValue
from imsg_wechat.transport import CALLS

REPEAT_FOR_S = 540.0
"""WeChat ignores a repeated client_msg_id for 10 minutes; one minute of that is for the call."""

STORE_RETRY_S = 10.0

log = logger(__name__)


class AccountTemplate(BaseModel):
    """The template of one account, by a user's template."""

    model_config = ConfigDict(strict=True)

    template: str
    variables: dict[str, str] = {}


class TemplateContent(BaseModel):
    """`{template, params}`, or what a user's template says for each account."""

    model_config = ConfigDict(strict=True)

    template: str
    params: dict[str, str] = {}
    providers: dict[str, AccountTemplate] | None = None

    def at(self, account: str) -> tuple[str, dict[str, str]] | None:
        """Return the template of an account and its params; None where there is none."""
        if self.providers is None:
            return self.template, self.params
        own = self.providers.get(account)
        return None if own is None else (own.template, own.variables)


_CONTENT: TypeAdapter[str | TemplateContent] = TypeAdapter(str | TemplateContent)


@dataclass(frozen=True, slots=True)
class ChannelAccount:
    """One official account with its templates."""

    options: DeliveryOptions
    templates: Templates


@dataclass(frozen=True, slots=True)
class PreparedMessages:
    """The data that the recipients of a chunk share: the message of each account, and the followers."""

    messages: Mapping[str, Sequence[Outgoing] | Refused]
    """Account → the message by each delivery option, or why the content does not fit."""
    followers: Mapping[str, Follower]
    """By tag."""
    retired: Container[str]
    """Tags that were renewed or revoked."""


def terms(uncertain: Uncertain) -> Terms:
    """Return the channel's terms; the lanes share the concurrent calls of the client."""
    calls = CALLS
    return Terms(
        chunk_size=WECHAT.chunk_size,
        call_size=1,
        concurrency={Lane.PRIORITY: calls, Lane.NORMAL: calls - calls // 8, Lane.BULK: calls // 2},
        uncertain=uncertain,
        repeat_for_s=REPEAT_FOR_S if uncertain == "repeat" else None,
    )


class WeChatChannel:
    """Sends a message to each recipient, by the delivery options of its template."""

    method = "wechat"

    def __init__(
        self, accounts: Mapping[str, ChannelAccount], followers: Followers, contents: AttachmentClient, terms: Terms
    ) -> None:
        self.terms = terms
        self._accounts = accounts
        self.provider_pool = ProviderPool(
            self.method, [Route(name) for name in accounts], time.monotonic, by_address=True
        )
        self._followers = followers
        self._problem = RecurringProblem(log, "unfollows_not_recorded", quiet_s=QUIET_S)
        self._contents = contents

    @property
    def apis(self) -> Mapping[str, Api]:
        """The API of each account; its users share the account's token."""
        return {name: account.options.api for name, account in self._accounts.items()}

    @property
    def templates(self) -> Mapping[str, Templates]:
        """The templates of each account."""
        return {name: account.templates for name, account in self._accounts.items()}

    def checks(self, redis: Redis) -> Mapping[str, TemplateCheck]:
        """Return the check of each account's templates."""
        return {
            name: TemplateCheck(
                name,
                account.options.api,
                account.templates,
                TemplateBlocks(name, account.options.breakers, provider),
                redis,
            )
            for name, account in self._accounts.items()
            if (provider := self.provider_pool.find(name)) is not None
        }

    async def prepare(self, job: Job) -> PreparedMessages | Again | Blocked | Refused:
        """Read the content, and look up the followers of the tags."""
        content = await self._read_content(job)
        if isinstance(content, Again | Blocked | Refused):
            return content
        try:
            followers = await self._followers.find_by_tags([recipient.address for recipient in job.recipients])
            absent = [recipient.address for recipient in job.recipients if recipient.address not in followers]
            retired = await self._followers.find_retired(absent) if absent else {}
        except DatabaseUnavailable as error:
            why = f"Followers can't be looked up for now: {error}."
            return Blocked(PROVIDER, "followers", "store_away", why, STORE_RETRY_S)
        names = {follower.account for follower in followers.values()} & self._accounts.keys()
        return PreparedMessages({name: self._render(name, content, job) for name in names}, followers, retired)

    async def deliver(
        self, job: Job, prepared: PreparedMessages, recipients: Sequence[Recipient]
    ) -> Mapping[int, Result]:
        """Send to each recipient; a repeat has the same client_msg_id."""
        return {recipient.n: await self._send(job, prepared, recipient) for recipient in recipients}

    def find_outage(self) -> Blocked | None:
        """Return a block if every account is switched off; any other block stops one account alone."""
        return self.provider_pool.find_outage({})

    async def _send(self, job: Job, prepared: PreparedMessages, recipient: Recipient) -> Result:
        """Send by the follower's account, unless that is switched off; count the result."""
        follower = prepared.followers.get(recipient.address)
        provider = None if follower is None else self.provider_pool.find(follower.account)
        if provider is None:
            return await self._deliver(job, prepared, recipient)
        if not (provider.is_on or job.provider == provider.name):
            return refuse_switched_off(PROVIDER, provider.name)
        began = self.provider_pool.clock()
        result = await self._deliver(job, prepared, recipient)
        if isinstance(result, Blocked) and result.concerns in (None, "sender"):
            # A block of one delivery option concerns some templates, not the account.
            result = replace(result, concerns="template")
        provider.stats.record(result, self.provider_pool.clock() - began)
        return result

    async def _deliver(self, job: Job, prepared: PreparedMessages, recipient: Recipient) -> Result:
        follower = self._find_follower(job, prepared, recipient)
        if isinstance(follower, Refused):
            return follower
        account = self._accounts[follower.account]
        message = prepared.messages[follower.account]
        if isinstance(message, Refused):
            return message
        began = int(time.time())
        option_result = await account.options.send(follower, message, message_id(job.request, recipient.n))
        if isinstance(option_result.answer, ErrorAnswer) and option_result.answer.code in NOT_FOLLOWING:
            await self._record_unfollow(follower, began)
        return option_result.result

    def _find_follower(self, job: Job, prepared: PreparedMessages, recipient: Recipient) -> Follower | Refused:
        """Return the follower with the recipient's tag, or why nothing can be sent to them."""
        if recipient.address in prepared.retired:
            return Refused(PROVIDER, "10014", "The tag was renewed or revoked; ask the follower for the new one.")
        follower = prepared.followers.get(recipient.address)
        if follower is None or (job.account is not None and follower.account != job.account):
            other = "" if follower is None else " at this account"
            return Refused(PROVIDER, "10011", f"There is no such tag{other}; ask the follower for it.")
        if follower.account not in self._accounts:
            return Refused(PROVIDER, "10015", f"The official account {follower.account} is not configured any more.")
        if not follower.following:
            return Refused(PROVIDER, "10014", "The follower has left; they must follow the account first.")
        return follower

    async def _record_unfollow(self, follower: Follower, at: int) -> None:
        """Record an unfollow that WeChat's answer reports; a follower who returned since stays."""
        with self._problem.catch(DatabaseUnavailable, account=follower.account):
            await self._followers.unfollow(follower.account, follower.openid, at)

    def _render(self, account: str, content: str | TemplateContent, job: Job) -> Sequence[Outgoing] | Refused:
        template_content = content if isinstance(content, str) else content.at(account)
        if template_content is None:
            return Refused(PROVIDER, "no_provider", f"The template has no content for the account {account}.")
        context = MessageContext(job.request, job.username, account, job.accepted_at)
        try:
            return self._accounts[account].templates.fill(template_content, context)
        except UnfitValue as unfit:
            return Refused(PROVIDER, "content", f"The content does not fit: {unfit}.")

    async def _read_content(self, job: Job) -> str | TemplateContent | Again | Blocked | Refused:
        try:
            if job.content_at is None:
                return _CONTENT.validate_python(job.content)
            body = await self._contents.fetch(job.request, job.content_at)
            return _CONTENT.validate_json(body) if isinstance(body, bytes) else body
        except ValidationError:
            return Refused(PROVIDER, "content", "The content must be a string, or {template, params}.")
