"""Checks and renders templates in a process with limits of time and memory, since users write them."""

import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from imsg_contract.templates import choose_source, write_rendered
from imsg_contract.wire import Recipient
from imsg_rendering.problems import MAX_SOURCE_CHARACTERS, Param, Problem, TemplateError
from imsg_runtime.bounded_process import BoundedProcess, Bounds, BoundsExceededError

BOUNDS = Bounds(cpu_s=2, memory_bytes=384 * 1024 * 1024, timeout_s=60.0)

ROWS_PER_CALL = 200

MAX_BYTES = 8 * MAX_SOURCE_CHARACTERS
"""Of a source as JSON; a longer one is not even parsed."""

Source = Mapping[str, Any]
"""A content whose texts are Liquid."""


class Renderer:
    """Checks and renders templates; its process is started by the first call."""

    def __init__(self) -> None:
        self._process = BoundedProcess("imsg_rendering.calls:answer", BOUNDS)

    async def __aenter__(self) -> Self:
        """Return the renderer."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End its process."""
        await self.close()

    async def close(self) -> None:
        """End its process; another call would start it again."""
        await self._process.close()

    async def inspect(self, source: Source) -> Sequence[Param]:
        """Return the parameters of a template. Raises TemplateError."""
        (reply,) = await self._call(source, "inspect")
        return [Param(**{**param, "alone_in": tuple(param["alone_in"])}) for param in reply["params"]]

    async def render(self, source: Source, rows: Sequence[Mapping[str, str]]) -> list[dict[str, Any] | Problem]:
        """Return the content of each row of params, or its problem."""
        contents: list[dict[str, Any] | Problem] = []
        for first in range(0, len(rows), ROWS_PER_CALL):
            batch = rows[first : first + ROWS_PER_CALL]
            try:
                replies = await self._call(source, "render", batch)
            except TemplateError as error:
                return [error.problem] * len(rows)
            contents += [Problem(**reply["problem"]) if "problem" in reply else reply["content"] for reply in replies]
        return contents

    async def render_one(self, source: Source, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the content for one row of params. Raises TemplateError."""
        (content,) = await self.render(source, [params])
        if isinstance(content, Problem):
            raise TemplateError(content)
        return content

    async def render_for(
        self, content: Mapping[str, Any], recipients: Sequence[Recipient]
    ) -> list[dict[str, Any] | Problem]:
        """Return each recipient's content by a template, or its problem."""
        chosen = [choose_source(content, recipient) for recipient in recipients]
        rendered: list[dict[str, Any] | Problem] = [{}] * len(chosen)
        for language in {language for language, _, _ in chosen}:
            places = [n for n, choice in enumerate(chosen) if choice[0] == language]
            contents = await self.render(chosen[places[0]][1], [chosen[n][2] for n in places])
            for n, rendered_content in zip(places, contents, strict=True):
                rendered[n] = (
                    rendered_content
                    if isinstance(rendered_content, Problem)
                    else write_rendered(content, language, rendered_content)
                )
        return rendered

    async def _call(self, source: Source, call: str, *arguments: Any) -> list[dict[str, Any]]:  # noqa: ANN401  JSON
        content = json.dumps(source).encode()
        if len(content) > MAX_BYTES:
            zh = f"模板最多 {MAX_SOURCE_CHARACTERS} 个字符"
            raise TemplateError(Problem("too_long", zh, f"a template has at most {MAX_SOURCE_CHARACTERS} characters"))
        try:
            reply = json.loads(await self._process.call(content, call, *arguments))
        except BoundsExceededError as error:
            zh, en = "处理模板所用的时间或内存超出限制，请简化", "it takes too much time or memory: make it simpler"
            raise TemplateError(Problem("limit", zh, en)) from error
        replies: list[dict[str, Any]] = reply if isinstance(reply, list) else [reply]
        if call == "inspect" and "problem" in replies[0]:
            raise TemplateError(Problem(**replies[0]["problem"]))
        return replies
