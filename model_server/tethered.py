"""Run a command that stops with its parent: `python tethered.py PARENT_PID COMMAND [ARGUMENT ...]`.

Linux sends the command SIGTERM when the parent exits for any reason, so a killed launcher leaves no server behind.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have died before the line above took effect.
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])
