# SPDX-License-Identifier: Apache-2.0
"""The guest's kernel and initial RAM disk, made from Debian's kernel package and kept in a cache.

The package is downloaded and unpacked, never installed. An image is a folder of the cache, named by
the kernel's version and a digest of what it is made by; its manifest holds the digests of its
files, and is written last, so that an image that was half written, or damaged, is made again.
"""
import contextlib
import fcntl
import hashlib
import json
import lzma
import os
import pathlib
import re
import shutil
import stat
import struct
import subprocess
import tempfile

import host

META_PACKAGE = "linux-image-amd64"
FIRST_PROCESS = pathlib.Path(__file__).resolve().parent / "guest" / "init"
# In the order of loading; what each needs is loaded before it.
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console", "crc32_generic",
           "ib_uverbs", "rdma_rxe", "rdma_ucm", "veth", "dummy", "virtio_net", "sch_netem")
SIGNATURE_MARK = b"~Module signature appended~\n"
SIGNATURE_INFO_BYTES = 12
MANIFEST = "manifest.json"
FILES = ("vmlinux", "initrd")
IMAGES_KEPT = 4


class Image:
    """A kernel and its initial RAM disk."""

    def __init__(self, folder):
        self.folder = folder
        self.kernel, self.initrd = (folder / name for name in FILES)


def ensure():
    """The image of this machine's kernel package, made first where the cache has none."""
    host.require_tools()
    cache = host.cache_directory()
    with _locked(cache / "image.lock"):
        package = _kernel_package()
        folder = cache / f"{package.replace(':', '')}-{_recipe_digest()}"
        if not _is_whole(folder):
            _make(package, folder)
            _forget_old_images(cache)
        os.utime(folder)
        return Image(folder)


@contextlib.contextmanager
def _locked(path):
    with open(path, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _kernel_package():
    """name=version of the newest kernel package that apt knows."""
    try:
        shown = host.output_of([host.tool("apt-cache"), "show", "--no-all-versions", META_PACKAGE])
    except host.Failed:
        shown = ""
    depends = re.search(r"^Depends: (linux-image-[\w.+-]+) \(= ([\w.+:~-]+)\)", shown, re.M)
    if not depends:
        raise host.Skip(f"apt knows no package {META_PACKAGE}: run apt-get update (on Debian)")
    return f"{depends[1]}={depends[2]}"


def _recipe_digest():
    """Of all that an image is made by, the package aside."""
    digest = hashlib.sha256()
    for path in (__file__, FIRST_PROCESS, host.tool("busybox")):
        digest.update(_digest(path).encode())
    return digest.hexdigest()[:16]


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_whole(folder):
    """Does the folder hold all that its manifest says?"""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return manifest == {name: _digest(folder / name) for name in FILES}
    except (OSError, ValueError):
        return False


def _make(package, folder):
    """Makes an image beside its place, and puts it there when it is whole."""
    with tempfile.TemporaryDirectory(prefix="making.", dir=folder.parent) as name:
        work = pathlib.Path(name)
        unpacked = _download(package, work)
        made = work / "image"
        made.mkdir()
        [boot_file] = (unpacked / "boot").glob("vmlinuz-*")
        (made / "vmlinux").write_bytes(_uncompressed_kernel(boot_file.read_bytes()))
        (made / "initrd").write_bytes(_initrd(unpacked, boot_file.name.partition("-")[2]))
        manifest = {file: _digest(made / file) for file in FILES}
        (made / MANIFEST).write_text(json.dumps(manifest))
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)


def _download(package, work):
    """Downloads and unpacks a package; returns the folder of its files."""
    try:
        host.output_of([host.tool("apt-get"), "-q", "-o", "APT::Sandbox::User=root", "download",
                        package], cwd=work)
    except host.Failed as error:
        raise host.Skip(f"the kernel package can't be downloaded: {error}") from None
    [archive] = work.glob("*.deb")
    unpacked = work / "unpacked"
    host.output_of([host.tool("dpkg-deb"), "--extract", archive, unpacked])
    return unpacked


def _uncompressed_kernel(boot_file):
    """The ELF file within a bzImage. QEMU enters it directly (PVH), which saves the seconds that
    the guest would need to uncompress itself."""
    setup_sectors = boot_file[0x1f1]
    offset, length = struct.unpack_from("<II", boot_file, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    try:
        kernel = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(boot_file[start:start + length])
    except lzma.LZMAError as error:
        raise host.Failed(f"the kernel's payload isn't xz: {error}") from None
    if not kernel.startswith(b"\x7fELF"):
        raise host.Failed("the kernel's payload isn't an ELF file")
    return kernel


def _initrd(unpacked, release):
    """The initial RAM disk: busybox, modules with the order to load them in, the first process.
    Not compressed, since the guest is slow."""
    archive = CpioArchive()
    for folder in ("bin", "modules", "dev", "proc", "sys", "lower", "upper", "system"):
        archive.add_folder(folder)
    archive.add_file("bin/busybox", pathlib.Path(host.tool("busybox")).read_bytes())
    archive.add_file("init", FIRST_PROCESS.read_bytes())
    modules = _modules_in_order(unpacked, release)
    for module in modules:
        archive.add_file(f"modules/{module.name}", _unsigned(module.read_bytes()))
    archive.add_file("modules/order", "".join(f"{m.name}\n" for m in modules).encode())
    return archive.whole()


def _modules_in_order(unpacked, release):
    host.output_of([host.tool("depmod"), "-b", unpacked, release])
    found = []
    for name in MODULES:
        shown = host.output_of([host.tool("modprobe"), "-d", unpacked, "-S", release,
                                "--show-depends", name])
        for path in re.findall(r"^insmod (\S+)", shown, re.M):
            if path not in found:
                found.append(path)
    return [pathlib.Path(path) for path in found]


def _unsigned(module):
    """A module without its signature, whose check takes the guest long. What follows it: the
    signature, a length of four bytes and some more, and a mark."""
    if not module.endswith(SIGNATURE_MARK):
        return module
    end = len(module) - len(SIGNATURE_MARK)
    [length] = struct.unpack_from(">I", module, end - 4)
    return module[:end - SIGNATURE_INFO_BYTES - length]


def _forget_old_images(cache):
    """Keeps the images that were used last."""
    images = [path.parent for path in cache.glob(f"*/{MANIFEST}")]
    images.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in images[IMAGES_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


class CpioArchive:
    """An archive in the kernel's format for initial RAM disks ("newc"): for each file a header of
    13 hexadecimal numbers, its name and its bytes, each padded to four bytes."""

    def __init__(self):
        self._parts = []
        self._files = 0

    def add_folder(self, name):
        self._add(name, stat.S_IFDIR | 0o755, b"")

    def add_file(self, name, content):
        self._add(name, stat.S_IFREG | 0o755, content)

    def whole(self):
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self._parts)

    def _add(self, name, mode, content):
        self._files += 1
        encoded = name.encode() + b"\0"
        inode, links, folder_owner, time = self._files, 1, (0, 0), 0
        devices = (0, 0, 0, 0)
        numbers = (inode, mode, *folder_owner, links, time, len(content), *devices, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % number for number in numbers)
        self._parts += [_padded(header + encoded), _padded(content)]


def _padded(part):
    return part + b"\0" * (-len(part) % 4)
