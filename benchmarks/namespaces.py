"""Hosts on one machine: network namespaces on a bridge, each with a hostname and a home of its own.

The bridge is in a namespace, too, so that the machine's own network is left as it is. Only root may make them.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import UserError

NET = "10.77.0"
PROGRAMS = ("ip", "nsenter", "unshare")


@dataclass(frozen=True)
class Place:
    """A host, or what joins them.

    Attributes:
        name: Its hostname.
        namespace: Of its network.
        address: By which the others reach it.
    """

    name: str
    namespace: str
    address: str

    def within(self, *command: str) -> tuple[str, ...]:
        """The same command, run there."""
        named = 'echo "$0" > /proc/sys/kernel/hostname && exec "$@"'
        inside = ("nsenter", f"--net=/run/netns/{self.namespace}", "unshare", "--uts")
        return *inside, "sh", "-c", named, self.name, *command


def lacking() -> str:
    """What this machine lacks for hosts, in words; empty where nothing is known to lack."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "root, who alone may make network namespaces"
    return ", ".join(f"the program {name}" for name in PROGRAMS if shutil.which(name) is None)


@contextmanager
def joined(*names: str) -> Iterator[tuple[Place, list[Place]]]:
    """Yield what joins them, at an address of its own, and new hosts; nothing of them is left at the end.

    Processes are left as they are, and keep a namespace until they end: whoever starts some ends them before.

    Raises:
        UserError: They cannot be made here.
    """
    switch = Place("switch", f"cohobate-{os.getpid()}-switch", f"{NET}.1")
    hosts = [
        Place(name, f"cohobate-{os.getpid()}-{name}", f"{NET}.{number}") for number, name in enumerate(names, start=11)
    ]
    try:
        for place in (switch, *hosts):
            _ip("netns", "add", place.namespace)
            _ip("-n", place.namespace, "link", "set", "lo", "up")
        _ip("-n", switch.namespace, "link", "add", "switch0", "type", "bridge")
        _ip("-n", switch.namespace, "addr", "add", f"{switch.address}/24", "dev", "switch0")
        _ip("-n", switch.namespace, "link", "set", "switch0", "up")
        for number, host in enumerate(hosts):
            plug = f"plug{number}"
            peer = ("peer", "name", "eth0", "netns", host.namespace)
            _ip("-n", switch.namespace, "link", "add", plug, "type", "veth", *peer)
            _ip("-n", switch.namespace, "link", "set", plug, "master", "switch0", "up")
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
            _ip("-n", host.namespace, "link", "set", "eth0", "up")
            # It leads nowhere; Ray asks by which address it would leave.
            _ip("-n", host.namespace, "route", "add", "default", "via", switch.address)
        yield switch, hosts
    finally:
        for place in (*hosts, switch):
            if Path("/run/netns", place.namespace).exists():
                with suppress(UserError):
                    _ip("netns", "del", place.namespace)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"`ip {' '.join(arguments)}` failed, by which hosts are made here: {done.stderr.strip()}")
