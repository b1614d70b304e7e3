/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host memory: an anonymous file (memfd) of sealed size, mapped shared, so that a process on the
 * same machine can be handed the same pages. It dies with its last mapping: a node that starts
 * again has a new file, and old mappings can't reach the new pages.
 */
#include "transport/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cenote/status.h>

#include "transport/base/log.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static int status_of_errno(void)
{
    return errno == ENOSYS ? CENOTE_NOT_SUPPORTED : CENOTE_NO_MEMORY;
}

static int host_make(uint64_t len_bytes, struct memory *out)
{
    int status = CENOTE_NO_MEMORY;
    if (len_bytes == 0 || len_bytes > INT64_MAX)
        return CENOTE_NO_MEMORY;
    int fd = memfd_create("cenote-segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        status = status_of_errno();
        log_error("memory", "memfd_create: %s", strerror(errno));
        return status;
    }
    if (ftruncate(fd, (off_t)len_bytes) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        log_error("memory", "cannot size a segment of %llu bytes: %s",
                  (unsigned long long)len_bytes, strerror(errno));
        goto close_fd;
    }
    void *base = mmap(NULL, (size_t)len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        log_error("memory", "cannot map a segment of %llu bytes: %s", (unsigned long long)len_bytes,
                  strerror(errno));
        goto close_fd;
    }
    /* Advice only: without it everything works, with more page faults or larger core files. */
    (void)madvise(base, (size_t)len_bytes, MADV_HUGEPAGE);
    (void)madvise(base, (size_t)len_bytes, MADV_DONTDUMP);
    (void)madvise(base, (size_t)len_bytes, MADV_DONTFORK);
    *out = (struct memory){.kind = MEMORY_HOST, .base = base, .len_bytes = len_bytes, .fd = fd};
    return CENOTE_OK;

close_fd:
    close(fd);
    return status;
}

/* For kernels before 5.14: reserve the pages first, so that touching them can't fail. */
static int populate_by_touch(struct memory *m, uint64_t offset, uint64_t len_bytes, long page)
{
    if (fallocate(m->fd, 0, (off_t)offset, (off_t)len_bytes) != 0)
        return CENOTE_NO_MEMORY;
    volatile const uint8_t *at = (const uint8_t *)m->base + offset;
    for (uint64_t i = 0; i < len_bytes; i += (uint64_t)page)
        (void)at[i];
    return CENOTE_OK;
}

static int host_populate(struct memory *m, uint64_t offset, uint64_t len_bytes)
{
    long page = sysconf(_SC_PAGESIZE);
    assert(offset <= m->len_bytes && len_bytes <= m->len_bytes - offset);
    uint64_t start = offset / (uint64_t)page * (uint64_t)page;
    size_t len = (size_t)(offset + len_bytes - start);
    int status = CENOTE_OK;
    if (len == 0 || madvise((uint8_t *)m->base + start, len, MADV_POPULATE_WRITE) == 0)
        return CENOTE_OK;
    if (errno == EINVAL)
        status = populate_by_touch(m, start, len, page);
    else
        status = CENOTE_NO_MEMORY;
    if (status != CENOTE_OK)
        log_error("memory", "cannot populate %zu bytes of a segment: %s", len, strerror(errno));
    return status;
}

static void host_destroy(struct memory *m)
{
    if (m->base == NULL)
        return;
    munmap(m->base, (size_t)m->len_bytes);
    close(m->fd);
    *m = (struct memory){.kind = MEMORY_HOST, .fd = -1};
}

static const struct memory_ops host_ops = {
    .name = "host",
    .kind = MEMORY_HOST,
    .make = host_make,
    .populate = host_populate,
    .destroy = host_destroy,
};

const struct memory_ops *memory_ops_of(enum memory_kind kind)
{
    return kind == MEMORY_HOST ? &host_ops : NULL;
}
