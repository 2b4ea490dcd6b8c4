"""A channel for messages by templates: it renders the words of each recipient, and hands them to the channel."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imsg_contract.results import Again, Blocked, Refused, Result
from imsg_contract.wire import Job, Recipient
from imsg_delivery.channel import Channel
from imsg_rendering.problems import Problem
from imsg_rendering.renderer import Renderer
from imsg_runtime.logs import logger

log = logger(__name__)

AT_ONCE = 8
"""Contents of one call that are sent side by side, as an SMS to a thousand people may have a thousand."""

RENDER = "render"
"""The code of a message whose words cannot be rendered."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the recipients of a chunk get."""

    contents: Mapping[int, dict[str, Any] | Problem]
    kept: list[object] = field(default_factory=list)
    """What the channel prepared for the first of them, with what it fetched of the request: others share that."""


class TemplateChannel:
    """Renders the contents of messages by templates."""

    def __init__(self, channel: Channel[Any], renderer: Renderer) -> None:
        self.method = channel.method
        self.terms = channel.terms
        self._channel = channel
        self._renderer = renderer

    async def prepare(self, job: Job) -> Rendered:
        """Render the words of all recipients. What the channel prepares of each content, it prepares for its call."""
        assert isinstance(job.content, dict)  # noqa: S101  as is_template has said
        contents = await self._renderer.render_for(job.content, job.recipients)
        return Rendered({recipient.n: content for recipient, content in zip(job.recipients, contents, strict=True)})

    async def deliver(self, job: Job, prepared: Rendered, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Send to recipients, those with the same content together."""
        results: dict[int, Result] = {}
        groups: dict[str, tuple[dict[str, Any], list[Recipient]]] = {}
        for recipient in recipients:
            content = prepared.contents[recipient.n]
            if isinstance(content, Problem):
                results[recipient.n] = Refused(job.method, RENDER, f"{content.field}: {content.en}", "recipient")
            else:
                groups.setdefault(repr(content), (content, []))[1].append(recipient)
        slots = asyncio.Semaphore(AT_ONCE)
        sent = await asyncio.gather(
            *(self._send(job, prepared, content, group, slots) for content, group in groups.values()),
            return_exceptions=True,
        )
        for group_results in sent:
            if isinstance(group_results, BaseException):  # the worker takes those without a result for unknown
                log.error("channel_broke", chunk=job.name, attempt=job.attempt, at="deliver", exc_info=group_results)
            else:
                results.update(group_results)
        return results

    async def _send(
        self,
        job: Job,
        rendered: Rendered,
        content: dict[str, Any],
        recipients: Sequence[Recipient],
        slots: asyncio.Semaphore,
    ) -> Mapping[int, Result]:
        first = job.recipients[0].n if job.chunk is None else job.chunk
        group_job = job.model_copy(update={"content": content, "recipients": tuple(recipients), "chunk": first})
        async with slots:
            prepared = await self._channel.prepare(group_job)
            if isinstance(prepared, Blocked):
                prepared = replace(prepared, was_called=False)
            if isinstance(prepared, Again | Blocked | Refused):
                return dict.fromkeys([recipient.n for recipient in recipients], prepared)
            if not rendered.kept:
                rendered.kept.append(prepared)
            return await self._channel.deliver(group_job, prepared, recipients)
