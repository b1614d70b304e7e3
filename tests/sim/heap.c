/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of processes that are killed. Every block begins with a header that chains it to the
 * process that asked for it; what the world asks for itself belongs to nobody. Blocks that come
 * from the C library's own functions have no header, and are known by that.
 *
 * The service's table takes 50 MB at once and touches a little of it: such blocks are kept.
 */
#include "tests/sim/heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HEADER_MAGIC UINT64_C(0x5e1f0b10c4ead3a5)
#define LARGE_BYTES  ((size_t)1 << 20)
#define LARGE_MAX    16u

struct block {
    struct block *next, *prev;
    struct process *who;
    void *raw;
    size_t size_bytes;
    uint64_t magic; /* right before the memory */
};

_Static_assert(sizeof(struct block) % 16 == 0, "memory behind a header is aligned");

struct mapping {
    struct mapping *next;
    void *at;
    size_t len_bytes;
};

static struct {
    void *raw;
    size_t size_bytes;
} large[LARGE_MAX];

void *__real_malloc(size_t size_bytes);
void __real_free(void *at);
void *__real_aligned_alloc(size_t align, size_t size_bytes);
void *__real_realloc(void *at, size_t size_bytes);
void *__real_mmap(void *at, size_t len_bytes, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t len_bytes);
void *__wrap_malloc(size_t size_bytes);
void __wrap_free(void *at);
void *__wrap_calloc(size_t count, size_t size_bytes);
void *__wrap_realloc(void *at, size_t size_bytes);
void *__wrap_aligned_alloc(size_t align, size_t size_bytes);
void *__wrap_mmap(void *at, size_t len_bytes, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t len_bytes);

static bool fails(void)
{
    return world.self != NULL && world.self->fails_in != 0 && --world.self->fails_in == 0;
}

static void *hand_out(void *raw, uint8_t *at, size_t size_bytes)
{
    struct block *b = (struct block *)(void *)(at - sizeof *b);
    struct process *p = world.self;
    *b = (struct block){.who = p, .raw = raw, .size_bytes = size_bytes, .magic = HEADER_MAGIC};
    if (p != NULL) {
        b->next = p->blocks;
        if (p->blocks != NULL)
            p->blocks->prev = b;
        p->blocks = b;
        p->blocks_count++;
    }
    return at;
}

void *__wrap_malloc(size_t size_bytes)
{
    uint8_t *raw = fails() ? NULL : __real_malloc(size_bytes + sizeof(struct block));
    return raw == NULL ? NULL : hand_out(raw, raw + sizeof(struct block), size_bytes);
}

void *__wrap_calloc(size_t count, size_t size_bytes)
{
    size_t all;
    if (__builtin_mul_overflow(count, size_bytes, &all))
        return NULL;
    void *at = __wrap_malloc(all);
    return at == NULL ? NULL : memset(at, 0, all);
}

static void *large_take(size_t size_bytes)
{
    for (unsigned i = 0; i < LARGE_MAX; i++) {
        void *raw = large[i].raw;
        if (raw == NULL || large[i].size_bytes != size_bytes)
            continue;
        large[i].raw = NULL;
        return raw;
    }
    return NULL;
}

static bool large_keep(void *raw, size_t size_bytes)
{
    for (unsigned i = 0; i < LARGE_MAX; i++) {
        if (large[i].raw != NULL)
            continue;
        large[i].raw = raw;
        large[i].size_bytes = size_bytes;
        return true;
    }
    return false;
}

void *__wrap_aligned_alloc(size_t align, size_t size_bytes)
{
    size_t head = align < sizeof(struct block) ? 64 : align;
    uint8_t *raw = size_bytes >= LARGE_BYTES ? large_take(size_bytes) : NULL;
    assert(head % align == 0 && head >= sizeof(struct block));
    if (raw == NULL && !fails())
        raw = __real_aligned_alloc(head, (size_bytes + head + head - 1) / head * head);
    return raw == NULL ? NULL : hand_out(raw, raw + head, size_bytes);
}

/* The word before a block that isn't ours is the C library's. */
__attribute__((no_sanitize_address)) static struct block *block_of(void *at)
{
    struct block *b = (struct block *)(void *)((uint8_t *)at - sizeof *b);
    return b->magic == HEADER_MAGIC ? b : NULL;
}

static void unchain(struct block *b)
{
    struct process *p = b->who;
    if (p == NULL)
        return;
    if (b->prev != NULL)
        b->prev->next = b->next;
    else
        p->blocks = b->next;
    if (b->next != NULL)
        b->next->prev = b->prev;
    p->blocks_count--;
}

static void give_back(struct block *b)
{
    b->magic = 0;
    if (b->size_bytes < LARGE_BYTES || !large_keep(b->raw, b->size_bytes))
        __real_free(b->raw);
}

void __wrap_free(void *at)
{
    int before = errno;
    struct block *b = at != NULL ? block_of(at) : NULL;
    if (b != NULL) {
        unchain(b);
        give_back(b);
    } else {
        __real_free(at);
    }
    errno = before;
}

void *__wrap_realloc(void *at, size_t size_bytes)
{
    struct block *b = at != NULL ? block_of(at) : NULL;
    if (at != NULL && b == NULL)
        return __real_realloc(at, size_bytes);
    void *grown = __wrap_malloc(size_bytes);
    if (grown == NULL || b == NULL)
        return grown;
    memcpy(grown, at, b->size_bytes < size_bytes ? b->size_bytes : size_bytes);
    __wrap_free(at);
    return grown;
}

/* ---- mappings -------------------------------------------------------------------------------- */

void *__wrap_mmap(void *at, size_t len_bytes, int prot, int flags, int fd, off_t offset)
{
    if (fails()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *mapped = __real_mmap(at, len_bytes, prot, flags, fd, offset);
    if (mapped == MAP_FAILED || world.self == NULL)
        return mapped;
    struct mapping *m = __real_malloc(sizeof *m);
    assert(m != NULL);
    *m = (struct mapping){world.self->mappings, mapped, len_bytes};
    world.self->mappings = m;
    return mapped;
}

int __wrap_munmap(void *at, size_t len_bytes)
{
    if (world.self != NULL) {
        struct mapping **place = &world.self->mappings, *m;
        while ((m = *place) != NULL && (m->at != at || m->len_bytes != len_bytes))
            place = &m->next;
        assert(m != NULL);
        *place = m->next;
        __real_free(m);
    }
    return __real_munmap(at, len_bytes);
}

/* ---- processes ------------------------------------------------------------------------------- */

void heap_end(struct process *p)
{
    while (p->blocks != NULL) {
        struct block *b = p->blocks;
        p->blocks = b->next;
        give_back(b);
    }
    p->blocks_count = 0;
    while (p->mappings != NULL) {
        struct mapping *m = p->mappings;
        p->mappings = m->next;
        __real_munmap(m->at, m->len_bytes);
        __real_free(m);
    }
}

uint64_t heap_count(const struct process *p)
{
    uint64_t count = p->blocks_count;
    for (const struct mapping *m = p->mappings; m != NULL; m = m->next)
        count++;
    return count;
}
