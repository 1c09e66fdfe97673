# SPDX-License-Identifier: Apache-2.0
"""A stage: a clone of DevStack, this checkout as its plug-in, and a user ``stack`` with sudo.

It is a namespace of its own of processes and mounts. Nothing on it sees a process of the machine
or changes a file outside of its folder; whatever runs on it ends with it. The network is the
machine's. systemd, its journal and RabbitMQ are stand-ins (folder ``stand-ins``), sudo is real.
"""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
USER = "stack"
_UID = 64999
# Of the checkout, what a plug-in's git clone would hold as far as it is needed here.
_PARTS = (
    "devstack",
    "kafka_notify",
    "setup.cfg",
    "setup.py",
    "pyproject.toml",
    "README.rst",
    "LICENSE",
)
SERVICES = ("keystone", "glance-api", "cinder", "neutron", "nova", "nova-cpu", "nova_cell1")


def missing(devstack: str) -> str:
    """Return what a stage cannot be without and is not here, or nothing."""
    if not devstack:
        return "DEVSTACK does not name a clone of openstack/devstack"
    if not Path(devstack, "stack.sh").is_file():
        return f"DEVSTACK={devstack} holds no stack.sh"
    if os.geteuid() != 0:
        return "only root can make namespaces"
    if not Path("/etc/systemd/system").is_dir():
        return "this machine has no systemd, whose folder of units a stage needs"
    tools = ("unshare", "nsenter", "setpriv", "sudo", "ss", "lsb_release", "curl")
    for tool in (*tools, "systemd-analyze"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    try:
        subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return f"no namespaces here: {error}"
    return ""


def _passed_on() -> list[str]:
    """Return what pip needs to find its index."""
    return [
        f"{name}={value}"
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "SSL_CERT_")) or name.lower().endswith("_proxy")
    ]


@dataclass
class Stage:
    """One machine to run stack.sh on; ``open`` before and ``close`` after.

    Attributes:
        folder: Where everything lies; removed by ``close``.
        devstack: The clone, which is copied.
        jars: Those of a Kafka; the stage has them in its folder ``jars``.
        plugin: The name after enable_plugin.
    """

    folder: Path
    devstack: Path
    jars: Path
    plugin: str = "kafka-notify"
    _init: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def dest(self) -> Path:
        return self.folder / "opt-stack"

    def open(self) -> None:
        """Lay the files, and start the namespace."""
        # For the user stack to find its way.
        self.folder.chmod(0o755)
        top = self.folder / "devstack"
        shutil.copytree(self.devstack, top, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        # tempest only
        shutil.rmtree(top / "extras.d", ignore_errors=True)
        shutil.copy(HERE / "phases.bash", top)
        shutil.copytree(HERE / "stand-ins", self.folder / "stand-ins")
        checkout = self.dest / self.plugin
        for part in _PARTS:
            source = CHECKOUT / part
            if source.is_dir():
                shutil.copytree(
                    source, checkout / part, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                checkout.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, checkout)
        # Like OpenStack's requirements: pip_install reads the one, pip_install_gr the other.
        requirements = self.dest / "requirements"
        requirements.mkdir()
        (requirements / "upper-constraints.txt").write_text("")
        (requirements / "global-requirements.txt").write_text("confluent-kafka!=1.4.0\n")
        for name in ("home", "etc", "units", "units/stand-in", "jars"):
            (self.folder / name).mkdir()
        self._write_accounts()
        subprocess.run(
            ["chown", "-R", f"{_UID}:{_UID}", top, self.dest, self.folder / "home"], check=True
        )
        self._init = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
             "bash", "-c", self._init_script()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        assert self._init.stdout is not None
        assert self._init.stdout.readline() == b"ready\n"

    def _write_accounts(self) -> None:
        etc = self.folder / "etc"
        for name, line in (
            ("passwd", f"{USER}:x:{_UID}:{_UID}::{self.folder}/home:/bin/bash"),
            ("group", f"{USER}:x:{_UID}:"),
            ("shadow", f"{USER}:*:19000:0:99999:7:::"),
        ):
            shutil.copy(f"/etc/{name}", etc)
            with (etc / name).open("a") as file:
                file.write(f"{line}\n")
        # What stack.sh writes to /etc/sudoers.d.
        (etc / "sudoers").write_text(
            f"root ALL=(ALL:ALL) ALL\n{USER} ALL=(root) NOPASSWD:ALL\n"
            f"Defaults:{USER} "
            "secure_path=/usr/local/sbin:/sbin:/usr/sbin:/usr/bin:/bin:/usr/local/bin\n"
        )
        (etc / "sudoers").chmod(0o440)

    def _init_script(self) -> str:
        mounts = {
            **{f"etc/{name}": f"/etc/{name}" for name in ("passwd", "group", "shadow", "sudoers")},
            "units": "/etc/systemd/system",
        }
        lines = ["set -e"]
        lines += [
            f"mount --bind '{self.folder}/{ours}' {theirs}" for ours, theirs in mounts.items()
        ]
        lines += [
            f"mount --bind '{self.folder}/stand-ins' /usr/local/sbin",
            # They may lie where only root can look.
            f"mount --bind '{self.jars}' '{self.folder}/jars'",
            "echo ready",
            # bash as the first process of the namespace takes up the ends of orphans. It reads
            # until the test has closed the pipe, or has been killed; then all of the stage ends.
            "while true; do read -r -t 1 || (( $? > 128 )) || exit 0; done",
        ]
        return "\n".join(lines)

    def close(self) -> None:
        """End everything on the stage."""
        if self._init is not None:
            self._init.kill()
            self._init.wait(timeout=30)
            for pipe in (self._init.stdin, self._init.stdout):
                assert pipe is not None
                pipe.close()
        shutil.rmtree(self.folder)

    def command(self, *command: str, user: str = USER) -> list[str]:
        """Return what runs the command on the stage, as the user that runs stack.sh."""
        assert self._init is not None
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text()
        return [
            "nsenter", "--target", children.split()[0], "--mount", "--pid", "--",
            "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups",
            "env", "-i", f"HOME={self.folder}/home", f"USER={user}",
            "PATH=/usr/local/bin:/usr/bin:/bin", *_passed_on(), *command,
        ]  # fmt: skip

    def run(self, *command: str, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
        """Run a command on the stage and wait for its end."""
        return subprocess.run(
            self.command(*command),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def local_conf(self, **settings: str) -> None:
        """Write local.conf; ``commands`` are lines that set nothing, such as disable_service."""
        lines = [
            "[[local|localrc]]",
            f"DEST={self.dest}",
            "DATA_DIR=$DEST/data",
            "LOGDIR=$DEST/logs",
            "HOST_IP=127.0.0.1",
            "ADMIN_PASSWORD=secret",
            "DATABASE_PASSWORD=secret",
            "RABBIT_PASSWORD=rabbitpw",
            "SERVICE_PASSWORD=secret",
            "OFFLINE=True",
            # The machine may be busy with other tests.
            "KAFKA_START_TIMEOUT=900",
            f"enable_plugin {self.plugin} file://{self.folder}/nowhere",
            *settings.pop("commands", "").splitlines(),
            *(f"{name}={shlex.quote(value)}" for name, value in settings.items()),
        ]
        (self.folder / "devstack/local.conf").write_text("\n".join(lines) + "\n")

    def phases(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the plug-in's phases of stack, unstack or clean."""
        return self.run("bash", f"{self.folder}/devstack/phases.bash", script, *arguments)

    def succeed(self, script: str, *arguments: str) -> str:
        """Do the same, and fail if it does not end with 0."""
        done = self.phases(script, *arguments)
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    @property
    def conf_files(self) -> dict[str, Path]:
        """The services' configuration files, by their names without the suffix."""
        return {name: self.dest / "etc" / f"{name}.conf" for name in SERVICES}

    def urls(self) -> dict[str, tuple[str, str]]:
        """Return (RPC, notifications) of each of the services' files."""
        found = {}
        for name, path in self.conf_files.items():
            conf = configparser.RawConfigParser(default_section="none")
            conf.read(path)
            found[name] = (
                conf["DEFAULT"]["transport_url"],
                conf["oslo_messaging_notifications"]["transport_url"],
            )
        return found

    def pid(self) -> int | None:
        """Return the broker's process id on the stage, while it runs."""
        if self.run("sudo", "systemctl", "is-active", "devstack@kafka.service").returncode:
            return None
        return int((self.folder / "units/stand-in/devstack@kafka.service.pid").read_text())
