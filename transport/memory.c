/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host memory: a file in memory, mapped shared, so that a process on the same machine can be handed
 * the same pages.
 *
 * An anonymous one (memfd) has a sealed size and dies with its last mapping: a node that starts
 * again has a new file, and old mappings can't reach the new pages. A named one
 * (server/memory/memdir.h) outlives its process; who may still write to it then is the affair of
 * transport/shm/keep.h.
 *
 * Huge pages come from the machine's reserve (hugetlb): mapping reserves them, so that touching
 * can't fail for want of them. The NUMA policy is set by the bare system call: it is one call on
 * one range, and the kernel keeps it with the file, so that pages which another process touches
 * first come from the same node. libnuma would add a library for it.
 */
#include "transport/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cenote/status.h>

#include "transport/base/log.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

#define NUMA_NODES_MAX 1024u
#define MASK_BITS      (8 * sizeof(unsigned long))

static bool is_hugetlb(enum memory_pages pages)
{
    return pages == MEMORY_PAGES_2M || pages == MEMORY_PAGES_1G;
}

uint64_t memory_page_bytes(enum memory_pages pages)
{
    if (pages == MEMORY_PAGES_2M)
        return UINT64_C(1) << 21;
    if (pages == MEMORY_PAGES_1G)
        return UINT64_C(1) << 30;
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t memory_huge_free(uint64_t page_bytes)
{
    char path[96];
    unsigned long long pages = 0;
    snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/hugepages-%llukB/free_hugepages",
             (unsigned long long)(page_bytes >> 10));
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%llu", &pages) != 1)
        pages = 0;
    fclose(f);
    return pages;
}

/* ---- making ---------------------------------------------------------------------------------- */

static int open_anonymous(uint64_t len_bytes, enum memory_pages pages)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    if (is_hugetlb(pages))
        flags |= MFD_HUGETLB | (unsigned)__builtin_ctzll(memory_page_bytes(pages))
                                   << MFD_HUGE_SHIFT;
    int fd = memfd_create("cenote-segment", flags);
    if (fd < 0) {
        int status = errno == ENOMEM ? CENOTE_NO_MEMORY : CENOTE_NOT_SUPPORTED;
        log_error("memory", "cannot make a file in memory%s: %s",
                  is_hugetlb(pages) ? " of huge pages" : "", strerror(errno));
        return status;
    }
    if (ftruncate(fd, (off_t)len_bytes) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    log_error("memory", "cannot size a segment of %llu bytes: %s", (unsigned long long)len_bytes,
              strerror(errno));
    close(fd);
    return CENOTE_NO_MEMORY;
}

static int map_failed(uint64_t len_bytes, enum memory_pages pages)
{
    uint64_t page = memory_page_bytes(pages);
    if (is_hugetlb(pages) && errno == ENOMEM)
        log_error("memory",
                  "a segment of %llu MiB needs %llu huge pages of %llu MiB, the machine has %llu "
                  "free ones: set some aside in "
                  "/sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages",
                  (unsigned long long)(len_bytes >> 20), (unsigned long long)(len_bytes / page),
                  (unsigned long long)(page >> 20), (unsigned long long)memory_huge_free(page),
                  (unsigned long long)(page >> 10));
    else
        log_error("memory", "cannot map a segment of %llu bytes: %s", (unsigned long long)len_bytes,
                  strerror(errno));
    return CENOTE_NO_MEMORY;
}

/* Before the first touch: a page that is there already stays where it is. */
static int bind_pages(void *base, uint64_t len_bytes, const struct memory_how *how)
{
    unsigned long mask[NUMA_NODES_MAX / MASK_BITS] = {0};
    if (!how->bound)
        return CENOTE_OK;
    if (how->numa_node >= NUMA_NODES_MAX)
        errno = EINVAL;
    else {
        mask[how->numa_node / MASK_BITS] = 1UL << how->numa_node % MASK_BITS;
        /* The kernel looks at one bit less than it is told. */
        if (syscall(SYS_mbind, base, (size_t)len_bytes, MPOL_BIND, mask, NUMA_NODES_MAX + 1, 0) ==
            0)
            return CENOTE_OK;
    }
    log_error("memory",
              "cannot bind a segment to NUMA node %u: %s "
              "(/sys/devices/system/node/has_memory lists those with memory)",
              how->numa_node, strerror(errno));
    return errno == ENOSYS ? CENOTE_NOT_SUPPORTED : CENOTE_INVALID;
}

/* Advice only: without it everything works, with more page faults or larger core files. */
static void advise(void *base, uint64_t len_bytes, enum memory_pages pages)
{
    if (!is_hugetlb(pages))
        (void)madvise(base, (size_t)len_bytes,
                      pages == MEMORY_PAGES_SMALL ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
    (void)madvise(base, (size_t)len_bytes, MADV_DONTDUMP);
    (void)madvise(base, (size_t)len_bytes, MADV_DONTFORK);
}

static int host_make(uint64_t len_bytes, const struct memory_how *how, struct memory *out)
{
    uint64_t page = memory_page_bytes(how->pages);
    if (len_bytes == 0 || len_bytes > INT64_MAX || (is_hugetlb(how->pages) && len_bytes % page)) {
        log_error("memory", "a segment can't have %llu bytes: it is made of pages of %llu",
                  (unsigned long long)len_bytes, (unsigned long long)page);
        return CENOTE_INVALID;
    }
    int fd = how->named ? how->file : open_anonymous(len_bytes, how->pages);
    if (fd < 0)
        return fd;
    int status = CENOTE_OK;
    void *base = mmap(NULL, (size_t)len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        status = map_failed(len_bytes, how->pages);
        goto close_fd;
    }
    status = bind_pages(base, len_bytes, how);
    if (status != CENOTE_OK)
        goto unmap;
    advise(base, len_bytes, how->pages);
    *out = (struct memory){.kind = MEMORY_HOST, .base = base, .len_bytes = len_bytes, .fd = fd};
    return CENOTE_OK;

unmap:
    munmap(base, (size_t)len_bytes);
close_fd:
    if (!how->named)
        close(fd);
    return status;
}

/* ---- the rest -------------------------------------------------------------------------------- */

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
