"""systemd's notification protocol (sd_notify(3)): one datagram per message to the socket that systemd names."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from time import clock_gettime_ns


class Notifier:
    """Tells systemd how the service is; does nothing where systemd did not ask to be told."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read from `environment` where to send to (NOTIFY_SOCKET) and how often to be heard of (WATCHDOG_USEC)."""
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of an abstract socket.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        pid = environment.get("WATCHDOG_PID", str(os.getpid()))
        usec = environment.get("WATCHDOG_USEC", "") if pid == str(os.getpid()) else ""
        self.watchdog_seconds = int(usec) / 1e6 if usec.isdigit() else 0.0
        """systemd ends a service that it has not heard of for so long; 0: never."""

    def ready(self, status: str) -> None:
        """The service works."""
        self._send("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`; must not name a patient."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """There was progress, or nothing to do."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` ends it."""
        # Not time.monotonic(): systemd compares with CLOCK_MONOTONIC in microseconds.
        self._send("RELOADING=1", f"MONOTONIC_USEC={clock_gettime_ns(1) // 1000}")

    def stopping(self, status: str) -> None:
        """The service is on its way out."""
        self._send("STOPPING=1", f"STATUS={status}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        message = "\n".join(" ".join(line.splitlines()) for line in lines).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(1.0)
                channel.sendto(message, self._address)
        except OSError:
            return  # systemd is being restarted: it asks again, or its watchdog answers
