"""Write the files that follow from channels, services and settings: `make generate`.

A block stands in its file between `made by make generate: NAME` and `made so far`; a few files are made as a whole.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import unasync

from imsg import rights
from imsg_channels import CHANNELS
from imsg_contract.version import VERSION
from imsg_testing import compose_blocks, dashboard, kubernetes_blocks, openapi, settings_pages
from imsg_testing.deployed import ROOT, SENDERS, Lines

CLIENT = ROOT / "clients/python/src/imsg_client"

BEGIN, END = "made by make generate: ", "made so far"


def write_version() -> Lines:
    """Write the version as pyproject.toml has it."""
    yield f'version = "{VERSION}"'


def list_scraped() -> Lines:
    """List the services that are asked for their metrics."""
    own = ("gateway", "auth", "history", "callbacks", "catalog", "scheduler", "console")
    yield f"- names: [{', '.join((*own, *SENDERS))}]"


def write_rights(headings: str = "user | configures | writes | reads | keys it publishes under | tag") -> Lines:
    """Write the users at RabbitMQ and their rights in one table."""
    yield ""
    yield f"| {headings} |"
    yield "|---|---|---|---|---|---|"
    for service, account in rights.AT_RABBIT.items():
        patterns = (account.configure, account.write, account.read, account.topics)
        shown = ("–" if pattern == "^$" else f"`{pattern}`".replace("|", "\\|") for pattern in patterns)
        tags = ", ".join(f"`{tag}`" for tag in account.tags) or "–"
        yield f"| `{rights.PREFIX}{service}` | {' | '.join(shown)} | {tags} |"
    yield ""


def write_channels() -> Lines:
    """Write the channels in one table."""
    yield ""
    yield "| method | channel | to | lives | receipts | with |"
    yield "|---|---|---|---|---|---|"
    for channel in CHANNELS:
        hours = round(channel.lifetime.total_seconds() / 3600)
        has = {
            "attachments": channel.has_attachments,
            "official accounts": channel.has_accounts,
            "templates": channel.has_templates,
            "segments": channel.segments is not None,
            "hooks": channel.has_hooks,
        }
        receipts = ", ".join(sorted(channel.receipts)) or "–"
        names = ", ".join(name for name, is_so in has.items() if is_so) or "–"
        to = f"{channel.address.label.en}{f', `{channel.contact}` of a user' if channel.contact else ''}"
        title = f"{channel.titles.en} · {channel.titles.zh}"
        yield f"| `{channel.name}` | {title} | {to} | {hours} h | {receipts} | {names} |"
    yield ""


BLOCKS: Mapping[str, Mapping[str, Callable[[], Lines]]] = {
    **compose_blocks.BLOCKS,
    **kubernetes_blocks.BLOCKS,
    "clients/python/pyproject.toml": {"version": write_version},
    "deploy/prometheus/scrape.yml": {"names": list_scraped},
    "docs/architecture.md": {"channels": write_channels},
    "docs/rabbitmq.md": {"rights": write_rights},
    "docs/rabbitmq.zh.md": {"rights": partial(write_rights, "用户 | 声明 | 写 | 读 | 可用的路由键 | 标签")},
}
"""File → its blocks, and what writes them."""


def write_synchronous_client() -> str:
    """Write the clients' synchronous library from the asynchronous one."""
    words = {"AsyncClient": "Client", "AsyncBaseTransport": "BaseTransport", "_async": "_sync", "aclose": "close"}
    rule = unasync.Rule("/_async/", "/_sync/", additional_replacements=words)
    with TemporaryDirectory() as folder:
        source, written = (Path(folder, kind, "client.py") for kind in ("_async", "_sync"))
        source.parent.mkdir()
        source.write_text((CLIENT / "_async/client.py").read_text(encoding="utf-8"), encoding="utf-8")
        unasync.unasync_files([str(source)], [rule])
        return written.read_text(encoding="utf-8")


WHOLE: Mapping[str, Callable[[], str]] = {
    "clients/python/src/imsg_client/_sync/client.py": write_synchronous_client,
    "deploy/grafana/imsg.json": dashboard.write,
    "docs/settings.md": lambda: settings_pages.write("en"),
    "docs/settings.zh.md": lambda: settings_pages.write("zh"),
    **kubernetes_blocks.WHOLE,
}
"""File → what writes it."""


def fill(text: str, blocks: Mapping[str, Callable[[], Lines]]) -> str:
    """Write a file's blocks anew. Raises ValueError where one is missing or does not end."""
    done: set[str] = set()
    written: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        written.append(line)
        if BEGIN not in line:
            continue
        name = line.partition(BEGIN)[2].split()[0]
        indent = line[: len(line) - len(line.lstrip())]
        made = list(blocks[name]())
        while made and not made[-1] and "<!--" not in line:
            made.pop()
        written += [f"{indent}{generated}" if generated else "" for generated in made]
        written.append(next(end for end in lines if END in end))
        done.add(name)
    if missing := set(blocks) - done:
        raise ValueError(f"no block for {', '.join(sorted(missing))}")
    return "\n".join(written) + "\n"


def generate() -> Iterator[tuple[Path, str]]:
    """Yield each file with its text as it should be."""
    for name, blocks in BLOCKS.items():
        yield ROOT / name, fill((ROOT / name).read_text(encoding="utf-8"), blocks)
    for name, write in WHOLE.items():
        yield ROOT / name, write()


def main() -> int:
    """Write every file anew, the OpenAPI document last."""
    for path, text in generate():
        path.write_text(text, encoding="utf-8")
    return openapi.main()


if __name__ == "__main__":
    sys.exit(main())
