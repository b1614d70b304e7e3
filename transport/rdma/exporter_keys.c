/* SPDX-License-Identifier: Apache-2.0 */
/* Keys are told to clients of known sessions only, and never logged. */
#include "transport/rdma/exporter.h"

uint32_t exporter_keys_list(struct exporter *e, unsigned device, enum rdma_role role)
{
    uint32_t count = 0, segments = atomic_load(&e->segments.count);
    for (uint32_t i = 0; i < segments; i++) {
        const struct exporter_segment *s = &e->segments.at[i];
        const struct rdma_region *r = role == RDMA_ROLE_WRITE ? s->writable : s->readable;
        for (uint32_t p = 0; p < rdma_region_pieces(r); p++) {
            struct rdma_key key;
            if (!rdma_region_key(r, device, p, &key))
                continue;
            e->keys[count++] = (struct setup_key){
                .gva = gva_add(s->x.gva, key.offset),
                .len_bytes = key.len_bytes,
                .addr = (uint64_t)(uintptr_t)s->x.memory.base + key.offset,
                .incarnation = s->x.incarnation,
                .rkey = key.rkey,
            };
        }
    }
    return count;
}
