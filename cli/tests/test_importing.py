"""What `imsg import` refuses before it touches a database."""

import json
from pathlib import Path

import pytest

from imsg.export import MANIFEST, list_migrations
from imsg.importing import import_export
from imsg_contract.version import VERSION
from imsg_runtime.settings import StartError

OURS = {"version": VERSION, "migrations": list_migrations()}
OTHERS = {"version": "0.9", "migrations": {**list_migrations(), "history": "0000"}}
URL = "postgresql://imsg:x@127.0.0.1:9/{service}"


@pytest.mark.parametrize(
    ("manifest", "url", "said"),
    [
        (None, URL, "is no export"),
        (OTHERS, URL, r"of iMSG 0\.9, .*history 0000"),
        (OURS, "postgresql://imsg:x@127.0.0.1:9/all", r"\{service\}"),
        (OURS, "postgresql://imsg:{none}@h/{service}", "secret .*none"),
        (OURS, "sqlite:///{service}.db", "is for PostgreSQL"),
        (OURS, URL, r"auth\.db is missing"),
    ],
)
def test_a_wrong_import_is_refused_with_its_reason(
    tmp_path: Path, manifest: dict[str, object] | None, url: str, said: str
) -> None:
    if manifest is not None:
        (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(StartError, match=said):
        list(import_export(tmp_path, url, tmp_path))
