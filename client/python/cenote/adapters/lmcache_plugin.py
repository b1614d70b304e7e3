# SPDX-License-Identifier: Apache-2.0
"""LMCache's L2 adapter of type `plugin`. Checked against LMCache 0.5.6.

    lmcache server --l2-adapter '{"type": "plugin",
        "module_path": "cenote.adapters.lmcache_plugin", "class_name": "CenoteL2Adapter",
        "adapter_params": {"meta": "unix:/run/cenote/control", "max_capacity_gb": 100}}'

The same as `native_plugin`, beneath the same wrapper of LMCache's; beyond it, LMCache tells here of
the memory that values come from and go to, which is registered: for RDMA, and for speed.

Importing this module needs LMCache.
"""
from __future__ import annotations

import typing

from lmcache.v1.distributed.l2_adapters.native_connector_l2_adapter import NativeConnectorL2Adapter

from .lmcache_native import CenoteConnector

__all__ = ["CenoteL2Adapter"]


class CenoteL2Adapter(NativeConnectorL2Adapter):
    """The class that `plugin` loads. Parameters are those of CenoteConnector, and
    `max_capacity_gb`, of LMCache's own account of what lies in the pool."""

    def __init__(self, config: dict, l1_memory_desc: typing.Any = None):
        parameters = dict(config)
        capacity_gb = parameters.pop("max_capacity_gb", 0)
        connector = CenoteConnector(**parameters)
        if l1_memory_desc is not None:
            stable = getattr(l1_memory_desc, "stable_registration_size", None)
            connector.register(l1_memory_desc.ptr, stable or l1_memory_desc.size)
        super().__init__(connector, max_capacity_gb=capacity_gb, type_name="cenote",
                         extra_status={"counters": connector.counters})
