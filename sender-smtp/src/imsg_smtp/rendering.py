"""Rendering a request once, however many of its chunks are sent at once: fetch, check and render it."""

import asyncio
import hashlib
from collections.abc import Callable
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, ValidationError

from imsg_contract.wire import Again, Blocked, Category, Job, Refused
from imsg_delivery.attachment_client import AttachmentClient
from imsg_smtp.mime import BeginSigning, File, MailContent, Rendered, SignName, render
from imsg_smtp.replies import PROVIDER
from imsg_smtp.senders import Sender, Senders

INLINE_OCTETS = 64 * 1024
"""Rendering this much takes less than a thread's hand-over is worth; more would hold up the loop."""


MakeUnsubscribeHeaders = Callable[[str, str], Callable[[str], bytes]]
"""Makes, for a named sender (empty: the default) and a category, what writes the unsubscribe headers of an address."""


class Content(BaseModel):
    """What the API takes as the content of a mail."""

    model_config = ConfigDict(strict=True)

    subject: str
    text: str = ""
    html: str | None = None
    sender: str | None = None
    """Names, as the settings have them."""
    reply_to: str | None = None


class Renderings:
    """Renders requests; chunks of one request that are under way at once share one rendering and its memory."""

    def __init__(
        self,
        attachments: AttachmentClient,
        senders: Senders,
        begin_signing: BeginSigning | None = None,
        feedback_id: str | None = None,
        make_unsubscribe_headers: MakeUnsubscribeHeaders | None = None,
        *,
        sign_name: SignName | None = None,
    ) -> None:
        self._attachments = attachments
        self._senders = senders
        self._begin_signing = begin_signing
        self._feedback_id = feedback_id
        self._make_unsubscribe_headers = make_unsubscribe_headers
        self._sign_name = sign_name
        self._current: WeakValueDictionary[str, Rendered] = WeakValueDictionary()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def render(self, job: Job) -> Rendered | Again | Blocked | Refused:
        """Return the rendering of a job's request, or why there is none."""
        if job.chunk is None and job.content_at is None and not job.attachments:
            return await self._make(job)  # all of its request, and all at hand: nothing to wait for or to share
        turn = self._turns.setdefault(job.request, asyncio.Lock())
        async with turn:
            current = self._current.get(job.request)
            if current is not None:
                return current
            made = await self._make(job)
            if isinstance(made, Rendered):
                self._current[job.request] = made
            return made

    async def _make(self, job: Job) -> Rendered | Again | Blocked | Refused:
        content = await self._content(job)
        if not isinstance(content, Content):
            return content
        sender, reply_to = (
            self._senders.find(content.sender, job.username),
            self._senders.find_reply_to(content.reply_to),
        )
        if isinstance(sender, str):
            return Refused(PROVIDER, "sender", sender)
        if isinstance(reply_to, str):
            return Refused(PROVIDER, "reply_to", reply_to)
        files: list[File] = []
        for attachment in job.attachments:
            data = await self._attachments.fetch(job.request, attachment)
            if not isinstance(data, bytes):
                return data
            files.append(File(attachment.filename, attachment.type, data))
        mail = MailContent(content.subject, content.text, content.html, files, self._feedback_of(job), reply_to)
        unsubscribe = self._unsubscribe_of(content, job)
        if _octets(mail) <= INLINE_OCTETS:
            return self._render(mail, sender, job, unsubscribe)
        # A thread's own result would live on in a cycle of futures until the collector comes by: megabytes of it.
        made: list[Rendered] = []
        await asyncio.to_thread(lambda: made.append(self._render(mail, sender, job, unsubscribe)))
        return made.pop()

    def _feedback_of(self, job: Job) -> str:
        """Name whose mail it is and of which category: Gmail counts complaints by each, where there are enough of them.

        The user goes by a hash: whoever reads the mail must not read who sent it.
        """
        if self._feedback_id is None:
            return ""
        user = hashlib.sha256((job.user_id or job.username).encode()).hexdigest()[:12]
        return f"{user}:{job.category}:imsg:{self._feedback_id}"

    def _unsubscribe_of(self, content: Content, job: Job) -> Callable[[str], bytes] | None:
        """Give marketing its unsubscribe headers, where people can reach us; notices and codes have none."""
        if self._make_unsubscribe_headers is None or job.category is not Category.MARKETING:
            return None
        return self._make_unsubscribe_headers(content.sender or "", job.category.value)

    def _render(
        self, mail: MailContent, sender: Sender, job: Job, unsubscribe: Callable[[str], bytes] | None
    ) -> Rendered:
        return render(
            mail,
            sender,
            job.request,
            job.accepted_at,
            self._begin_signing,
            unsubscribe=unsubscribe,
            sign_name=self._sign_name,
        )

    async def _content(self, job: Job) -> Content | Again | Blocked | Refused:
        try:
            if job.content_at is None:
                return Content.model_validate(job.content)
            body = await self._attachments.fetch(job.request, job.content_at)
            return Content.model_validate_json(body) if isinstance(body, bytes) else body
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part) for part in problem["loc"]) or "content"
            return Refused(PROVIDER, "content", f"{where}: {problem['msg']}; a mail is {{subject, text, html?}}.")


def _octets(mail: MailContent) -> int:
    return len(mail.text) + len(mail.html or "") + sum(len(file.data) for file in mail.files)
