"""POST /api/v2/messages/check: what a send of the same body would meet, with nothing sent and nothing counted."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from starlette.responses import Response

from imsg_contract.countries import find_country
from imsg_contract.errors import Refusal
from imsg_contract.send_times import write_time
from imsg_contract.wire import Category, Recipient
from imsg_gateway.costs import CostEstimator
from imsg_gateway.countries import read_countries
from imsg_gateway.credentials import Credential
from imsg_gateway.draft import Draft
from imsg_gateway.draft_reader import DraftReader
from imsg_gateway.providers import Providers
from imsg_gateway.recipients import FoundRecipients
from imsg_gateway.request import ClientRequest
from imsg_gateway.routed_limits import RoutedLimits
from imsg_limits.windows import PublishedWindows
from imsg_people.suppressions import SuppressionMirror, SuppressionQuery
from imsg_runtime.redis import Redis
from imsg_web.responses import ApiResponse, ok, prefers_english
from imsg_web.service_client import Peer, ServiceFailed

MAX_PROBLEMS = 100
"""Named in one answer; `problems_total` says how many there are."""

AT_ONCE = 1_000
"""Recipients that the mirror is asked about in one call."""

OK = 200

ANY_COUNTRY = "*"
"""In a user's `sms_countries`: every country."""


class Checker:
    """Answers the URL."""

    def __init__(
        self,
        drafts: DraftReader,
        limits: RoutedLimits,
        providers: Providers,
        auth: Peer,
        store: Redis,
        *,
        costs: CostEstimator,
        windows: PublishedWindows,
    ) -> None:
        self._drafts = drafts
        self._limits = limits
        self._store = store
        self._providers = providers
        self._auth = auth
        self._costs = costs
        self._windows = windows

    async def check(self, request: ClientRequest, credential: Credential) -> Response:
        """Return how many would get it, the recipients who would not and why, and the rest of the limits.

        Raises Refusal, what a send refuses but for single recipients, limits and `available`; ServiceUnavailable,
        RedisUnavailable.
        """
        draft, found = await self._drafts.check(request.fields, credential, may_have_nul=request.may_have_nul)
        self._providers.check(draft.method.name)
        me = await self._me(credential)
        if draft.category is Category.CODE and not me["may_send_codes"]:
            raise Refusal("may_not_send_codes")
        if draft.sender is not None and draft.sender not in _names(me["senders"], draft.sender):
            raise Refusal("may_not_send_by", sender=draft.sender)
        left = set(found.unfollowed)
        unreached = await self._limits.find_unreached(draft.method, draft.recipients, draft.provider)
        forbidden = await _find_forbidden(draft, me["sms_countries"])
        are_forbidden = {recipient.n for recipient in forbidden}
        barred = [*forbidden, *(recipient for recipient in unreached if recipient.n not in are_forbidden)]
        words = _Words(english=prefers_english(request.language), is_admin=me["role"] == "admin")
        problems = _problems(found, forbidden, unreached, words)
        reached = draft.leave_out(
            {recipient.n for recipient in (*barred, *(to for to in draft.recipients if to.to in left))}
        )
        due_at = draft.due_at or datetime.now(UTC)
        hold = self._windows.current.find_hold(draft.method.name, draft.category, due_at)
        return ApiResponse(
            ok(
                count=len(draft.recipients) - len(left) - len(barred),
                duplicates=found.duplicates,
                without_address=draft.without_address or 0,
                segments=reached.total_segments,
                cost=await self._costs.estimate(reached),
                suppressed=0 if draft.is_test else await self._count_suppressed(draft),
                held_until=None if hold is None else write_time(hold.until),
                held_by=None if hold is None else hold.by,
                available=me["available"],
                quotas=me["quotas"],
                problems=list(islice(problems, MAX_PROBLEMS)),
                problems_total=len(found.wrong) + len(left) + len(barred),
            )
        )

    async def _count_suppressed(self, draft: Draft) -> int:
        """Count the suppressed recipients, by the present mirror of the catalog."""
        sender = draft.account or draft.signature or draft.sender or ("" if draft.method.sender == "address" else None)
        mirror = SuppressionMirror(self._store, draft.method.name)
        found: int = 0
        for first in range(0, len(draft.recipients), AT_ONCE):
            some = draft.recipients[first : first + AT_ONCE]
            addresses = {recipient.n: recipient.address for recipient in some}
            found += len(await mirror.find(SuppressionQuery(addresses, sender, draft.category)))
        return found

    async def _me(self, credential: Credential) -> Mapping[str, Any]:
        answer = await self._auth.call("GET", "/api/me", caller=await credential.authenticate())
        if answer.status_code != OK:
            raise ServiceFailed(f"auth answered {answer.status_code} to /api/me")
        me: Mapping[str, Any] = answer.json()
        return me


def _names(senders: Sequence[str] | None, sender: str) -> Sequence[str]:
    """List the senders that a user may use, this one too where the user may use all."""
    return (sender,) if senders is None else senders


async def _find_forbidden(draft: Draft, countries: Sequence[str]) -> Sequence[Recipient]:
    """Find the recipients in countries that the user may not send to."""
    if draft.method.segments is None or ANY_COUNTRY in countries:
        return []
    found = await read_countries(draft.recipients)
    return [recipient for recipient, country in zip(draft.recipients, found, strict=True) if country not in countries]


class _Words(NamedTuple):
    """Writes the details of problems for one caller."""

    english: bool
    is_admin: bool

    def refuse(self, recipient: Recipient, *, is_missed: bool) -> str:
        """Return the detail of a recipient whose country the user may not send to, with who can change that.

        `is_missed`: no provider takes its numbers either, so that both have to be changed.
        """
        country = find_country(recipient.address) or "?"
        if self.english:
            who = "add" if self.is_admin else "ask an administrator to add"
            also = ", and its calling code to the countries of an SMS provider" if is_missed else ""
            return (
                f"Your account may not send SMS to {country}; {who} it to your user's SMS countries "
                f"(sms_countries){also}."
            )
        who = "请" if self.is_admin else "请联系管理员"
        also = "，再在“服务商”页的短信服务商中加上它的区号（countries）" if is_missed else ""
        return (
            f"您的账号不能向 {country} 发短信，{who}在用户设置“可发短信的国家和地区”（sms_countries）"
            f"中加上 {country}{also}。"
        )

    def miss(self, recipient: Recipient) -> str:
        """Return the detail of a recipient whose country no provider takes, with who can change that."""
        country = find_country(recipient.address) or "?"
        if self.english:
            who = "set" if self.is_admin else "ask an administrator to set"
            return f"No SMS provider takes numbers of {country}; {who} the countries of a provider."
        who = "请" if self.is_admin else "请联系管理员"
        return f"没有短信服务商可以发往 {country}，{who}在“服务商”页的短信服务商中加上它的区号（countries）。"


def _problems(
    found: FoundRecipients, forbidden: Sequence[Recipient], unreached: Sequence[Recipient], words: _Words
) -> Iterator[Mapping[str, str]]:
    english = words.english
    for wrong in found.wrong:
        detail = f"This recipient is not right: {wrong.en}." if english else f"收件人不正确：{wrong.zh}。"
        yield {"to": wrong.text, "reason": "recipients_invalid", "detail": detail}
    gone = (
        "This follower has left, and must follow the account first." if english else "该用户没有关注公众号，请先关注。"
    )
    for text in found.unfollowed:
        yield {"to": text, "reason": "not_following", "detail": gone}
    missed = {recipient.n for recipient in unreached}
    for recipient in forbidden:
        detail = words.refuse(recipient, is_missed=recipient.n in missed)
        yield {"to": recipient.to, "reason": "country_not_allowed", "detail": detail}
        missed.discard(recipient.n)
    for recipient in unreached:
        if recipient.n in missed:
            yield {"to": recipient.to, "reason": "country_not_taken", "detail": words.miss(recipient)}
