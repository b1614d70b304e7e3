/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of WRITEs that are on their way into memory: received and kept back, or on the wire. */
#include "tests/support/mockverbs_world.h"

#include <stdlib.h>

__attribute__((no_sanitize("thread"))) void mock_device_copy(uint8_t *to, const uint8_t *from,
                                                             uint64_t len_bytes)
{
    uint64_t i = 0;
    if ((((uintptr_t)to ^ (uintptr_t)from) & 7) == 0) {
        for (; i < len_bytes && ((uintptr_t)(to + i) & 7) != 0; i++)
            *(volatile uint8_t *)(to + i) = *(const volatile uint8_t *)(from + i);
        for (; len_bytes - i >= 8; i += 8)
            *(volatile uint64_t *)(void *)(to + i) =
                *(const volatile uint64_t *)(const void *)(from + i);
    }
    for (; i < len_bytes; i++)
        *(volatile uint8_t *)(to + i) = *(const volatile uint8_t *)(from + i);
}

struct mock_landing *mock_landing_new(uint64_t len_bytes)
{
    struct mock_landing *landing = calloc(1, sizeof(*landing) + len_bytes);
    if (landing == NULL)
        mock_panic("no memory");
    landing->len_bytes = len_bytes;
    return landing;
}

void mock_landing_add(struct mock_qp *to, struct mock_landing *landing)
{
    bool stray = landing->stray;
    pthread_mutex_lock(&to->late_lock);
    *to->late_end = landing;
    to->late_end = &landing->next;
    pthread_mutex_unlock(&to->late_lock);
    if (stray)
        atomic_fetch_add(&mock_world.strays, 1);
    mock_count(stray ? &mock_world.counts.strays : &mock_world.counts.late, 1);
}

static struct mock_landing *take_all(struct mock_qp *qp)
{
    pthread_mutex_lock(&qp->late_lock);
    struct mock_landing *all = qp->late;
    qp->late = NULL;
    qp->late_end = &qp->late;
    pthread_mutex_unlock(&qp->late_lock);
    return all;
}

/* NULL: the memory can't be reached by it any more. */
static uint8_t *place_of(const struct mock_qp *qp, const struct mock_landing *landing)
{
    int state = atomic_load(&qp->state);
    if (mock_hardware_of(qp->verbs.context)->removed)
        return NULL;
    if (landing->stray && state != IBV_QPS_RTR && state != IBV_QPS_RTS)
        return NULL;
    const struct mock_region *r = mock_region_remote(qp, landing->rkey, landing->addr,
                                                     landing->len_bytes, IBV_ACCESS_REMOTE_WRITE);
    return r != NULL ? r->host + (landing->addr - r->base) : NULL;
}

static void end(struct mock_landing *landing, bool landed)
{
    if (landing->stray)
        atomic_fetch_sub(&mock_world.strays, 1);
    mock_count(landed ? &mock_world.counts.landed : &mock_world.counts.lost, 1);
    free(landing);
}

void mock_landings_land(struct mock_qp *at)
{
    struct mock_landing *next;
    for (struct mock_landing *l = take_all(at); l != NULL; l = next) {
        next = l->next;
        uint8_t *place = place_of(at, l);
        if (place != NULL && mock_is_forbidden(place, l->len_bytes))
            mock_panic("a late WRITE touches memory that it must not touch any more");
        if (place != NULL)
            mock_device_copy(place, l->bytes, l->len_bytes);
        end(l, place != NULL);
    }
}

void mock_landings_drop(struct mock_qp *at)
{
    struct mock_landing *next;
    for (struct mock_landing *l = take_all(at); l != NULL; l = next) {
        next = l->next;
        end(l, false);
    }
}

void mock_land(void)
{
    pthread_rwlock_rdlock(&mock_world.lock);
    for (struct mock_qp *qp = mock_world.first; qp != NULL; qp = qp->next)
        mock_landings_land(qp);
    pthread_rwlock_unlock(&mock_world.lock);
}

void mock_land_queue_pair(uint32_t number)
{
    pthread_rwlock_rdlock(&mock_world.lock);
    struct mock_qp *qp = mock_qp_find(number);
    if (qp != NULL)
        mock_landings_land(qp);
    pthread_rwlock_unlock(&mock_world.lock);
}

void mock_set_quirks(unsigned quirks)
{
    atomic_store(&mock_world.quirks, quirks);
    if (!(quirks & MOCK_LATE))
        mock_land();
}
