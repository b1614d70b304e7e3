# SPDX-License-Identifier: Apache-2.0
"""Results of campaigns: one line for each run, in tests/results/*.tsv."""
import datetime
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(os.environ.get("CENOTE_SOURCE", "."))


def _commit():
    done = subprocess.run(["git", "-C", TOP, "rev-parse", "--short=12", "HEAD"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip()


class Results:
    """A file to which lines are added; None instead of a path: nothing is."""

    def __init__(self, path, columns):
        self.path = path
        self.columns = ("date", "commit", *columns, "command")
        self.commit = _commit() # of the beginning: it may take days

    def add(self, *values):
        if self.path is None:
            return
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
        command = " ".join([f"tests/system/{pathlib.Path(sys.argv[0]).name}", *sys.argv[1:]])
        line = (now, self.commit, *values, command)
        assert len(line) == len(self.columns), line
        new = not self.path.exists()
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("a") as out:
            if new:
                out.write("\t".join(self.columns) + "\n")
            out.write("\t".join(map(str, line)) + "\n")
