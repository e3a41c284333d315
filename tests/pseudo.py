"""A command under a pseudo-terminal, as a person sees it."""

import os
import pty
import subprocess
import sys
from dataclasses import dataclass


@dataclass
class Seen:
    """What one command showed."""

    status: int
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.replace("\r\n", "\n").splitlines()


def on_a_terminal(
    *arguments, columns: int = 80, errors_there: bool = False, cwd=None, script=None, **environment: str
) -> Seen:
    """Run fastlr with standard output on a terminal, and standard error too if asked for (else it is dropped).

    `script` is a file of Python that is run in its place.
    """
    ours, theirs = pty.openpty()
    command = [sys.executable, *(["-m", "fastlr"] if script is None else [script]), *map(str, arguments)]
    without = ("NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING")
    inherited = {name: value for name, value in os.environ.items() if name not in without}
    settings = inherited | {"TERM": "xterm", "COLUMNS": str(columns), "PYTHONUTF8": "1"} | environment
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs if errors_there else subprocess.DEVNULL,
        env=settings,
        cwd=cwd,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux's way to say that the other side is closed
                break
            if not chunk:
                break
            shown += chunk
    os.close(ours)
    return Seen(process.returncode, shown.decode("utf-8", "backslashreplace"))
