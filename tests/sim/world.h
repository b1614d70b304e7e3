/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated world: processes, time, and what happens next. The essay is in world.c.
 */
#ifndef CENOTE_TESTS_SIM_WORLD_H
#define CENOTE_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/chance.h"
#include "tests/sim/fiber.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)

#define PROCESSES_MAX      16u
#define PROCESS_FIBERS_MAX 8u
#define HOSTS_MAX          8u

/* One simulated process. Its memory, mappings and threads end with it, wherever it stands. */
struct process {
    char name[16];
    unsigned number, host;
    bool alive, stopped;
    uint64_t life;    /* counts its starts */
    uint64_t skew_ns; /* its clock at the beginning of the world ... */
    int32_t rate_ppm; /* ... and how much faster it goes */
    struct chance chance;
    struct event *kept, *kept_last; /* while it is stopped */
    struct fiber *fibers[PROCESS_FIBERS_MAX];
    struct block *blocks;     /* of its heap */
    struct mapping *mappings; /* of memory */
    uint64_t blocks_count;
    unsigned fails_in; /* so many requests for memory; 0: never */
};

struct event {
    struct event *next; /* kept or unused ones */
    uint64_t at_ns, order;
    struct process *who; /* NULL: nobody's */
    uint64_t life;
    void (*fn)(void *arg);
    void *arg;
};

struct world {
    uint64_t seed;
    uint64_t now_ns;
    uint64_t steps;
    struct process *self; /* whose code runs; NULL: the world's */
    struct process *last; /* whose step it was */
    struct process processes[PROCESSES_MAX];
    unsigned process_count;
    struct chance chance; /* of what belongs to nobody */
    bool cut[HOSTS_MAX][HOSTS_MAX];
    unsigned slow; /* factor of delays */

    struct event **heap;
    size_t heap_count, heap_room;
    struct event *unused_events;
    uint64_t orders;
    uint64_t tolls; /* of what happened, in order: equal for equal runs */

    bool tracing;
    char violation[512];   /* empty: none */
    void (*checked)(void); /* after each step */
};

extern struct world world;

#define WORLD_STEPS_MAX UINT64_C(400000)

/* Everything of the last world is forgotten. */
void world_begin(uint64_t seed, bool tracing);
/* Memory until the end of the world, zero-filled. */
void *world_alloc(size_t size_bytes);

/* A new process that isn't started yet. */
struct process *process_add(const char *name, unsigned host);
void process_start(struct process *p);
/* As by kill -9. */
void process_kill(struct process *p);
void process_stop(struct process *p);
void process_resume(struct process *p);
/* Its monotonic clock. */
uint64_t process_ns(const struct process *p);
/* How long until its clock has gone on by so much. */
uint64_t process_delay_ns(const struct process *p, uint64_t own_ns);

/* Whose code runs from now on; returns whose it was. */
struct process *world_enter(struct process *p);

/* fn(arg) as who, unless that life of it has ended by then. */
void world_after(struct process *who, uint64_t delay_ns, void (*fn)(void *arg), void *arg);
/* One step. False: nothing is left to happen, or until_ns is reached, or the rules are violated. */
bool world_step(uint64_t until_ns);
void world_run(uint64_t until_ns);

/* A thread of the process that runs. */
void thread_start(void (*fn)(void *arg), void *arg);
/* From threads only. */
void thread_sleep(uint64_t ns);
/* Until thread_wake() or so long; names the thread for it first. */
struct nap {
    struct fiber *fiber;
    struct process *who;
    uint64_t life;
    uint64_t turn;
    bool woken;
};
void thread_nap(struct nap *n, uint64_t ns);
void thread_wake(struct nap *n);

/* A rule is violated; the first one counts. */
void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool violated(void);
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define TRACE(...)                                                                                 \
    do {                                                                                           \
        if (world.tracing)                                                                         \
            trace(__VA_ARGS__);                                                                    \
    } while (0)
/* Something happened: counts for the comparison of two runs. */
void toll(uint64_t what);

#endif
