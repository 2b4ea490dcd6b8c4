"""The verbs of `imsg`, and the modules that implement them."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from imsg import (
    callbacks,
    channels,
    dead_letters,
    dkim,
    erasures,
    groups,
    keys,
    prices,
    providers,
    replies,
    reports,
    resends,
    rights,
    scheduled,
    secrets,
    senders,
    suppressions,
    systemd,
    templates,
    users,
    verbs,
    wechat,
    windows,
)
from imsg.api import language
from imsg.durations import read_duration
from imsg.findings import Translate
from imsg.help_texts import translate
from imsg.loading import loading
from imsg.output import complain, print_line
from imsg.trace import trace
from imsg_contract.version import VERSION
from imsg_runtime.lines import fill
from imsg_runtime.logs import configure
from imsg_runtime.settings import Common, StartError, load

app = typer.Typer(
    name="imsg",
    help="iMSG: one call sends a message by e-mail, SMS or WeChat.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(verbs.login)
app.command()(verbs.send)
app.command()(verbs.query)
app.command()(trace)
app.command()(scheduled.cancel)
app.command()(scheduled.move)
app.command()(scheduled.release)
app.command()(replies.replies)
app.command()(resends.resend)
app.add_typer(erasures.app, name="erase")
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")
app.add_typer(channels.app, name="channels")
app.add_typer(callbacks.app, name="callbacks")
app.add_typer(providers.app, name="providers")
app.add_typer(senders.app, name="senders")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(groups.app, name="groups")
app.add_typer(suppressions.app, name="suppressions")
app.add_typer(templates.app, name="templates")
app.add_typer(prices.app, name="prices")
app.add_typer(windows.app, name="windows")
app.add_typer(windows.holidays, name="holidays")
app.add_typer(reports.app, name="reports")
app.add_typer(wechat.app, name="wechat")
app.add_typer(dkim.app, name="dkim")
config = typer.Typer(help="Settings: check.", no_args_is_help=True)
app.add_typer(config, name="config")


def _print_version(value: bool) -> None:  # noqa: FBT001  typer's way of a flag
    if value:
        print_line(f"imsg {VERSION}")
        raise typer.Exit


@app.callback()
def group(
    *,
    shows_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Show the version with --version."""
    del shows_version


def load_services() -> AbstractContextManager[None]:
    """Open the context in which all services are loaded; a small machine takes seconds for that."""
    return loading((lambda: complain("loading ...")) if sys.stderr.isatty() else None)


@app.command()
def up(*, console: Annotated[bool, typer.Option(help="Serve the web page, at / of the same port.")] = True) -> None:
    """Run all services here, in one process, until Ctrl-C."""
    with loading():  # its banner is the first that it says
        from imsg.up import main as run  # noqa: PLC0415  only the verbs of the server pay for loading every service

    raise typer.Exit(run(with_console=console))


@app.command()
def doctor(  # noqa: PLR0917  typer reads the options from here
    part: Annotated[
        Literal["mail"] | None, typer.Argument(help="mail: whether receivers accept mail from your domain.")
    ] = None,
    url: verbs.Url = None,
    domain: Annotated[
        str | None, typer.Option(help="For mail: another domain than the sender's.", show_default=False)
    ] = None,
    selector: Annotated[list[str] | None, typer.Option(help="For mail: another selector of DKIM. Repeatable.")] = None,
    dns: Annotated[
        str | None, typer.Option(help="For mail: the DNS server to ask, ADDRESS or ADDRESS#PORT.", show_default=False)
    ] = None,
    lang: Annotated[
        Literal["zh", "en"] | None, typer.Option(help="For mail: the language; default: this shell's.")
    ] = None,
) -> None:
    """Show every setting in force and its source; check broker, Redis, database, channels and callbacks.

    `imsg doctor mail` looks up SPF, DKIM, DMARC, MX and PTR of the sender's domain, and says what QQ, 163 and
    Gmail do with its mail.
    """
    if part == "mail":
        with load_services():
            from imsg.doctor.mail import main as examine_mail  # noqa: PLC0415  as above

        raise typer.Exit(examine_mail(domain, lang, dns, selector or []))
    with load_services():
        from imsg.doctor.main import main as examine  # noqa: PLC0415  as above

    raise typer.Exit(examine(url))


@app.command()
def status(url: verbs.Url = None) -> None:
    """Show what runs: stores, channels, queues, providers, disk, backup; the worst first, with the next step.

    The exit code is 1 where something has to be done.
    """
    with load_services():
        from imsg.status import main as examine  # noqa: PLC0415  as above

    raise typer.Exit(examine(url))


@config.command("check")
def check_config() -> None:
    """Print settings that no service reads, such as misspelt ones; the exit code is 1 where there are any."""
    with load_services():
        from imsg import all_in_one  # noqa: PLC0415  as above
        from imsg_runtime import unknown_settings  # noqa: PLC0415

    found = list(unknown_settings.find(all_in_one.MODELS))
    for unknown in found:
        complain(unknown.line)
    raise typer.Exit(1 if found else 0)


@app.command()
def backup(target: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")]) -> None:
    """Copy the data folder (IMSG_DATA_DIR) while iMSG runs; the copy is a data folder too."""
    from imsg.backup import back_up  # noqa: PLC0415  as above

    for line in back_up(target):
        print_line(line)
    print_line(fill("{0} is a copy of the data folder; iMSG started on it continues from this moment.", target))


@app.command("export")
def export_data(
    target: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    wait: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the messages in queues may take: 30s, 10m or 2h.")
    ] = "10m",
) -> None:
    """Send what waits in queues, then copy all that iMSG keeps here, for `imsg import` (iMSG must not run)."""
    with load_services():
        from imsg.export import export  # noqa: PLC0415  as above

    export(target, read_duration(wait), complain)
    text = Translate(language())
    print_line(
        text(
            f"{target} 已导出。导入前请勿再启动这里的 iMSG。\n"
            f"新环境需要 {target}/secrets 中的密钥：token_key、erasure_key、secret_key，必须原样沿用。",
            f"{target} is the export. Do not start iMSG here again.\n"
            f"The new installation needs the keys in {target}/secrets as they are: token_key, erasure_key, secret_key.",
        )
    )


@app.command("import")
def import_data(
    source: Annotated[Path, typer.Argument(help="The folder that `imsg export` made.")],
    url: Annotated[str, typer.Argument(help="The database: {service} is the service, any other {NAME} a secret.")],
    folder: Annotated[Path, typer.Argument(help="The folder of the secrets that the URL names, one file each.")],
) -> None:
    """Copy an export into the empty databases of several services, and compare; run it again if it was interrupted."""
    with load_services():
        from imsg.importing import import_export  # noqa: PLC0415  as above

    text = Translate(language())
    for done in import_export(source, url, folder):
        rows = f"{done.rows:,}"
        zh, en = (
            ("早先已导入", "was imported before") if done.was_there else ("已导入，核对一致", "imported, and equal")
        )
        print_line(text(f"{done.service}：{rows} 行，{zh}。", f"{done.service}: {rows} rows, {en}."))


@app.command("install-service")
def install_service(
    root: Annotated[
        Path, typer.Option(help="Write the files below this folder, for an image, and start nothing.")
    ] = Path("/"),
) -> None:
    """Run iMSG as a systemd service: a hardened unit, a user, a data folder and /etc/imsg/imsg.toml."""
    for line in systemd.install(root):
        print_line(line)


@app.command("secrets")
def make_secrets(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder that holds what must last, one file each.")
    ],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="More secrets to derive, such as the sandbox's.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--derive",
            metavar="TO",
            help="Write the secrets of all services and stores into this folder: derived from FOLDER's root_key, "
            "except those that have a file in FOLDER.",
            show_default=False,
        ),
    ] = None,
    group: Annotated[int | None, typer.Option(help="Numeric id of a group that may read FOLDER.")] = None,
) -> None:
    """Create the secrets that are missing; existing ones stay."""
    made = secrets.make_missing(folder, secrets.KEPT, group)
    print_line(
        fill("{0}: made {1}.", folder, ", ".join(made)) if made else fill("{0}: every secret exists already.", folder)
    )
    if to is not None:
        secrets.write_all(folder, to, more or ())


@app.command("rights")
def write_rights(
    server: Annotated[Literal["redis", "rabbitmq"], typer.Argument(help="For which server.")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Where `imsg secrets … --derive FOLDER` wrote the passwords; or a file that this verb printed.",
        ),
    ],
    vhost: Annotated[str, typer.Option(help="RabbitMQ's virtual host.")] = "/",
    *,
    apply: Annotated[
        bool,
        typer.Option(
            "--apply", help="Set them at the server that runs, as the user of IMSG_REDIS_URL or IMSG_BROKER_URL."
        ),
    ] = False,
) -> None:
    """Print the users of all services with their rights: Redis' ACL file, or RabbitMQ's definitions."""
    if source.is_file():
        text = source.read_text()
    else:
        text = rights.acl(source) if server == "redis" else rights.definitions(source, vhost)
    if not apply:
        print(text, end="")
        return
    from imsg import store_users  # noqa: PLC0415  as above

    if server == "redis":
        asyncio.run(store_users.give_at_redis(load(Common).redis_url, text))
    else:
        asyncio.run(store_users.give_at_rabbitmq(load(Common).broker_url, text))


@app.command("upgrade-check")
def check_upgrade(
    url: Annotated[
        str | None,
        typer.Argument(
            help="For several services, the database: {service} is the service, any other {NAME} a secret.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[Path, typer.Argument(help="The folder of the secrets that the URL names, one file each.")] = Path(
        "/run/imsg"
    ),
    copy: Annotated[
        Path | None,
        typer.Option("--backup", help="The newest backup, where iMSG makes none itself.", show_default=False),
    ] = None,
) -> None:
    """List what to do before an upgrade to this version, the most urgent first; changes nothing."""
    with load_services():
        from imsg.upgrade_check import main as examine  # noqa: PLC0415  as above

    raise typer.Exit(examine(url, folder, copy, Translate(language())))


@app.command("migrate")
def migrate(
    url: Annotated[str, typer.Argument(help="The database: {service} is the service, any other {NAME} a secret.")],
    folder: Annotated[Path, typer.Argument(help="The folder of the secrets that the URL names, one file each.")],
) -> None:
    """Migrate the tables of all services to this version, before the first of them is replaced."""
    with load_services():
        from imsg.migrating import migrate_all  # noqa: PLC0415  as above

    for owner in migrate_all(url, folder):
        print_line(owner)


def main() -> None:
    """Run the verb of this process's arguments; what libraries log there below an error is left out."""
    configure("ERROR", "text")
    run(sys.argv[1:])


def run(words: Sequence[str]) -> NoReturn:
    """Run a verb in this process. Raises SystemExit with its exit code."""
    command = typer.main.get_command(app)
    if language() == "zh":
        translate(command)
    try:
        command.main(list(words), prog_name="imsg")
    except StartError as error:
        complain(error.line)
        sys.exit(2)
    sys.exit()
