#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The ten lines of C in README.md compile and do what they say."""
import os
import pathlib
import re
import subprocess

from pool import SANITIZED, Pool


def program():
    source = pathlib.Path(os.environ.get("CENOTE_SOURCE", "."))
    return re.search(r"```c\n(.*?)```", (source / "README.md").read_text(), re.S).group(1)


def compile_program(directory):
    source = pathlib.Path(os.environ.get("CENOTE_SOURCE", ".")).resolve()
    lib = pathlib.Path(os.environ.get("CENOTE_LIB", "build/lib")).resolve()
    (directory / "hello.c").write_text(program())
    command = ["cc", "-Wall", "-Werror", directory / "hello.c", f"-I{source}/include", f"-L{lib}",
               "-lcenote", f"-Wl,-rpath,{lib}", "-o", directory / "hello"]
    if SANITIZED:
        command.insert(1, f"-fsanitize={SANITIZED}")
    subprocess.run(command, check=True)
    return directory / "hello"


def main():
    with Pool() as pool:
        done = subprocess.run([compile_program(pool.dir)], env=pool.environment(),
                              capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "success: hello, pool\n", done.stdout
        assert pool.cenote("get", "greeting", "-").stdout == b"hello, pool"


if __name__ == "__main__":
    main()
