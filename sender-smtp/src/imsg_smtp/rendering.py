"""Renders a request once for all of its chunks that are sent at the same time: fetch, check and render."""

import asyncio
import hashlib
from collections.abc import Callable
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, ValidationError

from imsg_contract.results import Again, Blocked, Refused
from imsg_contract.wire import Category, Job
from imsg_delivery.attachment_client import AttachmentClient
from imsg_smtp.mime import BeginSigning, File, MailContent, Rendering, SignName, render
from imsg_smtp.replies import PROVIDER
from imsg_smtp.senders import Sender, Senders

INLINE_OCTETS = 64 * 1024
"""The size up to which rendering is faster than a switch to a thread; a larger mail would block the loop."""


MakeUnsubscribeHeaders = Callable[[str, str], Callable[[str], bytes]]
"""Sender's name (empty: the default), category → a function that returns the unsubscribe headers of an address."""


class Content(BaseModel):
    """The content of a mail in the API."""

    model_config = ConfigDict(strict=True)

    subject: str
    text: str = ""
    html: str | None = None
    sender: str | None = None
    """A sender's name in the settings; `reply_to` likewise."""
    reply_to: str | None = None


class Files(list[File]):
    """A request's attachments: unlike a tuple it can be referred to weakly."""


class Renderings:
    """Renders requests; chunks of a request that are in flight at the same time share one rendering and its memory.

    By a template each recipient has a rendering; these share the attachments, while one of them is in use.
    """

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
        self._current: WeakValueDictionary[tuple[str, str], Rendering] = WeakValueDictionary()
        self._files: WeakValueDictionary[str, Files] = WeakValueDictionary()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def render(self, job: Job) -> Rendering | Again | Blocked | Refused:
        """Return the rendering of a job's request, or why there is none."""
        if job.chunk is None and job.content_at is None and not job.attachments:
            return await self._render_job(job)  # the whole request with its content: no other chunk shares it
        lock = self._locks.setdefault(job.request, asyncio.Lock())
        async with lock:
            key = job.request, repr(job.content)  # by a template recipients have words of their own
            current = self._current.get(key)
            if current is not None:
                return current
            rendering = await self._render_job(job)
            if isinstance(rendering, Rendering):
                self._current[key] = rendering
            return rendering

    async def _render_job(self, job: Job) -> Rendering | Again | Blocked | Refused:
        content = await self._fetch_content(job)
        if not isinstance(content, Content):
            return content
        sender, reply_to = (
            self._senders.find(content.sender, job.username),
            self._senders.find_reply_to(content.reply_to, content.sender),
        )
        if isinstance(sender, str):
            return Refused(PROVIDER, "sender", sender)
        if isinstance(reply_to, str):
            return Refused(PROVIDER, "reply_to", reply_to)
        files = await self._fetch_files(job)
        if not isinstance(files, Files):
            return files
        mail = MailContent(content.subject, content.text, content.html, files, self._make_feedback_id(job), reply_to)
        unsubscribe = self._choose_unsubscribe_headers(content, job)
        if _count_octets(mail) <= INLINE_OCTETS:
            return self._render(mail, sender, job, unsubscribe)
        # A thread's return value stays in a reference cycle of futures until the garbage collector runs: megabytes.
        renderings: list[Rendering] = []
        await asyncio.to_thread(lambda: renderings.append(self._render(mail, sender, job, unsubscribe)))
        return renderings.pop()

    async def _fetch_files(self, job: Job) -> Files | Again | Blocked | Refused:
        if (files := self._files.get(job.request)) is not None:
            return files
        files = Files()
        for attachment in job.attachments:
            data = await self._attachments.fetch(job.request, attachment)
            if not isinstance(data, bytes):
                return data
            files.append(File(attachment.filename, attachment.type, data))
        if files:
            self._files[job.request] = files
        return files

    def _make_feedback_id(self, job: Job) -> str:
        """Return Gmail's Feedback-ID: Gmail counts complaints by each of its fields. Empty where it is not set.

        The user is hashed, so that the recipient does not see the username.
        """
        if self._feedback_id is None:
            return ""
        user = hashlib.sha256((job.user_id or job.username).encode()).hexdigest()[:12]
        return f"{user}:{job.category}:imsg:{self._feedback_id}"

    def _choose_unsubscribe_headers(self, content: Content, job: Job) -> Callable[[str], bytes] | None:
        """Return what writes the unsubscribe headers of marketing; None for notices and codes, or without a URL."""
        if self._make_unsubscribe_headers is None or job.category is not Category.MARKETING:
            return None
        return self._make_unsubscribe_headers(content.sender or "", job.category.value)

    def _render(
        self, mail: MailContent, sender: Sender, job: Job, unsubscribe: Callable[[str], bytes] | None
    ) -> Rendering:
        return render(
            mail,
            sender,
            job.request,
            job.released_at or job.accepted_at,
            self._begin_signing,
            unsubscribe=unsubscribe,
            sign_name=self._sign_name,
        )

    async def _fetch_content(self, job: Job) -> Content | Again | Blocked | Refused:
        try:
            if job.content_at is None:
                return Content.model_validate(job.content)
            body = await self._attachments.fetch(job.request, job.content_at)
            return Content.model_validate_json(body) if isinstance(body, bytes) else body
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part) for part in problem["loc"]) or "content"
            return Refused(PROVIDER, "content", f"{where}: {problem['msg']}; a mail is {{subject, text, html?}}.")


def _count_octets(mail: MailContent) -> int:
    return len(mail.text) + len(mail.html or "") + sum(len(file.data) for file in mail.files)
