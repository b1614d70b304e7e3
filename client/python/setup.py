#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the wheel. CMake makes the module and the daemon, here or, with CENOTE_BUILD, in a build
folder that is there already; setuptools only packs."""
import os
import pathlib
import re
import shutil
import subprocess

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError: # before setuptools 70.1
    from wheel.bdist_wheel import bdist_wheel

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parents[1]
PACKAGES = ["cenote", "cenote.adapters", "cenote.compat"]

def version():
    text = (TREE / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(r"project\(cenote VERSION ([\d.]+)", text).group(1)

def built(folder):
    """Builds what is compiled; the folder in which it is then."""
    if "CENOTE_BUILD" in os.environ:
        return pathlib.Path(os.environ["CENOTE_BUILD"])
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cmake", "-S", TREE, "-B", folder, "-G", "Ninja", "-DCENOTE_TESTS=OFF"],
                   check=True)
    subprocess.run(["cmake", "--build", folder, "--target", "python"], check=True)
    return folder

class Build(build_py):
    """Python's files, the module, and the daemon for cenote.local()."""

    def run(self):
        super().run()
        source = built(pathlib.Path(self.get_finalized_command("build").build_temp).resolve())
        target = pathlib.Path(self.build_lib).resolve() / "cenote"
        (target / "bin").mkdir(parents=True, exist_ok=True)
        for name, where in (("_cenote.abi3.so", source / "python/cenote"),
                            ("bin/cenoted", source)):
            shutil.copy2(where / name, target / name)
            subprocess.run(["strip", "--strip-unneeded", target / name], check=True)

class Wheel(bdist_wheel):
    """One wheel for Python 3.11 and all later ones."""

    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False
        self.py_limited_api = "cp311"

class Compiled(Distribution):
    """Has an extension, though not one of setuptools' making."""

    def has_ext_modules(self):
        return True

setup(
    name="cenote",
    version=version(),
    description="A pool of donated memory with a key/value store on top",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=PACKAGES,
    package_data={"cenote": ["py.typed", "_cenote.pyi"]},
    entry_points={"vllm.general_plugins": [
        "cenote_ascend = cenote.adapters.ascend_plugin:register"]},
    cmdclass={"build_py": Build, "bdist_wheel": Wheel},
    distclass=Compiled,
    zip_safe=False,
)
