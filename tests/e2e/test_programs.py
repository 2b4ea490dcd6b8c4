"""The Python programs of the READMEs run as written."""

import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from openpyxl import Workbook

from imsg_testing.command_line import VERB_TIMEOUT_S
from imsg_testing.deployed import ROOT
from imsg_testing.deployment import Deployment

pytestmark = pytest.mark.xdist_group("stories of users")

PAGES = ("README.md", "README.zh-CN.md", "clients/python/README.md", "clients/python/README.zh-CN.md")

PEOPLE = ("13800138000", "13900139000")


@pytest.mark.parametrize("page", PAGES)
def test_a_program_of_a_readme_sends(deployment: Deployment, tmp_path: Path, page: str) -> None:
    (program,) = (block for block in read_programs(page) if "with Client(" in block)
    name = deployment.new_user(email=f"wang{secrets.token_hex(4)}@example.com")
    (tmp_path / "纪要.pdf").write_bytes(b"%PDF-1.7")

    said = run(deployment, program.replace("王芳", name), tmp_path)

    recipients = program.count("@example.com") + program.count("王芳")
    assert re.search(rf"\bsent\W+{recipients}\b", said), said


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("clients/")])
def test_a_program_of_a_readme_sends_to_the_people_of_a_sheet(
    deployment: Deployment, tmp_path: Path, page: str
) -> None:
    (program,) = (block for block in read_programs(page) if "read_recipients" in block)
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (("姓名", "手机号"), ("张三", PEOPLE[0]), ("李四", PEOPLE[1])):
        sheet.append(row)
    book.save(tmp_path / "客户.xlsx")
    opened = 'from imsg_client import Client\nimsg = Client("http://localhost:8000", key="imsg_live_…")\n'

    said = run(deployment, f"{opened}{program}    print(batch)\n", tmp_path)

    assert all(number in said for number in PEOPLE), said


def read_programs(page: str) -> list[str]:
    """Return the Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def run(deployment: Deployment, program: str, folder: Path) -> str:
    """Run a program at the deployment, with a key of its own; return what it prints."""
    key = deployment.new_key("send:smtp", "send:sms", "query")
    text = re.sub(r"https?://(?:localhost:8000|imsg\.example\.com)", deployment.url, program)
    (folder / "program.py").write_text(text.replace("imsg_live_…", key))
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, timeout=VERB_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
