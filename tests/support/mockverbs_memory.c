/* SPDX-License-Identifier: Apache-2.0 */
/* Protection domains and registered memory. Local and remote keys are never the same number, and
 * none is given twice. */
#include "tests/support/mockverbs_world.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE       UINT64_C(4096)
#define ANY_REMOTE (IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC)

/* A key is a number, and which of the two it is. */
#define KEY_SHIFT  9
#define KEY_LOCAL  0x055u
#define KEY_REMOTE 0x1aau

static struct mock_context *context_at(struct ibv_context *context)
{
    return (struct mock_context *)(void *)context;
}

struct ibv_pd *mock_alloc_pd(struct ibv_context *context)
{
    errno = mock_verb_fails(context, MOCK_ALLOC_PD);
    struct mock_pd *pd = errno == 0 ? calloc(1, sizeof(*pd)) : NULL;
    if (pd == NULL)
        return NULL;
    pd->verbs.context = context;
    pthread_rwlock_wrlock(&mock_world.lock);
    context_at(context)->children++;
    mock_world.counts.pds++;
    pthread_rwlock_unlock(&mock_world.lock);
    return &pd->verbs;
}

int mock_dealloc_pd(struct ibv_pd *verbs)
{
    struct mock_pd *pd = (struct mock_pd *)(void *)verbs;
    pthread_rwlock_wrlock(&mock_world.lock);
    if (pd->children != 0)
        mock_panic("a protection domain ends with %u objects in it", pd->children);
    context_at(verbs->context)->children--;
    mock_world.counts.pds--;
    int error = mock_hardware_of(verbs->context)->removed ? EIO : 0;
    pthread_rwlock_unlock(&mock_world.lock);
    free(pd);
    return error;
}

static struct mock_region **bucket_of(uint32_t key)
{
    return &mock_world.regions[(key >> KEY_SHIFT) % MOCK_BUCKETS];
}

static bool is_page_there(uintptr_t addr, int how)
{
    return madvise((void *)(addr & ~(PAGE - 1)), PAGE, how) == 0;
}

/* Pins as the kernel would, where memory begins and where it ends. A kernel that can't (before
 * 5.14) can't do it for the stack either. */
static bool is_there(const uint8_t *host, uint64_t length, int access)
{
    int how = access & IBV_ACCESS_LOCAL_WRITE ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    uintptr_t first = (uintptr_t)host;
    return (is_page_there(first, how) && is_page_there(first + length - 1, how)) ||
           !is_page_there((uintptr_t)&how, how);
}

/* With the lock for writing. */
static int admit(struct mock_hardware *h, struct mock_region *r)
{
    uint64_t limit = h->shown.locked_max_bytes;
    if (h->mrs >= (uint32_t)h->shown.attr.max_mr)
        return ENOMEM;
    if (limit != 0 && h->locked_bytes + r->locked_bytes > limit)
        return ENOMEM;
    uint32_t number = mock_world.next_key++;
    r->verbs.handle = number;
    r->verbs.lkey = number << KEY_SHIFT | KEY_LOCAL;
    r->verbs.rkey = number << KEY_SHIFT | KEY_REMOTE;
    struct mock_region **bucket = bucket_of(r->verbs.lkey);
    r->next = *bucket;
    *bucket = r;
    h->mrs++;
    h->locked_bytes += r->locked_bytes;
    ((struct mock_pd *)(void *)r->verbs.pd)->children++;
    mock_world.counts.mrs++;
    return 0;
}

static struct ibv_mr *add(struct ibv_pd *pd, const struct mock_region *described)
{
    struct mock_region *r = malloc(sizeof(*r));
    if (r == NULL)
        return NULL;
    *r = *described;
    r->verbs.context = pd->context;
    r->verbs.pd = pd;
    uint64_t begin = (uintptr_t)r->host & ~(PAGE - 1);
    uint64_t end = ((uintptr_t)r->host + r->verbs.length + PAGE - 1) & ~(PAGE - 1);
    r->locked_bytes = r->mapped ? 0 : end - begin;
    pthread_rwlock_wrlock(&mock_world.lock);
    errno = admit(mock_hardware_of(pd->context), r);
    pthread_rwlock_unlock(&mock_world.lock);
    if (errno == 0)
        return &r->verbs;
    free(r);
    return NULL;
}

static int check_registration(const struct ibv_pd *pd, uint64_t length, int access)
{
    const struct mock_device *d = &mock_hardware_of(pd->context)->shown;
    if ((access & ANY_REMOTE) && !(access & IBV_ACCESS_LOCAL_WRITE))
        return EINVAL;
    return length == 0 || length > d->attr.max_mr_size ? EINVAL : 0;
}

struct ibv_mr *mock_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
    mock_await_registering();
    errno = mock_verb_fails(pd->context, MOCK_REG_MR);
    if (errno == 0)
        errno = check_registration(pd, length, access);
    if (errno == 0 && !is_there(addr, length, access))
        errno = EFAULT;
    if (errno != 0)
        return NULL;
    struct mock_region described = {
        .verbs = {.addr = addr, .length = length},
        .base = (uintptr_t)addr,
        .host = addr,
        .access = access,
    };
    return add(pd, &described);
}

struct ibv_mr *mock_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova,
                                  int fd, int access)
{
    errno = mock_verb_fails(pd->context, MOCK_REG_DMABUF_MR);
    if (errno == 0 && !mock_hardware_of(pd->context)->shown.dmabuf)
        errno = EOPNOTSUPP;
    if (errno == 0)
        errno = check_registration(pd, length, access);
    if (errno != 0)
        return NULL;
    int protection = access & IBV_ACCESS_LOCAL_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;
    void *host = mmap(NULL, length, protection, MAP_SHARED, fd, (off_t)offset);
    if (host == MAP_FAILED)
        return NULL;
    struct mock_region described = {
        .verbs = {.length = length},
        .base = iova,
        .host = host,
        .access = access,
        .mapped = true,
    };
    struct ibv_mr *mr = add(pd, &described);
    if (mr == NULL)
        munmap(host, length);
    return mr;
}

int mock_dereg_mr(struct ibv_mr *mr)
{
    struct mock_region *r = (struct mock_region *)(void *)mr;
    struct mock_hardware *h = mock_hardware_of(mr->context);
    pthread_rwlock_wrlock(&mock_world.lock);
    struct mock_region **at = bucket_of(mr->lkey);
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    h->mrs--;
    h->locked_bytes -= r->locked_bytes;
    ((struct mock_pd *)(void *)mr->pd)->children--;
    mock_world.counts.mrs--;
    int error = h->removed ? EIO : 0;
    pthread_rwlock_unlock(&mock_world.lock);
    if (r->mapped)
        munmap(r->host, mr->length);
    free(r);
    return error;
}

static struct mock_region *find(const struct ibv_pd *pd, uint32_t key, uint64_t addr,
                                uint64_t len_bytes, int access)
{
    struct mock_region *r = *bucket_of(key);
    while (r != NULL && r->verbs.lkey != key && r->verbs.rkey != key)
        r = r->next;
    if (r == NULL || r->verbs.pd != pd || (r->access & access) != access)
        return NULL;
    if (addr < r->base || addr - r->base > r->verbs.length ||
        len_bytes > r->verbs.length - (addr - r->base))
        return NULL;
    return r;
}

struct mock_region *mock_region_local(const struct mock_qp *qp, const struct ibv_sge *piece,
                                      int access)
{
    struct mock_region *r = find(qp->verbs.pd, piece->lkey, piece->addr, piece->length, access);
    return r != NULL && r->verbs.lkey == piece->lkey ? r : NULL;
}

struct mock_region *mock_region_remote(const struct mock_qp *qp, uint32_t rkey, uint64_t addr,
                                       uint64_t len_bytes, int access)
{
    struct mock_region *r = find(qp->verbs.pd, rkey, addr, len_bytes, access);
    return r != NULL && r->verbs.rkey == rkey ? r : NULL;
}
