# SPDX-License-Identifier: Apache-2.0
"""Cenote: a pool of memory donated by many machines, with a key/value store on top.

    import cenote

    with cenote.Client("unix:/run/cenote/control") as client:
        client.put("greeting", b"hello, pool")
        print(client.get("greeting"))

`Client` waits, `AsyncClient` is for asyncio, and `local()` starts a pool of one's own for tests and
notebooks. Values are immutable bytes, from none to many GiB; they lie in memory only, and a full
pool, or a node that dies, can lose them: treat it as a cache, or keep the source.
"""
from ._cenote import View
from .aio import AsyncClient
from .client import Client, Region, Writer
from .errors import *
from .errors import __all__ as _errors
from .local import LocalPool, local
from .policies import Kept, Namespace, NamespaceSettings, Pin
from .records import BATCH_MAX, Buffer, Entry, Key, Place, Range, Stat
from .version import __version__

__all__ = ["AsyncClient", "BATCH_MAX", "Buffer", "Client", "Entry", "Kept", "Key", "LocalPool",
           "Namespace", "NamespaceSettings", "Pin", "Place", "Range", "Region", "Stat", "View",
           "Writer", "__version__", "local", *_errors]
