/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/fakemr.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#define FAKE_MRS_MAX  16384u
#define FAKE_PAGE     ((uintptr_t)4096)
#define FAKE_WAIT_SEC 1

struct entry {
    bool alive;
    struct fake_mr mr;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct entry entries[FAKE_MRS_MAX];
    unsigned next, alive, made;
    unsigned fail_from;
    int fail_with;
    uint64_t limit_bytes, bytes;
    unsigned inside, inside_most, expected;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct rdma_verbs fake_verbs;

uint64_t *fake_mark_at(uintptr_t begin)
{
    return (uint64_t *)((begin + FAKE_PAGE - 1) / FAKE_PAGE * FAKE_PAGE + FAKE_PAGE / 2);
}

/* As pinning does: EFAULT for memory that isn't mapped or not for this use. */
static int touch(uintptr_t begin, size_t length, int access)
{
    uintptr_t first = begin / FAKE_PAGE * FAKE_PAGE;
    bool write = access & (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);

    return madvise((void *)first, begin + length - first,
                   write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0
               ? 0
               : EFAULT;
}

/* The lock is held. */
static int refusal(size_t length)
{
    if (fake.fail_from > 0 && --fake.fail_from == 0) {
        fake.fail_from = 1;
        return fake.fail_with;
    }
    if (fake.limit_bytes > 0 && fake.bytes + length > fake.limit_bytes)
        return ENOMEM;
    return 0;
}

static uint32_t free_key(void)
{
    assert(fake.alive < FAKE_MRS_MAX);
    do
        fake.next = (fake.next + 1) % FAKE_MRS_MAX;
    while (fake.entries[fake.next].alive);
    return fake.next;
}

static void wait_for_others(void)
{
    struct timespec until;

    if (++fake.inside > fake.inside_most)
        fake.inside_most = fake.inside;
    pthread_cond_broadcast(&fake.changed);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FAKE_WAIT_SEC;
    while (fake.inside_most < fake.expected)
        if (pthread_cond_timedwait(&fake.changed, &fake.lock, &until) != 0)
            break;
    fake.inside--;
}

static struct ibv_mr *register_it(struct ibv_pd *pd, uintptr_t begin, size_t length, int access,
                                  int dmabuf_fd)
{
    struct ibv_mr *mr = calloc(1, sizeof *mr);

    assert(mr != NULL);
    pthread_mutex_lock(&fake.lock);
    wait_for_others();
    int error = refusal(length);
    pthread_mutex_unlock(&fake.lock);
    if (error == 0 && dmabuf_fd < 0)
        error = touch(begin, length, access);
    pthread_mutex_lock(&fake.lock);
    if (error == 0) {
        uint32_t key = free_key();
        struct entry *e = &fake.entries[key];
        e->alive = true;
        e->mr = (struct fake_mr){.begin = begin,
                                 .end = begin + length,
                                 .access = access,
                                 .dmabuf_fd = dmabuf_fd,
                                 .device = pd->handle};
        if (dmabuf_fd < 0 && (uintptr_t)(fake_mark_at(begin) + 1) <= begin + length)
            e->mr.mark = __atomic_load_n(fake_mark_at(begin), __ATOMIC_RELAXED);
        fake.alive++;
        fake.made++;
        fake.bytes += length;
        *mr = (struct ibv_mr){.pd = pd, .length = length, .lkey = key, .rkey = key + 0x10000};
    }
    pthread_mutex_unlock(&fake.lock);
    if (error == 0)
        return mr;
    free(mr);
    errno = error;
    return NULL;
}

static struct ibv_mr *fake_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
    return register_it(pd, (uintptr_t)addr, length, access, -1);
}

static struct ibv_mr *fake_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length,
                                         uint64_t iova, int fd, int access)
{
    (void)offset;
    return register_it(pd, (uintptr_t)iova, length, access, fd);
}

static int fake_dereg_mr(struct ibv_mr *mr)
{
    pthread_mutex_lock(&fake.lock);
    struct entry *e = &fake.entries[mr->lkey];
    assert(e->alive);
    e->alive = false;
    fake.alive--;
    fake.bytes -= mr->length;
    pthread_mutex_unlock(&fake.lock);
    free(mr);
    return 0;
}

struct rdma_devices *fake_devices_new(unsigned count)
{
    struct rdma_devices *d = calloc(1, sizeof *d);
    struct ibv_pd *pds = calloc(count, sizeof *pds);

    if (d == NULL || pds == NULL) {
        free(d);
        free(pds);
        return NULL;
    }
    assert(count >= 1 && count <= RDMA_DEVICES_MAX);
    fake_verbs = (struct rdma_verbs){
        .reg_mr = fake_reg_mr, .reg_dmabuf_mr = fake_reg_dmabuf_mr, .dereg_mr = fake_dereg_mr};
    d->verbs = &fake_verbs;
    d->count = count;
    for (unsigned i = 0; i < count; i++) {
        pds[i].handle = i;
        d->at[i].pd = &pds[i];
        d->at[i].index = i;
        snprintf(d->at[i].name, sizeof d->at[i].name, "fake%u", i);
    }
    return d;
}

void fake_devices_free(struct rdma_devices *d)
{
    assert(fake_alive() == 0);
    for (unsigned i = 0; i < d->count; i++)
        assert(atomic_load(&d->at[i].regions) == 0);
    free(d->at[0].pd);
    free(d);
}

unsigned fake_alive(void)
{
    pthread_mutex_lock(&fake.lock);
    unsigned n = fake.alive;
    pthread_mutex_unlock(&fake.lock);
    return n;
}

unsigned fake_made(void)
{
    pthread_mutex_lock(&fake.lock);
    unsigned n = fake.made;
    pthread_mutex_unlock(&fake.lock);
    return n;
}

bool fake_mr_of(uint32_t lkey, struct fake_mr *out)
{
    pthread_mutex_lock(&fake.lock);
    bool alive = lkey < FAKE_MRS_MAX && fake.entries[lkey].alive;
    if (alive)
        *out = fake.entries[lkey].mr;
    pthread_mutex_unlock(&fake.lock);
    return alive;
}

void fake_fail_from(unsigned n, int error)
{
    pthread_mutex_lock(&fake.lock);
    fake.fail_from = error != 0 ? n : 0;
    fake.fail_with = error;
    pthread_mutex_unlock(&fake.lock);
}

void fake_limit_bytes(uint64_t most)
{
    pthread_mutex_lock(&fake.lock);
    fake.limit_bytes = most;
    pthread_mutex_unlock(&fake.lock);
}

unsigned fake_expect_threads(unsigned count)
{
    pthread_mutex_lock(&fake.lock);
    unsigned most = fake.inside_most;
    fake.inside_most = 0;
    fake.expected = count;
    pthread_mutex_unlock(&fake.lock);
    return most;
}

void fake_dmabuf(struct rdma_devices *d, bool there)
{
    assert(d->verbs == &fake_verbs);
    fake_verbs.reg_dmabuf_mr = there ? fake_reg_dmabuf_mr : NULL;
}
