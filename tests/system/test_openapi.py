#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""doc/openapi.yaml is valid, says a public validator from the Python package index, in a virtual
environment that is thrown away. Without the index it is skipped."""
import os
import pathlib
import subprocess
import sys
import tempfile

from pool import check, skip

SOURCE = pathlib.Path(os.environ.get("CENOTE_SOURCE", ".")).resolve()
DOCUMENT = SOURCE / "doc/openapi.yaml"
VALIDATOR = "openapi-spec-validator==0.7.1"


def run(*command, **keywords):
    return subprocess.run(command, capture_output=True, text=True, check=False, **keywords)


def main():
    with tempfile.TemporaryDirectory(prefix="cenote-test-") as folder:
        python = pathlib.Path(folder, "bin/python")
        made = run(sys.executable, "-m", "venv", "--without-pip", folder)
        if made.returncode != 0:
            skip(f"no virtual environment: {made.stdout}{made.stderr}")
        got = run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet",
                  "--disable-pip-version-check", "--retries=1", "--timeout=10", "--no-compile",
                  VALIDATOR)
        if got.returncode != 0:
            skip(f"{VALIDATOR} can't be had: {got.stderr[-500:]}")
        done = run(python, "-m", "openapi_spec_validator", DOCUMENT)
        print(done.stdout, done.stderr, flush=True)
        check(done.returncode == 0, "the document is not valid")
        broken = pathlib.Path(folder, "broken.yaml")
        text = DOCUMENT.read_text(encoding="utf-8")
        broken.write_text(text.replace("in: path", "in: nowhere", 1), encoding="utf-8")
        check(run(python, "-m", "openapi_spec_validator", broken).returncode != 0,
              "the validator takes anything")


if __name__ == "__main__":
    main()
