/* SPDX-License-Identifier: Apache-2.0 */
/* Segments and their keys. Keys are told to clients of known sessions only, and never logged. */
#include "transport/base/log.h"
#include "transport/rdma/exporter.h"

static void free_segment(struct exporter_segment *s)
{
    rdma_region_free(s->readable);
    rdma_region_free(s->writable);
}

/* Twice: a key that lets READs through must not let a WRITE through. */
static int register_segment(const struct exporter *e, struct exporter_segment *s)
{
    const struct memory *m = &s->x.memory;
    int dmabuf_fd = m->kind == MEMORY_HOST ? -1 : m->fd;
    int status = rdma_region_make(e->devices, m->base, m->len_bytes, RDMA_ACCESS_REMOTE_READ,
                                  dmabuf_fd, true, &s->readable);
    if (status != CENOTE_OK)
        return status;
    status = rdma_region_make(e->devices, m->base, m->len_bytes, RDMA_ACCESS_REMOTE_WRITE,
                              dmabuf_fd, true, &s->writable);
    if (status != CENOTE_OK)
        rdma_region_free(s->readable);
    return status;
}

/* Under the lock. */
static int add(struct exporter *e, const struct xcopy_segment *x)
{
    struct exporter_segments *all = &e->segments;
    uint32_t count = atomic_load(&all->count);
    if (count == XCOPY_SEGMENTS_MAX) {
        log_error("rdma", "there are %u segments: no more can be served", count);
        return CENOTE_LIMIT;
    }
    struct exporter_segment *s = &all->at[count];
    *s = (struct exporter_segment){.x = *x};
    int status = register_segment(e, s);
    if (status != CENOTE_OK)
        return status;
    uint32_t pieces = rdma_region_pieces(s->readable);
    if (pieces > SETUP_KEYS_MAX - all->pieces) {
        log_error("rdma", "the segments have more than %u pieces: no more can be served",
                  SETUP_KEYS_MAX);
        free_segment(s);
        return CENOTE_NO_MEMORY;
    }
    all->pieces += pieces;
    atomic_store(&all->count, count + 1);
    return CENOTE_OK;
}

/* CENOTE_NO_MEMORY whatever it is that the devices don't like: the log says what. */
int exporter_segment_add(struct exporter *e, const struct xcopy_segment *segment)
{
    pthread_mutex_lock(&e->segments.adding);
    int status = add(e, segment);
    pthread_mutex_unlock(&e->segments.adding);
    if (status != CENOTE_OK)
        log_error(
            "rdma",
            "a segment of %llu bytes can't be served: %s; clients are sent to other transports",
            (unsigned long long)segment->memory.len_bytes, cenote_status_text(status));
    pthread_mutex_lock(&e->mail.lock);
    if (status == CENOTE_OK)
        e->mail.segment_added = true;
    else
        e->mail.withdrawn = true;
    pthread_mutex_unlock(&e->mail.lock);
    exporter_wake(e);
    return status == CENOTE_OK || status == CENOTE_LIMIT ? status : CENOTE_NO_MEMORY;
}

void exporter_segments_free(struct exporter *e)
{
    for (uint32_t i = 0; i < atomic_load(&e->segments.count); i++)
        free_segment(&e->segments.at[i]);
}

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
