# SPDX-License-Identifier: Apache-2.0
"""No fork while a client connects for the first time, and a word if the resolver hangs after one.

A client's threads call getaddrinfo(), which holds a lock of the C library meanwhile (glibc's
check_pf.c). A child of fork gets that lock as it was, and there is nobody in it to let go of it:
none of the child's clients would ever find a broker. Daemons send and then fork, so a fork waits
until what was just begun is over. Clients that lose their brokers connect again at any time; a
fork that falls into those microseconds makes such a child, too, and it can only say so.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections import deque

from kafka_notify import fork
from kafka_notify.native import socket, threading, time

LOG = logging.getLogger(__name__)

_CONNECTING_S = 1.0  # at most that a fork waits, counted from when the client was made
_ANSWER_S = 2.0


class _Clients:
    """The newest clients of this process, and whether it was forked since it made one."""

    def __init__(self) -> None:
        # Whether it is over, and when it began; threads append while another forks.
        self._connecting: deque[tuple[weakref.ref[threading.Event], float]] = deque(maxlen=32)
        self._was_forked = False

    def connects(self, over: threading.Event) -> None:
        """Note that a client is made; ``over`` is set once it has met a broker, or failed to.

        A client that is gone takes ``over`` with it.
        """
        if self._was_forked:
            self._was_forked = False
            _try_resolver()
        self._connecting.append((weakref.ref(over), time.monotonic()))

    def wait(self) -> None:
        for over, began_s in list(self._connecting):
            if (event := over()) is not None:
                event.wait(max(0.0, began_s + _CONNECTING_S - time.monotonic()))

    def after_fork_in_child(self) -> None:
        self._connecting.clear()
        self._was_forked = True


_clients = _Clients()
connects = _clients.connects
fork.register(_clients)
fork.register_wait(_clients.wait)


def _try_resolver() -> None:
    # In a thread of its own, as the answer may never come; it does not keep the process.
    thread = threading.Thread(target=_resolve, name="kafka-notify-resolver", daemon=True)
    thread.start()
    thread.join(_ANSWER_S)
    if thread.is_alive():
        LOG.error(
            "Process %d cannot reach Kafka: it was forked while a thread of its parent was in the "
            "C library's resolver, which hangs in this process since then (getaddrinfo). Start it "
            "anew; fork before the parent uses its transport if this happens often",
            os.getpid(),
        )


def _resolve() -> None:
    socket.getaddrinfo("127.0.0.1", 9092, flags=socket.AI_ADDRCONFIG)
