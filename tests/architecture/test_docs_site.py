"""`make docs` builds the site of the documents in both languages, with every link checked and a search for Chinese."""

import json
import subprocess

import pytest

from imsg_testing.generate import ROOT

SITE = ROOT / "dist" / "docs"

JOINT = "\u200b"
"""What the site's search is told the words of a Chinese sentence by."""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_site_has_each_page_in_both_languages_and_finds_chinese_words() -> None:
    done = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    pages = {path.relative_to(SITE) for path in SITE.rglob("*.html") if path.name != "404.html"}
    english = {page for page in pages if page.parts[0] != "zh"}
    assert len(english) > 80
    assert {page.relative_to("zh") for page in pages - english} == english

    twins = {path.name.removesuffix(".zh.md") for path in (ROOT / "docs").glob("*.zh.md")}
    for name in twins:
        assert '<html lang="zh"' in (SITE / "zh" / f"{name}.html").read_text(), name
    index = json.loads((SITE / "search" / "search_index.json").read_text())
    found = [page["location"] for page in index["docs"] if "退订" in page["text"].split(JOINT)]
    assert any(location.startswith("zh/suppressions.html") for location in found)
