/* SPDX-License-Identifier: Apache-2.0 */
/* What a test has planned to go wrong, and the memory that nothing may touch. */
#include "tests/support/mockverbs_world.h"

#include <errno.h>

#define REQUESTS_MAX  64u
#define FORBIDDEN_MAX 64u

struct verb_fault {
    unsigned skip, count;
    int error;
};
struct request_fault {
    uint32_t number;
    unsigned skip;
    enum ibv_wc_status status;
    uint64_t landed_bytes;
};
struct range {
    uintptr_t begin, end;
};

/* any: whether something is planned at all, so that threads aren't ordered by the lock when not. */
static struct {
    pthread_mutex_t lock;
    _Atomic bool any;
    struct verb_fault verbs[MOCK_VERBS];
    struct request_fault requests[REQUESTS_MAX];
    unsigned request_count;
    struct range forbidden[FORBIDDEN_MAX];
    unsigned forbidden_count;
} plan = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_planned(void)
{
    return atomic_load_explicit(&plan.any, memory_order_relaxed);
}

void mock_fail_verb(enum mock_verb verb, unsigned skip, unsigned count, int error)
{
    pthread_mutex_lock(&plan.lock);
    plan.verbs[verb] = (struct verb_fault){skip, count, error};
    plan.any = true;
    pthread_mutex_unlock(&plan.lock);
}

static int next_call(struct verb_fault *f)
{
    if (f->skip > 0) {
        f->skip--;
        return 0;
    }
    if (f->count == 0)
        return 0;
    f->count--;
    return f->error;
}

static bool is_removed(const struct ibv_context *context)
{
    pthread_rwlock_rdlock(&mock_world.lock);
    bool removed = mock_hardware_of(context)->removed;
    pthread_rwlock_unlock(&mock_world.lock);
    return removed;
}

int mock_verb_fails(const struct ibv_context *context, enum mock_verb verb)
{
    if (context != NULL && is_removed(context))
        return EIO;
    if (!is_planned())
        return 0;
    pthread_mutex_lock(&plan.lock);
    int error = next_call(&plan.verbs[verb]);
    pthread_mutex_unlock(&plan.lock);
    return error;
}

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held;
    unsigned waiting;
} registering = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

void mock_hold_registering(bool held)
{
    pthread_mutex_lock(&registering.lock);
    registering.held = held;
    pthread_cond_broadcast(&registering.changed);
    pthread_mutex_unlock(&registering.lock);
}

unsigned mock_registering(void)
{
    pthread_mutex_lock(&registering.lock);
    unsigned waiting = registering.waiting;
    pthread_mutex_unlock(&registering.lock);
    return waiting;
}

void mock_await_registering(void)
{
    pthread_mutex_lock(&registering.lock);
    registering.waiting++;
    while (registering.held)
        pthread_cond_wait(&registering.changed, &registering.lock);
    registering.waiting--;
    pthread_mutex_unlock(&registering.lock);
}

void mock_fail_request(uint32_t number, unsigned skip, enum ibv_wc_status status,
                       uint64_t landed_bytes)
{
    pthread_mutex_lock(&plan.lock);
    if (plan.request_count == REQUESTS_MAX)
        mock_panic("too many requests are planned to fail");
    plan.requests[plan.request_count++] =
        (struct request_fault){number, skip, status, landed_bytes};
    plan.any = true;
    pthread_mutex_unlock(&plan.lock);
}

bool mock_request_fails(uint32_t number, enum ibv_wc_status *status, uint64_t *landed_bytes)
{
    bool fails = false;
    if (!is_planned())
        return false;
    pthread_mutex_lock(&plan.lock);
    for (unsigned i = 0; i < plan.request_count && !fails; i++) {
        struct request_fault *f = &plan.requests[i];
        if (f->number != 0 && f->number != number)
            continue;
        fails = f->skip == 0;
        if (!fails) {
            f->skip--;
            continue;
        }
        *status = f->status;
        *landed_bytes = f->landed_bytes;
        *f = plan.requests[--plan.request_count];
    }
    pthread_mutex_unlock(&plan.lock);
    return fails;
}

void mock_forbid(const void *addr, uint64_t len_bytes)
{
    pthread_mutex_lock(&plan.lock);
    if (plan.forbidden_count == FORBIDDEN_MAX)
        mock_panic("too much memory is forbidden");
    plan.forbidden[plan.forbidden_count++] =
        (struct range){(uintptr_t)addr, (uintptr_t)addr + len_bytes};
    plan.any = true;
    pthread_mutex_unlock(&plan.lock);
}

void mock_permit(const void *addr)
{
    pthread_mutex_lock(&plan.lock);
    for (unsigned i = 0; i < plan.forbidden_count;) {
        if (plan.forbidden[i].begin == (uintptr_t)addr)
            plan.forbidden[i] = plan.forbidden[--plan.forbidden_count];
        else
            i++;
    }
    pthread_mutex_unlock(&plan.lock);
}

bool mock_is_forbidden(const void *addr, uint64_t len_bytes)
{
    uintptr_t begin = (uintptr_t)addr, end = begin + len_bytes;
    bool forbidden = false;
    if (!is_planned())
        return false;
    pthread_mutex_lock(&plan.lock);
    for (unsigned i = 0; i < plan.forbidden_count && !forbidden; i++)
        forbidden = begin < plan.forbidden[i].end && end > plan.forbidden[i].begin;
    pthread_mutex_unlock(&plan.lock);
    return forbidden;
}

void mock_faults_reset(void)
{
    pthread_mutex_lock(&plan.lock);
    for (unsigned i = 0; i < MOCK_VERBS; i++)
        plan.verbs[i] = (struct verb_fault){0, 0, 0};
    plan.request_count = plan.forbidden_count = 0;
    plan.any = false;
    pthread_mutex_unlock(&plan.lock);
}
