"""What the documents' site changes in its pages: links that are right in the repository and lead nowhere there."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:  # noqa: ANN401  MkDocs' own types
    """Show a link out of the documents, to the code say, as its text; lead one to a Chinese page to the page's name.

    The site finds the language by itself. A heading of an English page is none of its Chinese twin, so such a link
    leads to the page alone.
    """
    folder = PurePosixPath(page.file.src_uri).parent
    is_chinese = config.theme["language"] == "zh"

    def rewrite(match: re.Match[str]) -> str:
        text, target = match[1], match[2]
        path, _, anchor = target.partition("#")
        parts: list[str] = []
        for part in (folder / path).parts:
            if part == ".." and not parts:
                return text  # out of the documents
            parts = parts[:-1] if part == ".." else [*parts, part]
        if is_chinese and path.endswith(".md") and not path.endswith(".zh.md"):
            twin = Path(config.docs_dir, *parts).with_suffix(".zh.md")
            anchor = "" if twin.exists() else anchor
        path = re.sub(r"\.zh\.md$", ".md", path)
        return f"[{text}]({path}{f'#{anchor}' if anchor else ''})"

    return _LINK.sub(rewrite, markdown)
