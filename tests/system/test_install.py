#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Cenote as people install it: into a prefix that is then moved; the examples are built against it
by pkg-config and by the CMake package, with the shared and the static library, and run."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from pool import BIN, SANITIZED, Pool

SOURCE = pathlib.Path(os.environ.get("CENOTE_SOURCE", ".")).resolve()
EXAMPLES = SOURCE / "doc/examples"
OUTPUT = {
    "put_get": "put: success\nput again: the key is already there\nget: hello, pool\nremoved\n",
    "batch": "success: 4 of 4 blocks came back, 64 pieces of 8192 bytes each\n",
    "layerwise": "saved 32 layers\nloaded 32 layers\n",
    "list": "".join(f"{524288:12}  example/block-{n}\n" for n in range(4))
            + "4 keys, 2097152 bytes\n",
    "prefix": '0 of 6 blocks are known: "You are a helpful poet. Write a poem about rivers."\n'
              '4 of 6 blocks are known: "You are a helpful poet. Write a tale about wells."\n',
    "async": "32 blocks were put and fetched in the background\n",
    "policy": "pinned: no, to live: 60 min\n",
    "view": "the sum of the numbers below 262144 is 34359607296\n",
}
FLAGS = ["-Wall", "-Wextra", "-Werror"] + ([f"-fsanitize={SANITIZED}"] if SANITIZED else [])

sys.path.insert(0, str(SOURCE / "doc/man"))
import generate
import headers
import options


def run(*command, **keywords):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          check=False, **keywords)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="cenote-test-")
        folder = pathlib.Path(cls.temporary.name)
        run("cmake", "--install", BIN.parent, "--prefix", folder / "first")
        cls.prefix = folder / "moved"
        (folder / "first").rename(cls.prefix)
        cls.folder = folder
        cls.lib = next(cls.prefix.rglob("libcenote.a")).parent

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def pkg_config(self, *arguments):
        environment = {**os.environ, "PKG_CONFIG_PATH": str(self.lib / "pkgconfig")}
        return run("pkg-config", *arguments, "cenote", env=environment).split()

    def check_examples(self, folder):
        """In the order of OUTPUT, against a fresh pool: list shows what batch left."""
        self.assertEqual(set(OUTPUT), {path.stem for path in EXAMPLES.glob("*.c")})
        with Pool() as pool:
            for name, expected in OUTPUT.items():
                with self.subTest(name):
                    self.assertEqual(run(folder / name, env=pool.environment(), timeout=60),
                                     expected)

    def build_with_cc(self, name, flags):
        folder = self.folder / name
        folder.mkdir()
        for source in EXAMPLES.glob("*.c"):
            run("cc", "-O1", *FLAGS, source, "-o", folder / source.stem, *flags)
        return folder

    def build_with_cmake(self, library):
        folder = self.folder / library.replace("::", "-")
        run("cmake", "-S", EXAMPLES, "-B", folder, f"-DCMAKE_PREFIX_PATH={self.prefix}",
            f"-DCENOTE_LIBRARY={library}", f"-DCMAKE_C_FLAGS={' '.join(FLAGS)}")
        run("cmake", "--build", folder)
        return folder

    def test_pkg_config_shared(self):
        flags = self.pkg_config("--cflags", "--libs")
        self.assertIn(f"-I{self.prefix / 'include'}",
                      [f"-I{os.path.normpath(f[2:])}" for f in flags if f.startswith("-I")])
        self.check_examples(self.build_with_cc("shared", flags + [f"-Wl,-rpath,{self.lib}"]))

    def test_pkg_config_static(self):
        flags = self.pkg_config("--static", "--cflags", "--libs")
        flags = ["-l:libcenote.a" if flag == "-lcenote" else flag for flag in flags]
        folder = self.build_with_cc("static", flags)
        self.assertNotIn("libcenote", run("readelf", "-d", folder / "list"))
        self.check_examples(folder)

    def test_cmake_shared(self):
        folder = self.build_with_cmake("cenote::cenote")
        self.assertIn("libcenote.so.1", run("readelf", "-d", folder / "list"))
        self.check_examples(folder)

    def test_cmake_static(self):
        folder = self.build_with_cmake("cenote::static")
        self.assertNotIn("libcenote", run("readelf", "-d", folder / "list"))
        self.check_examples(folder)

    def test_the_package_has_a_version(self):
        version = self.pkg_config("--modversion")[0]
        for program in ("cenote", "cenoted", "cenote-bench"):
            self.assertEqual(run(self.prefix / "bin" / program, "--version"),
                             f"{program} {version}\n")

    def test_nothing_knows_the_prefix(self):
        for pattern in ("*.pc", "*.cmake"):
            for path in self.lib.rglob(pattern):
                self.assertNotIn(str(self.folder), path.read_text())
                self.assertNotIn(str(SOURCE), path.read_text())
        for path in [*(self.prefix / "bin").iterdir(), self.lib / "libcenote.so"]:
            self.assertNotRegex(run("readelf", "-d", path), "RPATH|RUNPATH")

    def test_only_what_belongs_there(self):
        found = {path.name for path in self.prefix.rglob("*") if not path.is_dir()}
        version = self.pkg_config("--modversion")[0]
        found -= set(generate.pages(headers.read_tree(SOURCE))) | set(options.PAGES.values())
        found.remove(options.FILE_PAGE)
        found -= {name for name in found if name.startswith("cenote-") and name.endswith(".cmake")}
        self.assertEqual(found, {"cenoted", "cenote", "cenote-bench", "libcenote.a", "libcenote.so",
                                 "libcenote.so.1", f"libcenote.so.1.{version}", "cenote.pc",
                                 options.EXAMPLE.name,
                                 *(path.name for path in SOURCE.glob("include/cenote/*.h"))})

    def test_pages(self):
        self.assertEqual(options.differing(BIN), [], "run doc/man/options.py build/bin")
        if not shutil.which("man"):
            return
        pages = sorted(self.prefix.glob("share/man/man*/*"))
        self.assertGreaterEqual(len(pages), 19)
        for page in pages:
            with self.subTest(page.name):
                done = subprocess.run(["man", "--warnings", "-l", page], text=True, check=False,
                                      capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn("SEE ALSO", done.stdout)


if __name__ == "__main__":
    unittest.main()
