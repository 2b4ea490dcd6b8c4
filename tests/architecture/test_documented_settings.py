"""`imsg config check` accepts every setting that a document shows, without a warning."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imsg.command import app
from imsg_runtime.unknown_settings import NAMES

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("docs/*.md", "README*.md", "*/README.md", ".env.example", "docker-compose.yml", "deploy/*.yml")


def read_documents() -> Iterator[Path]:
    """Yield what describes settings; decisions of before (docs/adr) may name what is no more."""
    for pattern in DOCUMENTS:
        yield from sorted(ROOT.glob(pattern))


def read_blocks() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each TOML block of imsg.toml."""
    for path in read_documents():
        text = path.read_text()
        for found in re.finditer(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            first = re.search(r"^\[+(\w+)", found[1], re.MULTILINE)
            if first and first[1] in NAMES:
                yield f"{path.name}:{text.count(chr(10), 0, found.start()) + 1}", found[1]


def read_variables(path: Path) -> set[str]:
    """List the variables that a document names; `…__REST` goes with the one before it."""
    found, last = set[str](), ""
    for name in re.findall(
        r"(?<![A-Z0-9_$])(IMSG_[A-Z0-9_]*[A-Z0-9]\b(?![*_…])|…__[A-Z0-9_]*[A-Z0-9]\b)", path.read_text()
    ):
        last = last.rpartition("__")[0] + name[1:] if name.startswith("…") else name
        found.add(last)
    return found


BLOCKS = dict(read_blocks())
DESCRIPTIONS = sorted((ROOT / "sender-sms/src/imsg_sms/http_providers").glob("*.toml"))
NAMED = {path.relative_to(ROOT).as_posix(): names for path in read_documents() if (names := read_variables(path))}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start from a folder in which nothing is set."""
    monkeypatch.chdir(tmp_path)


def check(exit_code: int = 0) -> str:
    """Run `imsg config check`; return what it says."""
    done = CliRunner().invoke(app, ["config", "check"])
    assert done.exit_code == exit_code, done.output
    return done.output


@pytest.mark.parametrize("place", BLOCKS)
def test_a_block_of_a_document_holds_no_unknown_setting(tmp_path: Path, place: str) -> None:
    (tmp_path / "imsg.toml").write_text(BLOCKS[place])
    assert check() == ""


@pytest.mark.parametrize("path", DESCRIPTIONS, ids=lambda path: path.stem)
def test_a_description_that_comes_with_imsg_may_be_copied_into_the_settings(tmp_path: Path, path: Path) -> None:
    table = "sms.accounts.copied"
    copied = re.sub(r"^(\[+)", rf"\1{table}.", path.read_text(), flags=re.MULTILINE)
    (tmp_path / "imsg.toml").write_text(f"[{table}]\n{copied}")
    assert check() == ""


@pytest.mark.parametrize("name", NAMED)
def test_every_variable_that_a_document_names_is_known(tmp_path: Path, name: str) -> None:
    (tmp_path / ".env").write_text("".join(f"{variable}=x\n" for variable in sorted(NAMED[name] - {"IMSG_CONFIG"})))
    assert check() == ""


def test_a_misspelt_setting_is_still_reported(tmp_path: Path) -> None:
    (tmp_path / "imsg.toml").write_text('[sms.accounts.http.computed.sign]\nof = "a"\nbi = "md5"\nas = "hex"\n')
    (tmp_path / ".env").write_text("IMSG_WECHAT__ACCOUNTS__MAIN__TEMPLATE=x\nIMSG_WECHAT__ACCOUNTS__MAIN__TEMPLAT=x\n")
    assert re.findall(r"nothing reads (\w+)", check(exit_code=1)) == [
        "IMSG_SMS__ACCOUNTS__HTTP__COMPUTED__SIGN__BI",
        "IMSG_WECHAT__ACCOUNTS__MAIN__TEMPLAT",
    ]
