/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads read what other threads take away and free. The sanitizers see a read of freed memory, or
 * one that nothing orders before the free; this program may see a thing that was spoilt too early.
 * `scenario_epoch hasty` doesn't wait, and the sanitizers must catch it: the control of this test.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "tests/scenario/check.h"
#include "transport/base/epoch.h"

#define READERS    4u
#define WRITERS    2u
#define SHELVES    3u
#define ROUNDS     20000u
#define READS      4u
#define LONG_EVERY 256u /* visits during which others get the processor */
#define WHOLE      0x600du

struct thing {
    uint64_t state;
    struct thing *next; /* taken away, and not yet freed */
    uint64_t mark;
};

static struct epoch *epoch;
static _Atomic(struct thing *) shelves[SHELVES];
static atomic_uint writing = WRITERS;
static bool hasty;

static struct thing *make(void)
{
    struct thing *t = malloc(sizeof *t);

    CHECK(t);
    *t = (struct thing){.state = WHOLE};
    return t;
}

static void spoil(struct thing *t)
{
    *(volatile uint64_t *)&t->state = 0;
    free(t);
}

static void *read_things(void *arg)
{
    (void)arg;
    for (unsigned i = 0; atomic_load(&writing) > 0; i++) {
        unsigned ticket = epoch_enter(epoch);
        struct thing *t = atomic_load(&shelves[i % SHELVES]);
        for (unsigned k = 0; k < READS; k++) {
            CHECK(*(volatile uint64_t *)&t->state == WHOLE);
            if (hasty || i % LONG_EVERY == 0)
                sched_yield();
        }
        epoch_leave(epoch, ticket);
        sched_yield(); /* not inside, if the processor is to be somebody else's */
    }
    return NULL;
}

/* Half of the writers wait, the others ask now and then. */
static void *change_things(void *arg)
{
    bool patient = (uintptr_t)arg % 2 == 0;
    struct thing *gone = NULL;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct thing *t = atomic_exchange(&shelves[i % SHELVES], make());
        t->mark = epoch_mark(epoch);
        if (patient && !hasty)
            epoch_wait(epoch, t->mark);
        t->next = gone;
        gone = t;
        for (struct thing **at = &gone; *at;) {
            t = *at;
            if (!hasty && !epoch_passed(epoch, t->mark)) {
                at = &t->next;
                continue;
            }
            *at = t->next;
            spoil(t);
        }
    }
    while (gone) {
        struct thing *t = gone;
        gone = t->next;
        epoch_wait(epoch, t->mark);
        spoil(t);
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[READERS + WRITERS];

    hasty = argc > 1 && strcmp(argv[1], "hasty") == 0;
    epoch = epoch_new();
    CHECK(epoch);
    for (unsigned i = 0; i < SHELVES; i++)
        atomic_store(&shelves[i], make());
    for (uintptr_t i = 0; i < READERS + WRITERS; i++)
        CHECK(pthread_create(&threads[i], NULL, i < READERS ? read_things : change_things,
                             (void *)i) == 0);
    for (unsigned i = 0; i < READERS + WRITERS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < SHELVES; i++)
        free(atomic_load(&shelves[i]));
    epoch_free(epoch);
    return 0;
}
