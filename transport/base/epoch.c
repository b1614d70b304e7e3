/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/epoch.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "transport/base/testswitch.h"

/* Counters apart from each other: threads share one only when their numbers happen to meet. */
#define STRIPES_BITS     5u
#define STRIPES          (1u << STRIPES_BITS)
#define CACHE_LINE_BYTES 64u
#define BANKS            2u
/* Looks at the processor's disposal before the waiting thread sleeps between them. */
#define SPINS_MAX        100u
#define NAP_NS           50000

/*
 * Readers count themselves in one of two banks, the present one: a counter up when they enter, the
 * same one down when they leave. `turn` says which bank is present (its lowest bit), and only ever
 * grows, by one, at a moment when the other bank has been seen empty; new readers then go to that
 * one, and the bank that was present drains.
 *
 * Who is waited for. A writer makes something unreachable, then marks: the turn of this moment, t.
 * Readers who may hold it are in either bank: most in the present one, but one who looked up the
 * turn just before it changed, and counted himself after, is in the other. So both banks must have
 * been seen empty since, one after the other. The turn goes to t+1 when the other bank has been
 * seen empty, and to t+2 when the one that was present at the mark has been: at t+2 all have left.
 * Both looks come after the mark, since marks and turns are made under one lock.
 *
 * Why none is missed. A reader adds to his counter, then loads the pointer; the writer changes the
 * pointer, then loads the counters. All four are sequentially consistent, so one of them sees the
 * other: either the writer finds the reader counted, or the reader finds the new pointer, and then
 * needn't be waited for. Such a late reader may enter the bank that is being drained at any time,
 * again and again even: that delays a writer, but can't fool him, because a counter of one stripe
 * is exact: each reader takes himself off where he put himself on. A sum over stripes need not be
 * taken at one moment for the same reason: each stripe has been empty at some time since the mark,
 * and whoever came to it later is a late reader.
 *
 * Why it comes to an end. After a turn nobody new looks up the draining bank, only those who looked
 * before: at most one for each thread. It is empty when they are through.
 *
 * Turning is the business of whoever asks epoch_passed(): there is no thread for it, and a reader
 * who stays away for long (stopped by a debugger in the middle of a copy) keeps memory from being
 * freed, not threads from going on.
 */
struct stripe {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t inside[BANKS];
};

struct epoch {
    struct stripe stripes[STRIPES];
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t turn;
    pthread_mutex_t lock; /* marks and turns */
};

struct epoch *epoch_new(void)
{
    struct epoch *e = aligned_alloc(CACHE_LINE_BYTES, sizeof *e);

    if (e == NULL)
        return NULL;
    memset(e, 0, sizeof *e);
    pthread_mutex_init(&e->lock, NULL);
    return e;
}

void epoch_free(struct epoch *e)
{
    if (e == NULL)
        return;
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* Threads' descriptors lie far apart, at addresses that differ in their middle bits. */
static unsigned stripe_of_thread(void)
{
    uint64_t x = (uint64_t)pthread_self();
    return (unsigned)((x >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - STRIPES_BITS));
}

unsigned epoch_enter(struct epoch *e)
{
    unsigned bank = (unsigned)(atomic_load(&e->turn) % BANKS);
    unsigned stripe = stripe_of_thread();

    atomic_fetch_add(&e->stripes[stripe].inside[bank], 1);
    return stripe * BANKS + bank;
}

void epoch_leave(struct epoch *e, unsigned ticket)
{
    struct stripe *s = &e->stripes[ticket / BANKS];
    uint64_t before = atomic_fetch_sub(&s->inside[ticket % BANKS], 1);
    assert(before > 0);
}

uint64_t epoch_mark(struct epoch *e)
{
    pthread_mutex_lock(&e->lock);
    uint64_t mark = atomic_load(&e->turn) + BANKS;
    pthread_mutex_unlock(&e->lock);
    return mark;
}

static bool bank_empty(struct epoch *e, unsigned bank)
{
    for (unsigned i = 0; i < STRIPES; i++) {
        if (atomic_load(&e->stripes[i].inside[bank]) != 0)
            return false;
    }
    return true;
}

bool epoch_passed(struct epoch *e, uint64_t mark)
{
    uint64_t turn = atomic_load(&e->turn);

    if (turn >= mark || test_off(TEST_EPOCH))
        return true;
    pthread_mutex_lock(&e->lock);
    turn = atomic_load(&e->turn);
    while (turn < mark && bank_empty(e, (unsigned)((turn + 1) % BANKS)))
        atomic_store(&e->turn, ++turn);
    pthread_mutex_unlock(&e->lock);
    return turn >= mark;
}

void epoch_wait(struct epoch *e, uint64_t mark)
{
    const struct timespec nap = {.tv_nsec = NAP_NS};

    for (unsigned i = 0; !epoch_passed(e, mark); i++) {
        if (i < SPINS_MAX)
            sched_yield();
        else
            nanosleep(&nap, NULL);
    }
}
