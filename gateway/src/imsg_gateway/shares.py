"""The shares of a send: the recipients and content of each provider."""

from collections.abc import Sequence
from typing import NamedTuple

from imsg_channels.content import Templates
from imsg_channels.spec import ChannelSpec
from imsg_channels.templates import fill
from imsg_contract.errors import Refusal
from imsg_contract.wire import Content, Recipient
from imsg_gateway.recipients import MAX_NAME_CHARACTERS
from imsg_gateway.routed_limits import Group
from imsg_gateway.validation_errors import content_wrong

CountedGroups = Sequence[tuple[Group, Templates | None]]
"""Groups of recipients, each with the templates by which its segments are counted."""


class Share(NamedTuple):
    """Recipients for which the same provider is tried first."""

    provider: str | None
    recipients: Sequence[Recipient]
    text: str | None
    """What they get, where its words are known."""


def check_content(
    method: ChannelSpec, raw_content: object, groups: Sequence[Group], *, has_attachment: bool
) -> tuple[Content, CountedGroups]:
    """Check a content by the providers of each group; return it, and the templates by which each group is counted.

    Raises Refusal content_shape. It names a recipient if the content fits other groups.
    """
    contents: list[Content] = []
    counted: list[tuple[Group, Templates | None]] = []
    refused: list[tuple[Group, Refusal]] = []
    for group in groups:
        try:
            checked, templates = group.read(method, raw_content, has_attachment=has_attachment)
        except Refusal as refusal:
            refused.append((group, refusal))
        else:
            contents.append(checked)
            counted.append((group, templates))
    if not refused:
        return contents[0], counted
    group, first = refused[0]
    if not contents and all(refusal.values == first.values for _, refusal in refused):
        raise first
    to = group.recipients[0].to[:MAX_NAME_CHARACTERS]
    raise content_wrong(f"发往 {to} 时，{first.values['why_zh']}", f"to {to}, {first.values['why_en']}") from first


def make_shares(method: ChannelSpec, words: Content, counted: CountedGroups, signature: str | None) -> Sequence[Share]:
    """Return the share of each provider, with its contents where the method counts segments."""
    is_counted = method.segments is not None
    return [
        Share(group.provider, group.recipients, fill(words, templates or {}, signature) if is_counted else None)
        for group, templates in counted
    ]
