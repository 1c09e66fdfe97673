# SPDX-License-Identifier: Apache-2.0
"""Runs one program, and ends it when the process that asked for it is gone.

A process of its own, run as a file by a bare interpreter: it may import the standard library only.
Standard input carries signals, one byte each, for the program; its end means that the owner is
gone, and so does another parent. The first line on standard output is the program's process id;
each further one says that the program stands still after a SIGSTOP.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

_OWNER_CHECK_S = 1.0
_GRACE_S = 5.0
_STOP_S = 5.0
_STOP_POLL_S = 0.001
_PR_SET_PDEATHSIG = 1
_CANNOT_EXECUTE = 127


def main(arguments: list[str]) -> int:
    """Run the program given after the owner's process id; return its exit status.

    A program that a signal ended gives 128 + the signal, as in a shell.
    """
    owner, command = int(arguments[0]), arguments[1:]
    # The program inherits the writing end, so that the reading end tells when it has ended.
    alive, inherited = os.pipe()
    guard = os.getpid()
    program = os.fork()
    if program == 0:
        os.set_inheritable(inherited, True)
        _become(command, guard=guard)
    os.close(inherited)
    os.write(1, b"%d\n" % program)
    _watch(program, alive=alive, owner=owner)
    _, status = os.waitpid(program, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(command: list[str], *, guard: int) -> None:
    try:
        if sys.platform == "linux":
            # The guard has one thread, so this means: when the guard dies, however it dies.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
            if os.getppid() != guard:
                os._exit(_CANNOT_EXECUTE)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        os.execv(command[0], command)  # noqa: S606 - the command is the package's own
    except OSError as exc:
        os.write(2, f"cannot run {command[0]}: {exc.strerror}\n".encode())
    finally:
        os._exit(_CANNOT_EXECUTE)


def _watch(program: int, *, alive: int, owner: int) -> None:
    """Pass signals on until the program has ended."""
    while True:
        readable, _, _ = select.select([0, alive], [], [], _OWNER_CHECK_S)
        if alive in readable:
            return
        signals = os.read(0, 64) if 0 in readable else None
        # The parent tells more than the pipe, which a child forked by the owner holds open.
        if signals == b"" or os.getppid() != owner:
            _end(program, alive=alive)
            return
        for number in signals or b"":
            os.kill(program, number)
            if number == signal.SIGSTOP and _stands_still(program):
                with contextlib.suppress(BrokenPipeError):  # the owner is gone: seen in a moment
                    os.write(1, b"stopped\n")


def _stands_still(program: int) -> bool:
    """Wait until all threads of the program have stopped; False if it ended, or went on.

    A signal is on its way until a thread of the program comes to run, however long that takes.
    """
    if not hasattr(os, "waitid"):  # macOS before Python 3.13: believe it
        return True
    deadline = time.monotonic() + _STOP_S
    while time.monotonic() < deadline:
        # WNOWAIT: the status of a program that has ended is main's.
        seen = os.waitid(os.P_PID, program, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if seen is not None:
            return seen.si_code == os.CLD_STOPPED
        time.sleep(_STOP_POLL_S)
    return False


def _end(program: int, *, alive: int) -> None:
    # In this order: a stopped program takes the first one when it goes on.
    os.kill(program, signal.SIGTERM)
    os.kill(program, signal.SIGCONT)
    if not select.select([alive], [], [], _GRACE_S)[0]:
        os.kill(program, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
