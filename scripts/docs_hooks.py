"""What the documents' site changes: links that are right in the repository alone, and how its search cuts Chinese."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.exceptions import PluginError

_CUTS = {
    # Its loop ends before the last character, so that 退订 is searched as 退.
    ";o<t.length;o++)t.slice(s,o)in e&&": ";o<=t.length;o++)t.slice(s,o)in e&&",
    # It gives up at a character that begins no word of the site, and leaves out a single one at the end.
    "n=new Uint16Array(t.length);": "n=new Uint16Array(t.length).fill(1);",
    "n[a]&&a<t.length-1&&": "n[a]&&",
}
"""What Material's search does to cut a query into the words of its index, and what it should do."""

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


def on_post_build(*, config: Any, **_: Any) -> None:  # noqa: ANN401  MkDocs' own types
    """Mend how the search cuts a Chinese query. Raises PluginError where Material's search has changed."""
    (worker,) = Path(config.site_dir).glob("assets/javascripts/workers/search.*.min.js")
    program = worker.read_text()
    for wrong, right in _CUTS.items():
        if program.count(wrong) != 1:
            raise PluginError(f"{worker.name} no longer has {wrong!r}: see whether the search finds Chinese without it")
        program = program.replace(wrong, right)
    worker.write_text(program)
