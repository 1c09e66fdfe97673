# SPDX-License-Identifier: Apache-2.0
"""Under eventlet: what our real threads log is written by a green thread.

logging's locks are green there. Two threads of the operating system that meet at one wait for each
other for ever, and the service with them.
"""

from __future__ import annotations

import atexit
import logging
from collections import deque

from kafka_notify import fork
from kafka_notify.native import threading
from kafka_notify.oslo.waiting import GreenBell

_LOGGER = "kafka_notify"  # all of ours are below it
_KEPT = 10_000  # lines of a process whose hub is busy; older ones go
_LOOK_S = 1.0


class LogRelay(logging.Handler):
    """The one handler of our loggers: passes each line on to those above, in the hub's thread."""

    def __init__(self) -> None:
        super().__init__()
        self._hub_thread = threading.get_ident()
        self._records: deque[logging.LogRecord] = deque(maxlen=_KEPT)
        self._bell = GreenBell()
        self._hub: object = None
        self._ended = False
        self._above = logging.getLogger(_LOGGER).parent or logging.getLogger()

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Have a real lock, which real threads may wait for."""
        self.lock = threading.RLock()

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line on, or leave it to the green thread. Never waits."""
        if self._ended or threading.get_ident() == self._hub_thread:
            self._above.callHandlers(record)
        else:
            self._records.append(record)
            self._bell.ring()

    def pass_on(self) -> None:
        """Write what real threads have left."""
        while self._records:
            self._above.callHandlers(self._records.popleft())

    def end(self) -> None:
        """Write what is left, and from now on whatever comes in the thread that it comes in.

        At the end of the process no hub runs any more, and transports have their last words.
        """
        self._ended = True
        self.pass_on()

    def keep_running(self) -> None:
        """Have a green thread in the hub of this thread; a fork may have made a new hub."""
        import eventlet
        from eventlet import hubs

        hub = hubs.get_hub()
        if hub is not self._hub and threading.get_ident() == self._hub_thread:
            self._hub = hub
            eventlet.spawn(self._run)

    def _run(self) -> None:
        while True:
            self._bell.silence()
            self.pass_on()
            self._bell.wait(_LOOK_S)

    def after_fork_in_child(self) -> None:
        """Have a lock and a bell that the parent does not share."""
        self.createLock()
        self._bell = GreenBell()


def relay_logs() -> None:
    """Have our lines written by a green thread of the calling thread's hub. Cheap to repeat."""
    logger = logging.getLogger(_LOGGER)
    for handler in logger.handlers:
        if isinstance(handler, LogRelay):
            handler.keep_running()
            return
    relay = LogRelay()
    logger.addHandler(relay)
    logger.propagate = False
    fork.register(relay)
    atexit.register(relay.end)
    relay.keep_running()
