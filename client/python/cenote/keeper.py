# SPDX-License-Identifier: Apache-2.0
"""Keeps the daemon of a cenote.local() pool for as long as the process that started it lives.

    python keeper.py DIRECTORY COMMAND...

Its standard input is a pipe of which that process has the other end: when it closes, or dies in any
way, the daemon is stopped and the directory removed. Run by its path, without the package.
"""
import ctypes
import os
import shutil
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 10


def main(directory, command):
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN) # of a terminal: the pipe tells
    libc = ctypes.CDLL(None)
    with open(os.path.join(directory, "log"), "wb") as log:
        daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log,
                                  preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
    os.close(1) # the daemon's alone: who reads it learns of its end
    os.read(0, 1)
    daemon.terminate()
    try:
        daemon.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
