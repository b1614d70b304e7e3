/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/world.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/heap.h"

#define ARENA_BYTES ((size_t)1 << 20)
#define ARENA_MAX   4096u

/*
 * A whole pool in one thread: a metadata service, nodes and clients, each with its own clock, heap,
 * threads and connections, over a network, a disk and memory that fail as real ones do. What runs
 * in the processes is the product: the service's handlers and tables (meta/), what a node decides
 * (server/node/), and all of libcenote from its public functions down to the fabric (client/,
 * transport/fabric*.c, transport/transfer.c, the slots of shared memory). What is simulated lies
 * below, where the product meets the machine, and takes its place when the program is linked
 * (substitute.c): clocks, randomness, malloc() and mmap(), locks and sleeping, the control RPC's
 * sockets (net.c, rpc.c), the data transports (copy_*.c), LMDB (store.c).
 *
 * Everything that happens is an event: it has a time, and a process whose code it runs. Between two
 * events nothing moves. Delays are drawn from the seed, so the seed decides about every order. A
 * client's threads are fibers that pause where the real ones would wait for something, and also in
 * the middle of a memcpy() into shared memory, where a process may be killed or stopped. The events
 * of a stopped process are kept until it goes on; those of one that was killed are dropped, with
 * its heap and its fibers, and nothing of it runs any more: no destructor, no farewell.
 *
 * The world itself lives in an arena that is forgotten as a whole. All state is static, because a
 * million worlds are run one after the other in one process.
 *
 * After each step the rules are checked (check.c): as far as they can be seen at one moment. What
 * needs a history, that the operations on each key are linearizable, is judged at the end.
 */
struct world world;

static struct {
    uint8_t *chunks[ARENA_MAX];
    size_t made, current, used;
} arena;

void *world_alloc(size_t size_bytes)
{
    size_t size = (size_bytes + 15) & ~(size_t)15;
    struct process *before = world_enter(NULL);
    assert(size <= ARENA_BYTES);
    if (arena.made > 0 && arena.used + size > ARENA_BYTES) {
        arena.current++;
        arena.used = 0;
    }
    if (arena.current == arena.made) {
        assert(arena.made < ARENA_MAX);
        arena.chunks[arena.made] = malloc(ARENA_BYTES);
        assert(arena.chunks[arena.made] != NULL);
        arena.made++;
    }
    uint8_t *out = arena.chunks[arena.current] + arena.used;
    arena.used += size;
    world_enter(before);
    return memset(out, 0, size);
}

void world_begin(uint64_t seed, bool tracing)
{
    struct event **heap = world.heap;
    size_t room = world.heap_room;
    for (unsigned i = 0; i < world.process_count; i++) {
        if (world.processes[i].alive)
            process_kill(&world.processes[i]);
    }
    memset(&world, 0, sizeof world);
    arena.current = arena.used = 0;
    world.heap = heap;
    world.heap_room = room;
    world.seed = seed;
    world.tracing = tracing;
    world.now_ns = 1000 * NS_PER_MS;
    world.slow = 1;
    world.chance = chance_of(seed, 1);
}

/* ---- what happens next ----------------------------------------------------------------------- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void heap_push(struct event *e)
{
    if (world.heap_count == world.heap_room) {
        struct process *self = world_enter(NULL);
        world.heap_room = world.heap_room * 2 + 256;
        world.heap = realloc(world.heap, world.heap_room * sizeof(struct event *));
        assert(world.heap != NULL);
        world_enter(self);
    }
    size_t at = world.heap_count++;
    for (; at > 0 && before(e, world.heap[(at - 1) / 2]); at = (at - 1) / 2)
        world.heap[at] = world.heap[(at - 1) / 2];
    world.heap[at] = e;
}

static struct event *heap_pop(void)
{
    struct event *first = world.heap[0], *last = world.heap[--world.heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= world.heap_count)
            break;
        if (child + 1 < world.heap_count && before(world.heap[child + 1], world.heap[child]))
            child++;
        if (!before(world.heap[child], last))
            break;
        world.heap[at] = world.heap[child];
        at = child;
    }
    world.heap[at] = last;
    return first;
}

static void event_queue(struct event *e, uint64_t at_ns)
{
    e->at_ns = at_ns;
    e->order = world.orders++;
    heap_push(e);
}

void world_after(struct process *who, uint64_t delay_ns, void (*fn)(void *arg), void *arg)
{
    struct event *e = world.unused_events;
    if (e != NULL)
        world.unused_events = e->next;
    else
        e = world_alloc(sizeof *e);
    *e = (struct event){.who = who, .life = who != NULL ? who->life : 0, .fn = fn, .arg = arg};
    event_queue(e, world.now_ns + delay_ns);
}

static void event_keep(struct event *e)
{
    struct process *p = e->who;
    e->next = NULL;
    if (p->kept == NULL)
        p->kept = e;
    else
        p->kept_last->next = e;
    p->kept_last = e;
}

static void event_run(struct event *e)
{
    struct event now = *e;
    e->next = world.unused_events;
    world.unused_events = e;
    world_enter(now.who);
    now.fn(now.arg);
    world_enter(NULL);
    world.last = now.who;
    if (world.checked != NULL && !violated())
        world.checked();
}

bool world_step(uint64_t until_ns)
{
    if (world.heap_count == 0 || world.heap[0]->at_ns > until_ns || violated())
        return false;
    struct event *e = heap_pop();
    if (e->at_ns > world.now_ns)
        world.now_ns = e->at_ns;
    struct process *p = e->who;
    if (p != NULL && (!p->alive || p->life != e->life)) {
        e->next = world.unused_events;
        world.unused_events = e;
    } else if (p != NULL && p->stopped) {
        event_keep(e);
    } else {
        event_run(e);
        if (++world.steps > WORLD_STEPS_MAX)
            violation("no end after %llu steps", (unsigned long long)world.steps);
    }
    return !violated();
}

void world_run(uint64_t until_ns)
{
    while (world_step(until_ns))
        ;
    if (!violated() && world.now_ns < until_ns)
        world.now_ns = until_ns;
}

/* ---- processes ------------------------------------------------------------------------------- */

struct process *world_enter(struct process *p)
{
    struct process *was = world.self;
    world.self = p;
    return was;
}

struct process *process_add(const char *name, unsigned host)
{
    assert(world.process_count < PROCESSES_MAX && host < HOSTS_MAX);
    struct process *p = &world.processes[world.process_count];
    *p = (struct process){.number = world.process_count++, .host = host};
    snprintf(p->name, sizeof p->name, "%s", name);
    p->chance = chance_of(world.seed, 100 + p->number);
    p->skew_ns = chance_below(&p->chance, UINT64_C(1) << 40);
    /* Two of them differ by less than the 1 % that leases allow for. */
    p->rate_ppm = (int32_t)chance_below(&p->chance, 7000) - 3500;
    return p;
}

void process_start(struct process *p)
{
    assert(!p->alive);
    p->alive = true;
    p->stopped = false;
    p->fails_in = 0;
    p->life++;
    TRACE("%s starts, life %llu", p->name, (unsigned long long)p->life);
}

void process_kill(struct process *p)
{
    assert(p->alive && world.self != p);
    TRACE("%s is killed", p->name);
    p->alive = p->stopped = false;
    for (unsigned i = 0; i < PROCESS_FIBERS_MAX; i++) {
        if (p->fibers[i] != NULL)
            fiber_drop(p->fibers[i]);
        p->fibers[i] = NULL;
    }
    heap_end(p);
    p->kept = NULL;
}

void process_stop(struct process *p)
{
    TRACE("%s is stopped", p->name);
    p->stopped = true;
}

void process_resume(struct process *p)
{
    TRACE("%s goes on", p->name);
    p->stopped = false;
    while (p->kept != NULL) {
        struct event *e = p->kept;
        p->kept = e->next;
        event_queue(e, world.now_ns);
    }
}

uint64_t process_ns(const struct process *p)
{
    if (p == NULL)
        return world.now_ns;
    int64_t more = (int64_t)(world.now_ns / 1000000) * p->rate_ppm;
    return p->skew_ns + world.now_ns + (uint64_t)more;
}

uint64_t process_delay_ns(const struct process *p, uint64_t own_ns)
{
    return own_ns - (uint64_t)((int64_t)(own_ns / 1000000) * p->rate_ppm);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void thread_go(void *arg)
{
    struct fiber *f = arg;
    struct process *p = world.self;
    if (!fiber_run(f))
        return;
    for (unsigned i = 0; i < PROCESS_FIBERS_MAX; i++) {
        if (p->fibers[i] == f)
            p->fibers[i] = NULL;
    }
    fiber_drop(f);
}

void thread_start(void (*fn)(void *arg), void *arg)
{
    struct process *p = world_enter(NULL);
    unsigned i = 0;
    while (p->fibers[i] != NULL)
        i++;
    assert(i < PROCESS_FIBERS_MAX);
    p->fibers[i] = fiber_new(fn, arg);
    world_enter(p);
    world_after(p, 0, thread_go, p->fibers[i]);
}

void thread_sleep(uint64_t ns)
{
    struct process *p = world.self;
    world_after(p, ns, thread_go, fiber_self());
    fiber_pause();
    world.self = p;
}

/* A nap that ended in time leaves its alarm behind. */
struct alarm {
    struct nap *nap;
    uint64_t turn;
};

static void nap_over(void *arg)
{
    struct alarm *a = arg;
    if (a->nap->turn == a->turn && a->nap->fiber != NULL)
        thread_go(a->nap->fiber);
}

void thread_nap(struct nap *n, uint64_t ns)
{
    struct process *p = world.self;
    struct alarm *a = world_alloc(sizeof *a);
    *n = (struct nap){fiber_self(), p, p->life, n->turn + 1, false};
    *a = (struct alarm){n, n->turn};
    world_after(p, ns, nap_over, a);
    fiber_pause();
    world.self = p;
    n->fiber = NULL;
    n->turn++;
}

void thread_wake(struct nap *n)
{
    if (n->fiber == NULL || n->woken || !n->who->alive || n->who->life != n->life)
        return;
    struct alarm *a = world_alloc(sizeof *a);
    n->woken = true;
    n->turn++;
    *a = (struct alarm){n, n->turn};
    world_after(n->who, 0, nap_over, a);
}

/* ---- what is told ---------------------------------------------------------------------------- */

void toll(uint64_t what)
{
    struct chance c = {world.tolls ^ what ^ world.now_ns * 31};
    world.tolls = chance_next(&c);
}

static void say(FILE *to, const char *format, va_list args)
{
    fprintf(to, "%12.3f ms  ", (double)world.now_ns / 1e6);
    vfprintf(to, format, args);
    fputc('\n', to);
}

void trace(const char *format, ...)
{
    struct process *before_ = world_enter(NULL);
    va_list args;
    va_start(args, format);
    say(stdout, format, args);
    va_end(args);
    world_enter(before_);
}

void violation(const char *format, ...)
{
    struct process *self = world_enter(NULL);
    va_list args;
    if (world.violation[0] == '\0') {
        va_start(args, format);
        vsnprintf(world.violation, sizeof world.violation, format, args);
        va_end(args);
        TRACE("VIOLATION: %s", world.violation);
    }
    world_enter(self);
}

bool violated(void)
{
    return world.violation[0] != '\0';
}
