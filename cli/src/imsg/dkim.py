"""`imsg dkim`: make DKIM keys."""

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imsg.output import print_line, usage
from imsg_runtime.lines import fill
from imsg_runtime.settings import variable

if TYPE_CHECKING:
    from imsg_smtp.main import DkimKey

app = typer.Typer(help="Keys that sign mail (DKIM): new.", no_args_is_help=True)

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")

DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


@app.callback()
def dkim() -> None:
    """Keys that sign mail (DKIM): new."""


@app.command()
def new(
    domain: Annotated[str, typer.Argument(help="The domain that mail comes from: the part behind the sender's @.")],
    selector: Annotated[
        str | None, typer.Option(help="The name of the keys in DNS; default: imsg and the month, such as imsg202611.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="The folder of the two private keys.")] = Path("dkim"),
) -> None:
    """Make a pair of keys for a domain, RSA and ed25519, and print what to enter in DNS and in the settings.

    To change keys: make new ones by another selector, enter their records, set them once DNS shows them, and remove
    the old records a week after the last mail signed by them.
    """
    from imsg_smtp.main import make_dkim_keys  # noqa: PLC0415  only this verb pays for loading a service

    domain = domain.lower().rstrip(".")
    if not DOMAIN.fullmatch(domain):
        raise usage(fill("{0} is not a domain; write one such as example.com, a Chinese one in its xn-- form.", domain))
    selector = selector or f"imsg{datetime.now(UTC):%Y%m}"
    if not LABEL.fullmatch(selector):
        raise usage("a selector has lower-case letters, digits and hyphens, at most 52.")
    keys = make_dkim_keys(selector)
    files = [folder.absolute() / f"{domain}.{key.selector}.pem" for key in keys]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for key, file in zip(keys, files, strict=True):
            _write(file, key.pem)
    except FileExistsError as error:
        raise usage(
            fill("{0} exists already, and its record may be in use; choose another --selector.", error.filename)
        ) from error
    except OSError as error:
        raise usage(fill("{0} can't be written: {1}.", folder, (error.strerror or str(error)).lower())) from error
    _explain(domain, keys, files)


def _explain(domain: str, keys: Sequence["DkimKey"], files: Sequence[Path]) -> None:
    """Print the DNS records and the settings of the keys."""
    print_line(fill("Made {0}; keep them readable by iMSG alone.", " and ".join(str(file) for file in files)))
    print_line("")
    print_line("1. Enter in the DNS of the domain (a host name, and a TXT record of several strings):")
    for key in keys:
        print_line("")
        print_line(fill("{0}._domainkey.{1}. IN TXT ( {2} )", key.selector, domain, key.strings))
    print_line("")
    print_line(
        "   Where a form has one field for the value, enter for "
        + ", ".join(f"{key.selector}._domainkey" for key in keys)
        + ":"
    )
    for key in keys:
        print_line("")
        print_line(key.record)
    print_line("")
    print_line("2. Once `imsg doctor mail` finds both records, set these and restart the e-mail sender:")
    print_line("")
    named = zip(("", "ED25519_"), keys, files, strict=True)
    print_line(f"{variable('smtp', 'dkim', 'domain')}={domain}")
    for prefix, key, file in named:
        print_line(f"{variable('smtp', 'dkim', prefix + 'selector')}={key.selector}")
        print_line(f"{variable('smtp', 'dkim', prefix + 'key_file')}={file}")


def _write(file: Path, pem: bytes) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(pem)
