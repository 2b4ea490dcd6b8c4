"""What the documents' site changes: what is right in the repository alone, and how its search cuts Chinese."""

import logging
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

_OTHER_LANGUAGE = re.compile(
    r"英文版(?:见 |：)\[[^\]]*\]\([^)]*\)。 ?|^\[(?:English|中文)\]\([^)]*\)(?: · |$)", re.MULTILINE
)
"""The site has a switch of languages."""

_RULES_ABOVE = re.compile(r"\A(?:---\s+)+(?=# )")
"""Lines above the title of the interface document: the navigation takes a title on top alone."""

_BLANK_BESIDE_TITLE = re.compile(r"(?<=[一-鿿，。；：、（）]) (?=\[《)|(?<=》\]\()([^)]*\)) (?=[一-鿿])")

_PRE = re.compile(r"(<pre.*?</pre>)", re.DOTALL)

_CHINESE_LINE_END = re.compile(r"(?<=[，。；：、！？）》”])\n(?=\S)|(?<=[一-鿿])\n(?=[一-鿿])")
"""A line of the source ends here: a browser would show a blank."""

_CELL_CODE = re.compile(r"(?<=<td>)(?:<code>[^<]*</code>(?:<br ?/?>)?)+")


def on_config(_config: Any, **_: Any) -> None:  # noqa: ANN401  MkDocs' own types
    """Silence jieba's log of its loading time."""
    logging.getLogger("jieba").setLevel(logging.WARNING)


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:  # noqa: ANN401  MkDocs' own types
    """Show a link out of the documents, to the code say, as its text; lead one to a Chinese page to the page's name.

    The site finds the language by itself. A heading of an English page is none of its Chinese twin, so such a link
    leads to the page alone.
    """
    folder = PurePosixPath(page.file.src_uri).parent
    docs = Path(config.docs_dir)
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
            twin = docs.joinpath(*parts).with_suffix(".zh.md")
            anchor = "" if twin.exists() else anchor
        path = re.sub(r"\.zh\.md$", ".md", path)
        if text.endswith(".md"):
            text = _find_title(docs.joinpath(*parts), is_chinese=is_chinese) or text
        return f"[{text}]({path}{f'#{anchor}' if anchor else ''})"

    for pattern in (_OTHER_LANGUAGE, _RULES_ABOVE):
        markdown = pattern.sub("", markdown)
    return _BLANK_BESIDE_TITLE.sub(r"\1", _LINK.sub(rewrite, markdown))


def _find_title(file: Path, *, is_chinese: bool) -> str | None:
    """Return the title of a page of the documents, in the language of the site where the page has it."""
    twin = Path(f"{str(file).removesuffix('.md').removesuffix('.zh')}.zh.md")
    file = twin if is_chinese and twin.exists() else file
    if not file.is_file():
        return None
    title = next((line[2:] for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("# ")), None)
    return f"《{title}》" if title and is_chinese else title


def on_page_content(html: str, *, config: Any, **_: Any) -> str:  # noqa: ANN401  MkDocs' own types
    """Return a page whose names in table cells break between parts alone, with Chinese lines joined without a blank."""
    html = _CELL_CODE.sub(lambda match: re.sub(r"(__|\.)(?=\w)", r"\1<wbr>", match[0]), html)
    if config.theme["language"] != "zh":
        return html
    return "".join(part if part.startswith("<pre") else _CHINESE_LINE_END.sub("", part) for part in _PRE.split(html))


def on_post_build(*, config: Any, **_: Any) -> None:  # noqa: ANN401  MkDocs' own types
    """Mend how the search cuts a Chinese query. Raises PluginError where Material's search has changed."""
    (worker,) = Path(config.site_dir).glob("assets/javascripts/workers/search.*.min.js")
    program = worker.read_text()
    for wrong, right in _CUTS.items():
        if program.count(wrong) != 1:
            raise PluginError(f"{worker.name} no longer has {wrong!r}: see whether the search finds Chinese without it")
        program = program.replace(wrong, right)
    worker.write_text(program)
