/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "transport/base/log.h"
#include "transport/shm/file.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define BITS         64u
#define AROUND_BYTES (UINT64_C(64) << 10) /* what Linux enters around a page that is read */

int map_make(const struct shm_message *m, int descriptor, struct map *out)
{
    if (!shm_file_fits(descriptor, m->len_bytes) || !gva_valid(m->gva) ||
        m->len_bytes > GVA_END - m->gva.v) {
        log_error("shm", "a node offers a segment that is no safe file of its length");
        return CENOTE_PROTOCOL;
    }
    uint64_t granules = (m->len_bytes + MAP_GRANULE_BYTES - 1) / MAP_GRANULE_BYTES;
    _Atomic uint64_t *entered = calloc((size_t)(granules / BITS + 1), sizeof *entered);
    if (entered == NULL)
        return CENOTE_NO_MEMORY;
    void *base =
        mmap(NULL, (size_t)m->len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (base == MAP_FAILED) {
        log_error("shm", "cannot map a segment of %llu bytes: %s", (unsigned long long)m->len_bytes,
                  strerror(errno));
        goto free_bits;
    }
    /* A child must not be able to write on when the parent's death has been proven. */
    if (madvise(base, (size_t)m->len_bytes, MADV_DONTFORK) != 0)
        goto unmap;
    (void)madvise(base, (size_t)m->len_bytes, MADV_DONTDUMP);
    (void)madvise(base, (size_t)m->len_bytes, MADV_HUGEPAGE);
    *out = (struct map){.gva = m->gva, .len_bytes = m->len_bytes, .base = base, .entered = entered};
    return CENOTE_OK;

unmap:
    munmap(base, (size_t)m->len_bytes);
free_bits:
    free(entered);
    return CENOTE_NO_MEMORY;
}

void map_free(struct map *m)
{
    munmap(m->base, (size_t)m->len_bytes);
    map_abandon(m);
}

void map_abandon(struct map *m)
{
    free(m->entered);
}

uint8_t *map_at(const struct map *m, struct gva gva, uint64_t len_bytes)
{
    return gva_covers(m->gva, m->len_bytes, gva, len_bytes) ? m->base + (gva.v - m->gva.v) : NULL;
}

/*
 * One page of each AROUND_BYTES, as if it were read: the kernel then enters its neighbours too, and
 * writable ones, as a shared file in memory keeps no account of first writes. A third of the time
 * that populating all of them for writing takes. What can't be done at once, the copy's own faults
 * do.
 */
static void enter_granule(const struct map *m, uint64_t granule)
{
    uint64_t start = granule * MAP_GRANULE_BYTES, left = m->len_bytes - start;
    uint64_t len = left < MAP_GRANULE_BYTES ? left : MAP_GRANULE_BYTES;

    for (uint64_t at = start; at < start + len; at += AROUND_BYTES)
        (void)madvise(m->base + at, 1, MADV_POPULATE_READ);
}

void map_enter(struct map *m, const uint8_t *at, uint64_t len_bytes)
{
    if (len_bytes == 0)
        return;
    uint64_t first = (uint64_t)(at - m->base) / MAP_GRANULE_BYTES;
    uint64_t last = ((uint64_t)(at - m->base) + len_bytes - 1) / MAP_GRANULE_BYTES;
    for (uint64_t g = first; g <= last; g++) {
        uint64_t bit = UINT64_C(1) << g % BITS;
        uint64_t word = atomic_load_explicit(&m->entered[g / BITS], memory_order_relaxed);
        if (word == UINT64_MAX)
            g |= BITS - 1; /* the rest of the word too */
        if (word & bit)
            continue;
        enter_granule(m, g);
        atomic_fetch_or_explicit(&m->entered[g / BITS], bit, memory_order_relaxed);
    }
}
