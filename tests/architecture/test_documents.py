"""What the documents say is true of the code."""

import re
from collections import Counter
from pathlib import Path

import pytest

from imsg_contract.errors import REASONS, TEXTS
from imsg_testing.fault_table_zh import translate

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh-CN.md")
CONTRIBUTING = ("CONTRIBUTING.md", "CONTRIBUTING.zh-CN.md")


def blocks(text: str) -> list[str]:
    """Return the code blocks of a document without comments, which are in its language."""
    matches = re.findall(r"^ *```(?:sh|python)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r"\s+# .*$", "", block, flags=re.MULTILINE) for block in matches]


def test_the_interface_document_holds_our_table_of_errors() -> None:
    document = (ROOT / "docs" / "interface.zh.md").read_text()
    section = document[document.index("## 6. 返回错误码列表") :]
    rows = re.findall(r"^\|\s*(\d+)\s*\|\s*(.*?)\s*\|$", section, re.MULTILINE)

    assert {int(code): text for code, text in rows} == dict(TEXTS)


def test_the_interface_document_names_our_host() -> None:
    document = (ROOT / "docs" / "interface.zh.md").read_text()

    assert re.findall(r"\d+\.\d+\.\d+\.\d+", document) == []
    assert document.count("localhost:8000") == 11


def test_every_reason_is_given_somewhere() -> None:
    """The table lists no reason without code that gives it."""
    code = "\n".join(
        path.read_text()
        for path in (*ROOT.glob("*/src/**/*.py"), *ROOT.glob("shared/*/src/**/*.py"))
        if path.parts[-2:] != ("imsg_contract", "errors.py")
    )
    words = set(re.findall(r"\w+", code))
    if "_used_up" in words:  # the window's name comes before it
        words |= {f"{word}_used_up" for word in words}

    assert {reason for reason in REASONS if reason not in words} == set()


def test_the_appendix_names_every_key_of_redis() -> None:
    """`Caller("imsg:…")` is who changed something, and `imsg:installation` what was changed: no keys."""
    code = "\n".join(
        path.read_text() for path in (*ROOT.glob("*/src/**/*.py"), *ROOT.glob("shared/*/src/**/*.py"))
        if path.parts[-4:-1] != ("tests", "src", "imsg_testing") and "imsg_bench" not in path.parts
    )  # fmt: skip
    keys = set(re.findall(r"(?<!Caller\()\"(imsg:[a-z:/-]+)", code)) - {"imsg:installation", "imsg:unknown"}
    document = (ROOT / "docs" / "architecture.md").read_text()
    appendix = document[document.index("## Appendix: Redis keys") :]

    assert len(keys) > 30
    assert {key for key in keys if f"`{key}" not in appendix} == set()


@pytest.mark.parametrize("names", [READMES, CONTRIBUTING], ids=lambda names: names[0])
def test_both_languages_of_a_first_page_hold_the_same(names: tuple[str, str]) -> None:
    english, chinese = ((ROOT / name).read_text() for name in names)

    assert blocks(english) == blocks(chinese)
    twins = re.compile(r"(docs/[\w/-]+|CONTRIBUTING)\.(?:(?:zh|zh-CN|en)\.)?(md|png)(?:#[^)]+)?")
    for pattern in (r"^#+ |^\| ", r"`(IMSG_\w+|(?:make|git|\.\w+/)[^`]+)`", r"\]\((\S+?\.md|docs/\S+)\)"):
        ours, theirs = (re.findall(pattern, twins.sub(r"\1.\2", text), re.MULTILINE) for text in (english, chinese))
        assert [our for our in ours if "README" not in our] == [their for their in theirs if "README" not in their]


@pytest.mark.parametrize("name", [*READMES, *CONTRIBUTING])
def test_every_make_command_in_a_document_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / name).read_text(), re.MULTILINE))

    assert named
    assert named <= targets


DOCUMENTS = [
    *(ROOT / name for name in (*READMES, *CONTRIBUTING, "CHANGELOG.md", "console/README.md", "bench/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


FOR_DEVELOPERS = {"glossary", "performance"}
"""The pages without a Chinese twin; the glossary has both languages in it."""


def test_every_guide_is_in_chinese_too() -> None:
    guides = {
        path.name.removesuffix(".md") for path in (ROOT / "docs").glob("*.md") if not path.name.endswith(".zh.md")
    }
    chinese = {path.name.removesuffix(".zh.md") for path in (ROOT / "docs").glob("*.zh.md")}

    assert guides - chinese == FOR_DEVELOPERS
    assert chinese <= guides


WITH_A_TWIN = sorted(
    {path.name.removesuffix(".zh.md") for path in (ROOT / "docs").glob("*.zh.md")} - {"interface", "java"}
)
"""The guides in both languages. The interface's document and that of Java are Chinese alone."""

LIKE = (
    "architecture",
    "fault-tolerance",
    "kubernetes",
    "new-channel",
    "operations",
    "promises",
    "providers",
    "rabbitmq",
    "scaling",
)
"""The guides whose twin names each thing as often."""

FOR_CHINA = {"mail", "sms", "wechat"}
"""The guides whose twin also says what to apply for at providers in China."""


@pytest.mark.parametrize("name", LIKE)
def test_both_languages_name_the_same_things(name: str) -> None:
    english, chinese = ((ROOT / "docs" / f"{name}{end}").read_text() for end in (".md", ".zh.md"))

    for pattern in (r"^#+ |^\| ", r"`[^`\n]+`", r"\]\(([^)#]+?)(?:\.zh(?:-CN)?)?(?:\.md)?(?:#[^)]*)?\)"):
        named = [Counter(re.findall(pattern, text, re.MULTILINE)) for text in (english, chinese)]
        assert named[0] - named[1] == named[1] - named[0] == Counter()


@pytest.mark.parametrize("name", WITH_A_TWIN)
def test_a_chinese_guide_has_as_much_as_the_english_one(name: str) -> None:
    english, chinese = ((ROOT / "docs" / f"{name}{end}").read_text() for end in (".md", ".zh.md"))
    for pattern in (r"^#+ ", r"^\| ", r"^```\w"):
        of_english, of_chinese = (len(re.findall(pattern, text, re.MULTILINE)) for text in (english, chinese))
        assert of_chinese == of_english or (name in FOR_CHINA and of_chinese > of_english)
    settings = {setting for setting in re.findall(r"\bIMSG_\w+", english) if not setting.endswith("_")}
    assert settings - set(re.findall(r"\bIMSG_\w+", chinese)) == set()


def test_the_faults_are_the_same_in_chinese() -> None:
    english, chinese = ((ROOT / "docs" / f"fault-tolerance{end}").read_text() for end in (".md", ".zh.md"))

    assert translate(english) == chinese


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "make test" in blocks((ROOT / "README.md").read_text())[0]
    commands = (ROOT / ".ci" / "run").read_text().splitlines()[-2:]
    assert commands == ["make test </dev/null", "exec make test-long </dev/null"]


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda path: path.stem)
def test_a_decision_is_numbered_and_short(path: Path) -> None:
    text = path.read_text()

    assert text.startswith(f"# {int(path.name[:4])}. ")
    assert len(text.splitlines()) <= 60
    for part in ("## Context", "## Decision", "## Consequences", "## Alternatives"):
        assert part in text
