/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/region.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "transport/base/log.h"

#define REGION_THREADS_MAX 16u
/* Of pieces that are shorter because a device's limit is: whole huge pages. */
#define PIECE_ALIGN_BYTES  (UINT64_C(2) << 20)
#define SIZE_TEXT_MAX      32u

struct rdma_region {
    const struct rdma_devices *devices;
    uint8_t *base;
    uint64_t len_bytes, piece_bytes;
    uint32_t pieces;
    struct piece {
        struct ibv_mr *mr; /* NULL: the device is lost */
        uint32_t lkey, rkey;
    } at[]; /* device by device, piece by piece */
};

/* One registration of everything, shared by the threads that do it. */
struct work {
    struct rdma_region *region;
    int access, dmabuf_fd;
    const atomic_bool *given_up;           /* NULL: never */
    _Atomic uint32_t next;                 /* piece of a device to take */
    _Atomic bool broken[RDMA_DEVICES_MAX]; /* the device went while this was under way */
    _Atomic int error;                     /* errno of the first failure; 0: none */
    _Atomic unsigned failed;               /* the device that it was */
};

/* Users see devices as constant; what is counted in them changes all the same. */
static struct rdma_device *device_of(const struct rdma_region *r, unsigned i)
{
    return (struct rdma_device *)&r->devices->at[i];
}

static uint64_t piece_len(const struct rdma_region *r, uint32_t piece)
{
    uint64_t offset = piece * r->piece_bytes, left = r->len_bytes - offset;
    return left < r->piece_bytes ? left : r->piece_bytes;
}

/* ---- one piece ------------------------------------------------------------------------------- */

/* Never relaxed ordering: the seal must land behind the payload. */
static int flags_of(enum rdma_access access)
{
    switch (access) {
    case RDMA_ACCESS_LOCAL:
        return IBV_ACCESS_LOCAL_WRITE;
    case RDMA_ACCESS_LOCAL_SOURCE:
        return 0;
    case RDMA_ACCESS_REMOTE_READ:
        return IBV_ACCESS_REMOTE_READ;
    case RDMA_ACCESS_REMOTE_WRITE:
        return IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
    }
    assert(!"a kind of access");
    return 0;
}

static struct ibv_mr *register_piece(const struct work *w, unsigned device, uint32_t piece)
{
    const struct rdma_region *r = w->region;
    const struct rdma_verbs *verbs = r->devices->verbs;
    struct ibv_pd *pd = r->devices->at[device].pd;
    uint64_t offset = piece * r->piece_bytes, len = piece_len(r, piece);

    if (w->dmabuf_fd < 0)
        return verbs->reg_mr(pd, r->base + offset, (size_t)len, w->access);
    return verbs->reg_dmabuf_mr(pd, offset, (size_t)len, (uintptr_t)r->base + offset, w->dmabuf_fd,
                                w->access);
}

static bool device_went(int error)
{
    return error == ENODEV || error == EIO;
}

static void do_piece(struct work *w, unsigned device, uint32_t piece)
{
    struct rdma_region *r = w->region;

    if (atomic_load(&w->broken[device]) || atomic_load(&r->devices->at[device].lost))
        return;
    errno = 0;
    struct ibv_mr *mr = register_piece(w, device, piece);
    if (mr != NULL) {
        r->at[device * r->pieces + piece] =
            (struct piece){.mr = mr, .lkey = mr->lkey, .rkey = mr->rkey};
        atomic_fetch_add(&device_of(r, device)->regions, 1);
        return;
    }
    int error = errno != 0 ? errno : EIO, none = 0;
    if (device_went(error))
        atomic_store(&w->broken[device], true);
    else if (atomic_compare_exchange_strong(&w->error, &none, error))
        atomic_store(&w->failed, device);
}

static bool is_given_up(struct work *w)
{
    int none = 0;

    if (w->given_up == NULL || !atomic_load(w->given_up))
        return false;
    atomic_compare_exchange_strong(&w->error, &none, ECANCELED);
    return true;
}

static void end_piece(struct rdma_region *r, unsigned device, uint32_t piece)
{
    struct piece *p = &r->at[device * r->pieces + piece];

    if (p->mr == NULL)
        return;
    int error = r->devices->verbs->dereg_mr(p->mr);
    if (error != 0 && !atomic_load(&r->devices->at[device].lost))
        log_warn("rdma", "%s: cannot end a registration: %s", r->devices->at[device].name,
                 strerror(error));
    atomic_fetch_sub(&device_of(r, device)->regions, 1);
    p->mr = NULL;
}

static void end_pieces_of(struct rdma_region *r, unsigned device)
{
    for (uint32_t i = 0; i < r->pieces; i++)
        end_piece(r, device, i);
}

/* ---- all pieces ------------------------------------------------------------------------------ */

static void *do_work(void *arg)
{
    struct work *w = arg;
    const struct rdma_region *r = w->region;
    uint32_t total = r->devices->count * r->pieces;

    while (atomic_load(&w->error) == 0) {
        uint32_t i = atomic_fetch_add(&w->next, 1);
        if (i >= total || is_given_up(w))
            break;
        do_piece(w, i / r->pieces, i % r->pieces);
    }
    return NULL;
}

static unsigned helpers_for(const struct rdma_region *r)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned most = cpus < 1 ? 1 : (unsigned)cpus;

    if (r->pieces == 1)
        return 0;
    if (most > REGION_THREADS_MAX)
        most = REGION_THREADS_MAX;
    return (most < r->pieces ? most : r->pieces) - 1;
}

/* The caller works too; where no thread can be had it works alone. */
static void do_in_parallel(struct work *w)
{
    pthread_t threads[REGION_THREADS_MAX];
    unsigned started = 0, wanted = helpers_for(w->region);
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < wanted && pthread_create(&threads[started], NULL, do_work, w) == 0)
        started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    do_work(w);
    while (started-- > 0)
        pthread_join(threads[started], NULL);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void size_text(uint64_t bytes, char out[SIZE_TEXT_MAX])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double n = (double)bytes / 1024;
    size_t unit = 0;

    for (; n >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        n /= 1024;
    snprintf(out, SIZE_TEXT_MAX, "%.1f %s", n, units[unit]);
}

static void log_failure(const struct work *w, int error)
{
    const struct rdma_region *r = w->region;
    const char *device = r->devices->at[atomic_load(&w->failed)].name;
    char wanted[SIZE_TEXT_MAX], most[SIZE_TEXT_MAX];
    struct rlimit limit;

    size_text(r->len_bytes, wanted);
    if (error == ENOMEM && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
        limit.rlim_cur != RLIM_INFINITY) {
        size_text(limit.rlim_cur, most);
        log_error("rdma",
                  "cannot register %s with %s: the limit of locked memory (ulimit -l, "
                  "LimitMEMLOCK=) is %s",
                  wanted, device, most);
        return;
    }
    log_error("rdma", "cannot register %s with %s: %s", wanted, device, strerror(error));
}

static int status_of(const struct work *w, int error)
{
    switch (error) {
    case ECANCELED:
        return CENOTE_CANCELLED;
    case EFAULT:
    case EACCES:
    case EPERM:
        return CENOTE_BAD_ADDRESS;
    case EOPNOTSUPP:
    case ENOSYS:
    case EPROTONOSUPPORT:
        return w->dmabuf_fd >= 0 ? CENOTE_NOT_SUPPORTED : CENOTE_NO_MEMORY;
    default:
        return CENOTE_NO_MEMORY;
    }
}

static int finish(struct work *w, bool log_limit)
{
    struct rdma_region *r = w->region;
    int error = atomic_load(&w->error);
    unsigned alive = 0;

    for (unsigned i = 0; i < r->devices->count; i++) {
        if (error != 0 || atomic_load(&w->broken[i]))
            end_pieces_of(r, i);
        alive += r->at[i * r->pieces].mr != NULL;
    }
    if (error == 0)
        return alive > 0 ? CENOTE_OK : CENOTE_NODE_DOWN;
    int status = status_of(w, error);
    if (log_limit && status != CENOTE_NOT_SUPPORTED && status != CENOTE_CANCELLED)
        log_failure(w, error);
    return status;
}

/* ---- regions --------------------------------------------------------------------------------- */

static uint64_t piece_bytes_for(const struct rdma_devices *devices, uint64_t piece_bytes)
{
    for (unsigned i = 0; i < devices->count; i++) {
        uint64_t most = devices->at[i].attr.max_mr_size;
        if (most >= PIECE_ALIGN_BYTES && most < piece_bytes)
            piece_bytes = most / PIECE_ALIGN_BYTES * PIECE_ALIGN_BYTES;
    }
    return piece_bytes;
}

int rdma_region_make_as(const struct rdma_devices *devices, void *base, uint64_t len_bytes,
                        const struct rdma_region_how *how, struct rdma_region **out)
{
    assert(len_bytes > 0);
    uint64_t piece_bytes =
        piece_bytes_for(devices, how->piece_bytes > 0 ? how->piece_bytes : RDMA_PIECE_BYTES);
    uint64_t pieces = (len_bytes - 1) / piece_bytes + 1;
    if (how->dmabuf_fd >= 0 && devices->verbs->reg_dmabuf_mr == NULL)
        return CENOTE_NOT_SUPPORTED;
    if (pieces > RDMA_PIECES_MAX) {
        if (how->log_limit)
            log_error("rdma", "memory is registered in at most %u pieces of %llu bytes",
                      RDMA_PIECES_MAX, (unsigned long long)piece_bytes);
        return CENOTE_NO_MEMORY;
    }
    size_t count = devices->count * (size_t)pieces;
    struct rdma_region *r = calloc(1, sizeof *r + count * sizeof r->at[0]);
    if (r == NULL)
        return CENOTE_NO_MEMORY;
    r->devices = devices;
    r->base = base;
    r->len_bytes = len_bytes;
    r->piece_bytes = piece_bytes;
    r->pieces = (uint32_t)pieces;

    struct work work = {.region = r,
                        .access = flags_of(how->access),
                        .dmabuf_fd = how->dmabuf_fd,
                        .given_up = how->given_up};
    do_in_parallel(&work);
    int status = finish(&work, how->log_limit);
    if (status == CENOTE_OK)
        *out = r;
    else
        free(r);
    return status;
}

int rdma_region_make(const struct rdma_devices *devices, void *base, uint64_t len_bytes,
                     enum rdma_access access, int dmabuf_fd, bool log_limit,
                     struct rdma_region **out)
{
    const struct rdma_region_how how = {
        .access = access, .dmabuf_fd = dmabuf_fd, .log_limit = log_limit};
    return rdma_region_make_as(devices, base, len_bytes, &how, out);
}

void rdma_region_free(struct rdma_region *r)
{
    for (unsigned i = 0; i < r->devices->count; i++)
        end_pieces_of(r, i);
    free(r);
}

void rdma_region_abandon(struct rdma_region *r)
{
    free(r);
}

uint32_t rdma_region_pieces(const struct rdma_region *r)
{
    return r->pieces;
}

bool rdma_region_key(const struct rdma_region *r, unsigned device, uint32_t piece,
                     struct rdma_key *out)
{
    assert(device < r->devices->count && piece < r->pieces);
    const struct piece *p = &r->at[device * r->pieces + piece];
    if (p->mr == NULL || atomic_load_explicit(&r->devices->at[device].lost, memory_order_relaxed))
        return false;
    *out = (struct rdma_key){.offset = piece * r->piece_bytes,
                             .len_bytes = piece_len(r, piece),
                             .lkey = p->lkey,
                             .rkey = p->rkey};
    return true;
}

uint32_t rdma_region_piece_at(const struct rdma_region *r, uint64_t offset)
{
    assert(offset < r->len_bytes);
    return r->pieces == 1 ? 0 : (uint32_t)(offset / r->piece_bytes);
}

bool rdma_region_local(const struct rdma_region *r, unsigned device, const void *addr,
                       uint64_t *len, uint32_t *lkey)
{
    uint64_t offset = (uint64_t)((const uint8_t *)addr - r->base);
    struct rdma_key key;

    if (!rdma_region_key(r, device, rdma_region_piece_at(r, offset), &key))
        return false;
    uint64_t left = key.offset + key.len_bytes - offset;
    if (*len > left)
        *len = left;
    *lkey = key.lkey;
    return true;
}
