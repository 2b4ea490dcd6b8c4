"""`imsg up`: everything in one process, from a bare folder to the last line on Ctrl-C."""

import asyncio
import contextlib
import math
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import uvloop

from imsg import all_in_one, banner, data_folder, machine, tombstones
from imsg.all_in_one import AllInOne, RuntimeConfig, Settings
from imsg.backup_schedule import BackupSchedule
from imsg.phrases import translate
from imsg.tls import CertificateFiles
from imsg.valkey import Valkey, ValkeyDied
from imsg_runtime import unknown_settings
from imsg_runtime.heartbeat import Heartbeat
from imsg_runtime.lines import fill
from imsg_runtime.logs import HeldLines, configure
from imsg_runtime.masking import mask_line
from imsg_runtime.settings import StartError, load, variable
from imsg_web.bodies import InboundLimits
from imsg_web.clients import Clients
from imsg_web.hosts import HostCheck, Hosts
from imsg_web.server import TlsPort, listen, serve
from imsg_web.service import tune_garbage_collector

READY_TIMEOUT_S = 30.0
"""How long the parts may take to get ready before a message."""

WAITS_S = 2.0
WAITS_BELOW = 0.05
"""Part of a processor: a start that uses less for WAITS_S waits, as for a database, and shows a message."""


def main(*, with_console: bool = True) -> int:
    """Run until a signal or until a part dies; return the exit code."""
    os.umask(0o077)  # the data folder is private to this user
    heartbeat = Heartbeat.from_environment(os.environ)
    lines = HeldLines(sys.stderr)
    try:
        settings = load(Settings)
        configure(settings.log_level, settings.log_format, lines)
        for unknown in unknown_settings.find(all_in_one.MODELS):
            _complain(unknown.line)
        return uvloop.run(run(settings, heartbeat, lines, with_console=with_console))
    except StartError as error:
        _complain(error.line)
        return 2
    except KeyboardInterrupt:  # before it serves, or a second one while it closes
        return 130
    finally:
        lines.release()


@dataclass(frozen=True, slots=True)
class _Ports:
    plain: socket.socket
    tls: TlsPort | None
    certificate: CertificateFiles | None


async def run(settings: Settings, heartbeat: Heartbeat, lines: HeldLines, *, with_console: bool = True) -> int:
    """Bind the ports, lock the data folder, start Valkey if it is embedded, open the services, and serve.

    The log's lines follow the banner: on a busy machine, a start may lose and find again what it has just opened. A
    start that waits for a store prints them at once.
    """
    with _open_ports(settings) as ports:
        async with heartbeat.run(), AsyncExitStack() as stack:
            lock = await stack.enter_async_context(data_folder.hold(settings.data_dir))
            server = None if settings.redis_url else Valkey(settings.data_dir, lock)
            backups = BackupSchedule.of(settings, server.url if server else "")
            tombstones.copy_newer(settings.data_dir)
            config = all_in_one.prepare(settings, settings.data_dir, server.url if server else settings.redis_url)
            everything = all_in_one.make(config, with_console=with_console)
            inbound_limits = InboundLimits(
                Clients(settings.trusted_proxies), connections_per_network=settings.connections_per_address
            )
            for part in everything.parts:
                part.heartbeat, part.inbound_limits = heartbeat, inbound_limits
            everything.report(lambda: machine.examine(settings))
            stack.callback(asyncio.create_task(_release_while_waiting(lines)).cancel)
            if server is not None:
                await stack.enter_async_context(server.running())
            await stack.enter_async_context(everything.running())
            if ports.tls is not None and ports.certificate is not None:
                everything.watch(ports.certificate.follow(ports.tls.context), "certificate")
            if backups is not None:
                everything.watch(backups.run(), "backups")
            tune_garbage_collector()
            return await _serve(ports, inbound_limits, config, everything, server, lines=lines)


@contextlib.contextmanager
def _open_ports(settings: Settings) -> Iterator[_Ports]:
    """Bind the port, and that of HTTPS if there is a certificate, while the context is open. Raises StartError."""
    tls = settings.tls
    with contextlib.closing(listen(settings.host, settings.port)) as plain:
        plain.listen()  # who connects while it starts waits for it, as senders that ask the sandbox behind this port do
        if tls.certificate is None:
            yield _Ports(plain, None, None)
            return
        if not settings.public_url.startswith("https://"):
            raise StartError(
                "{0} needs {1}, the URL by which people reach iMSG, such as https://imsg.example.com.",
                variable("tls", "certificate"),
                variable("public_url"),
            )
        files = CertificateFiles(tls.certificate, tls.key)
        context = files.open()
        with contextlib.closing(listen(tls.host, tls.port)) as sock:
            yield _Ports(plain, TlsPort(sock, context), files)


async def _serve(
    ports: _Ports,
    inbound_limits: InboundLimits,
    config: RuntimeConfig,
    everything: AllInOne,
    server: Valkey | None,
    *,
    lines: HeldLines,
) -> int:
    announcing: list[asyncio.Task[None]] = []
    watched = {part.name: asyncio.create_task(part.failure()) for part in everything.parts}
    if server is not None:
        watched["valkey"] = asyncio.create_task(_wait_for_death(server))

    def stop() -> None:
        for part in everything.parts:
            part.stopping.set()

    try:
        return await serve(
            HostCheck(everything.router, Hosts(config.settings), everything.router.refuse),
            ports.plain,
            inbound_limits,
            on_stop=stop,
            failure=_find_first(watched),
            on_listening=lambda: announcing.append(asyncio.create_task(_announce(config, everything, lines))),
            unready_s=0.0,  # no load balancer is before this one
            tls=ports.tls,
        )
    finally:
        for task in (*announcing, *watched.values()):
            task.cancel()


async def _announce(config: RuntimeConfig, everything: AllInOne, lines: HeldLines) -> None:
    """Print the banner as soon as every part is ready, then the log; after READY_TIMEOUT_S, name what is not ready."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while unmet := everything.router.unmet():
        if time.monotonic() > deadline:
            waiting = "; ".join(
                translate(fill("{0} waits for {1}", part, ", ".join(conditions))) for part, conditions in unmet.items()
            )
            _complain(fill("not ready yet: {0}. `imsg doctor` looks into it.", waiting))
            break
        await asyncio.sleep(0.02)
    print(banner.text(config, with_console=everything.has_console), flush=True)
    lines.release()


async def _release_while_waiting(lines: HeldLines) -> None:
    """Print the lines as soon as the start waits for something else than the processor."""
    before_s = -math.inf
    while (used_s := time.process_time()) - before_s > WAITS_S * WAITS_BELOW:
        before_s = used_s
        await asyncio.sleep(WAITS_S)
    lines.release()


async def _find_first(watched: Mapping[str, "asyncio.Task[BaseException]"]) -> BaseException:
    """Wait for the first part to die, print which and why, and return its error."""
    done, _ = await asyncio.wait(watched.values(), return_when=asyncio.FIRST_COMPLETED)
    died = next(iter(done))
    name = next(name for name, task in watched.items() if task is died)
    error = died.result()
    _complain(fill("{0} died, so everything ends: {1}", name, error or type(error).__name__))
    return error


async def _wait_for_death(server: Valkey) -> BaseException:
    try:
        await server.stay()
    except ValkeyDied as died:
        return died


def _complain(line: str) -> None:
    print(f"imsg: {mask_line(translate(line))}", file=sys.stderr, flush=True)
