"""Tells systemd that the node is up and at work, so that a hung process is ended and started anew.

By datagrams to the socket in $NOTIFY_SOCKET (sd_notify(3)); without it, as outside of systemd, nothing happens.
"""

from __future__ import annotations

import os
import socket


def tell(state: str) -> bool:
    """Send `state`, "READY=1" or "WATCHDOG=1" say -> whether somebody was there to be told."""
    address = os.environ.get('NOTIFY_SOCKET', '')
    if not address.startswith(('/', '@')):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)  # a systemd that does not read must not hold up the executor
        try:
            sender.sendto(state.encode(), '\0' + address[1:] if address[0] == '@' else address)
        except OSError:
            return False
    return True
