"""The committed OpenAPI document and the one of `imsg up`. As a command it writes the document, and who may do what."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from imsg_testing.deployment import Deployment, running

DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.json"

PERMISSIONS = Path(__file__).parents[3] / "console" / "src" / "imsg_console" / "permissions.json"

RENEW = "make openapi"


def read_served(deployment: Deployment) -> str:
    """Return the document that is served, formatted for people and for diffs. Raises AssertionError for an error."""
    document: dict[str, Any] = deployment.call("GET", "/openapi.json")
    assert "paths" in document, document
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def write_permissions(document: str) -> str:
    """Return the roles of each operation of v2, a line each, as the console reads them."""
    roles = {
        f"{verb.upper()} {path.removeprefix('/api/v2')}": operation["x-imsg-roles"]
        for path, verbs in json.loads(document)["paths"].items()
        for verb, operation in verbs.items()
        if path.startswith("/api/v2/") and "x-imsg-roles" in operation
    }
    lines = (f"  {json.dumps(name)}: {json.dumps(roles[name])}" for name in sorted(roles))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    """Write the document that an `imsg up` of its own serves."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as deployment:
        document = read_served(deployment)
    DOCUMENT.write_text(document, encoding="utf-8")
    PERMISSIONS.write_text(write_permissions(document), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
