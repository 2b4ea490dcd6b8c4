"""`imsg install-service`: iMSG as a hardened systemd service, with a user, a data folder and a settings file."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from imsg_runtime.lines import Line, fill
from imsg_runtime.settings import StartError

UNIT = Path("etc/systemd/system/imsg.service")
USER = Path("etc/sysusers.d/imsg.conf")
CONFIG = Path("etc/imsg/imsg.toml")
RUNS_SYSTEMD = Path("/run/systemd/system")
"""A folder that is there only while systemd runs (sd_booted(3))."""

COMMANDS = (
    ("systemd-sysusers", "/etc/sysusers.d/imsg.conf"),
    ("chgrp", "-R", "imsg", "/etc/imsg"),
    ("systemctl", "daemon-reload"),
    ("systemctl", "enable", "--now", "imsg.service"),
)
"""What makes the written files take effect."""

_USER = 'u imsg - "iMSG message gateway" /var/lib/imsg\n'

_CONFIG = """\
# The settings of iMSG: docs/settings.md lists all of them. After a change: systemctl restart imsg
data_dir = "/var/lib/imsg/data"
# host = "0.0.0.0"            # other machines reach it; the administrator's password is then in
                              # /var/lib/imsg/data/secrets/admin_password
# [smtp]
# host = "smtp.example.com"
# username = "imsg@example.com"
# password = "..."
# sender = "imsg@example.com"
"""

_UNIT = """\
[Unit]
Description=iMSG message gateway
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User=imsg
Group=imsg
WorkingDirectory=/etc/imsg
ExecStart={program} up
# The parent passes the signal on, and the embedded Valkey ends last.
KillMode=mixed
TimeoutStopSec=60
Restart=on-failure
RestartSec=2
# 2: a setting is wrong, and stays wrong.
RestartPreventExitStatus=2
StateDirectory=imsg
StateDirectoryMode=0700
UMask=0077
LimitNOFILE=65536

# Ports below 1024 are the one thing that it may do beyond any user.
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateDevices=yes
PrivateTmp=yes
RemoveIPC=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def install(root: Path) -> list[Line]:
    """Write the unit, the user and the settings below `root`; on this machine itself, start the service.

    Return the lines to show. Raises StartError.
    """
    is_this_machine = root == Path("/")
    if is_this_machine and os.geteuid() != 0:
        raise StartError("only root installs a service: repeat it with sudo.")
    program = _find_program()
    if is_this_machine:
        _require_readable(program)
    lines = [f"{root / UNIT}", f"{root / USER}"]
    _write(root / UNIT, _UNIT.format(program=program), 0o644)
    _write(root / USER, _USER, 0o644)
    if not (root / CONFIG).exists():
        _write(root / CONFIG, _CONFIG, 0o640)  # it will hold passwords
        lines.append(f"{root / CONFIG}")
    written = fill("written: {0}.", ", ".join(lines))
    if not (is_this_machine and RUNS_SYSTEMD.is_dir()):
        return [
            written,
            fill("systemd does not run here. Where it does:"),
            *(fill("  {0}", " ".join(command)) for command in COMMANDS),
        ]
    for command in COMMANDS:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603  fixed
        if done.returncode != 0:
            raise StartError("{0} failed: {1}", " ".join(command), done.stderr.strip())
    return [
        written,
        fill("iMSG runs as imsg.service: `systemctl status imsg`, `journalctl -u imsg`; its data is in /var/lib/imsg."),
        fill("Its settings are in /etc/imsg/imsg.toml; afterwards `systemctl restart imsg`."),
    ]


def _write(path: Path, text: str, mode: int) -> None:
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
    except OSError as error:
        raise StartError("{0} can't be written ({1}).", path, (error.strerror or str(error)).lower()) from error


def _find_program() -> Path:
    """Return this command's path. Raises StartError."""
    beside = Path(sys.executable).parent / "imsg"
    program = beside if beside.is_file() else shutil.which("imsg")
    if program is None:
        raise StartError("the command imsg is not on PATH; install it into /opt/imsg (docs/install.md).")
    return Path(program).absolute()


def _require_readable(program: Path) -> None:
    """Raise StartError where the user imsg could not run the program."""
    for path in (program, Path(sys.executable).resolve(), Path(__file__).resolve()):
        if not is_readable_by_all(path):
            raise StartError(
                "the service could not read {0}: install iMSG where every user may, for example\n  "
                "python3 -m venv /opt/imsg && /opt/imsg/bin/pip install imsg && /opt/imsg/bin/imsg "
                "install-service",
                path,
            )


def is_readable_by_all(path: Path) -> bool:
    """Return whether every user may read the file, outside of homes, which the unit hides."""
    if path.is_relative_to("/root") or path.is_relative_to("/home"):
        return False
    return bool(path.stat().st_mode & stat.S_IROTH) and all(
        folder.stat().st_mode & stat.S_IXOTH for folder in path.parents
    )
