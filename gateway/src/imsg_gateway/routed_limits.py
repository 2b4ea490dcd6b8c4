"""The limits by which a content is checked: those of the providers that may send it to each recipient."""

import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from pydantic import ValidationError

from imsg_channels import content
from imsg_channels.content import Templates
from imsg_channels.spec import ChannelSpec
from imsg_channels.templates import find
from imsg_contract.errors import Refusal
from imsg_contract.route_limits import ProviderLimits, RouteLimits
from imsg_contract.topology import route_limits_key
from imsg_contract.wire import Category, Content, Recipient
from imsg_gateway.provider_reports import Provider
from imsg_gateway.templates import PublishedTemplates
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import Redis

log = logger(__name__)

FRESH_S = 1.0
"""Providers are switched while iMSG runs: a send may go by what was right a second ago."""


class Group(NamedTuple):
    """Recipients that the same providers may carry a message to."""

    recipients: Sequence[Recipient]
    choices: Sequence[Templates | None]
    """What each provider accepts, in the order in which they are tried; None where that is not known."""
    provider: str | None = None
    """The provider that is tried first, where that is known."""
    names: Sequence[str] = ()
    """The providers of `choices`, where they are known."""

    def read(self, method: ChannelSpec, given: object, *, has_attachment: bool) -> tuple[Content, Templates | None]:
        """Check a content; return it and the templates of the first provider that accepts it.

        Raises Refusal content_shape, by the limits of the provider that takes most.
        """
        refusals: list[tuple[float, Refusal]] = []
        for templates in self.choices:
            try:
                return content.read(method.content, given, templates, has_attachment=has_attachment), templates
            except Refusal as refusal:
                refusals.append((_room(given, templates or {}), refusal))
        raise max(refusals, key=lambda refusal: refusal[0])[1]

    def find_taker(self, method: ChannelSpec, given: Content) -> Templates | None:
        """Return the templates of the first provider that accepts a content; of the first of all where none does."""
        try:
            return self.read(method, given, has_attachment=True)[1]
        except Refusal:
            return self.choices[0]


class _Channel(NamedTuple):
    """What is known of a channel's providers."""

    providers: Sequence[ProviderLimits] = ()
    """The provider that is tried first comes first."""
    off: Collection[str] = ()


class RoutedLimits:
    """Knows which provider may carry what, as senders publish it."""

    def __init__(
        self,
        redis: Redis,
        templates: PublishedTemplates,
        providers: Callable[[str], Awaitable[Sequence[Provider]]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the limits; `providers` returns the providers of a channel."""
        self._redis = redis
        self._templates = templates
        self._providers = providers
        self._now = now
        self._kept: dict[str, tuple[float, _Channel]] = {}
        self._problem = RecurringProblem(log, "routes_unreadable", quiet_s=QUIET_S)

    async def group(
        self,
        method: ChannelSpec,
        recipients: Sequence[Recipient],
        given: object,
        category: Category,
        forced: str | None,
        *,
        accounts: Mapping[str, str] = MappingProxyType({}),
    ) -> Sequence[Group]:
        """Group the recipients by the providers that may send a content to them; there is one group at least.

        An official account is the only provider of its followers: `accounts` holds what is known of them, by address.
        Recipients without a provider are checked by the merged limits of the channel. Raises RedisUnavailable.
        """
        if not method.has_templates:
            return [Group(recipients, [None])]
        templates = await self._templates.of(method.name)
        whole: Sequence[Templates | None] = [templates or None]
        channel = await self._of(method.name)
        if len(channel.providers) <= 1:
            every = [provider.name for provider in channel.providers]
            choices = [provider.limits for provider in channel.providers] or whole
            return [Group(recipients, choices, _first(channel.providers), every)]
        fit = _find_fit(channel.providers, _find_template_name(given, templates), category, forced)
        groups: dict[tuple[str, ...], Group] = {}
        recipients_by_providers: dict[tuple[str, ...], list[Recipient]] = {}
        for recipient in recipients:
            account = accounts.get(recipient.address)
            able = [
                provider
                for provider in fit
                if forced is not None or (provider.reaches(recipient.address) and account in (None, provider.name))
            ]
            # What only a provider takes that is switched off waits for it.
            used = (
                able
                if forced is not None
                else [provider for provider in able if provider.name not in channel.off] or able
            )
            names = tuple(provider.name for provider in used)
            if names not in groups:
                recipients_by_providers[names] = []
                groups[names] = Group(
                    recipients_by_providers[names], [provider.limits for provider in used] or whole, _first(used), names
                )
            recipients_by_providers[names].append(recipient)
        return list(groups.values()) or [Group(recipients, whole)]

    async def find_unreached(
        self, method: ChannelSpec, recipients: Sequence[Recipient], forced: str | None
    ) -> Sequence[Recipient]:
        """Return the recipients whose country no provider takes, or not the forced one. Raises RedisUnavailable.

        A provider that is switched off counts: its messages wait for it. Returns nothing until a sender has published
        its providers.
        """
        if not method.has_templates:
            return []
        channel = await self._of(method.name)
        used = [provider for provider in channel.providers if forced in (None, provider.name)]
        countries = tuple(country for provider in used for country in provider.countries)
        return [recipient for recipient in recipients if used and not recipient.address.startswith(countries)]

    async def _of(self, method: str) -> _Channel:
        kept = self._kept.get(method)
        if kept is not None and self._now() < kept[0]:
            return kept[1]
        providers = self._read(await self._redis.call("GET", route_limits_key(method)))
        reports = (
            {provider["name"]: provider for provider in await self._providers(method)} if len(providers) > 1 else {}
        )

        def rank(provider: ProviderLimits) -> tuple[bool, int]:
            weight = reports[provider.name]["weight"] if provider.name in reports else provider.weight
            return not provider.is_special, -(weight or 0)

        off = frozenset(name for name, report in reports.items() if not report["enabled"])
        channel = _Channel(sorted(providers, key=rank), off)
        self._kept[method] = (self._now() + FRESH_S, channel)
        return channel

    def _read(self, published: bytes | None) -> Sequence[ProviderLimits]:
        if published is None:
            return ()
        try:
            return RouteLimits.model_validate_json(published).providers
        except ValidationError as error:
            # A sender newer than this gateway: it will check the content itself.
            self._problem.report(error)
            return ()


def _first(providers: Sequence[ProviderLimits]) -> str | None:
    return providers[0].name if providers else None


def _find_fit(
    providers: Sequence[ProviderLimits], template: str, category: Category, forced: str | None
) -> Sequence[ProviderLimits]:
    """Return the providers whose routes accept such a message, or the forced one."""
    if forced is not None:
        return [provider for provider in providers if provider.name == forced]
    return [
        provider
        for provider in providers
        if (not provider.templates or template in provider.templates)
        and (not provider.categories or category in provider.categories)
    ]


def _find_template_name(given: object, templates: Templates) -> str:
    """Return the name of the template by which routes match: of free text the channel's default."""
    if isinstance(given, dict):
        named = given.get("template")
        return named if isinstance(named, str) else ""
    return next((name for name, template in templates.items() if template.default), "")


def _room(given: object, templates: Templates) -> float:
    """Return how many characters of variables a content's template takes; -1 where it is unknown."""
    if not isinstance(given, str) and not (isinstance(given, dict) and isinstance(given.get("template"), str)):
        return 0.0
    used = find(given, templates)
    if used is None:
        return -1.0
    return sum(math.inf if longest is None else longest for longest in used.variables.values())
