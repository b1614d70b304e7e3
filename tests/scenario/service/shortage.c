/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The story of a pool, again and again, each time with another request of the service that fails:
 * for memory (of malloc and its like, and of mmap), or for a change of the store; alone, or with
 * those that follow it. The service answers an error, or none, and goes on when the shortage is
 * over: with the contents that it has acknowledged, and without losing any space.
 *
 * Usage: service_shortage [all | seed]   (all: each request; otherwise some, drawn by the seed)
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/scenario/check.h"
#include "tests/scenario/service/actors.h"
#include "tests/scenario/service/story.h"
#include "transport/base/log.h"

/* How many fail, when it isn't one. */
#define LASTING       12u
/* Runs of each kind, unless all are wanted. */
#define RUNS          24u
/* One request that fails is heard of so often at most. */
#define ERRORS_OF_ONE 3u

/* The linker sends all of this program's requests here (--wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset);

static struct {
    bool store;            /* changes of the store are meant, not memory */
    unsigned first, count; /* those that fail, from number 1 on */
    unsigned requests;     /* for memory, so far */
} plan;

static bool fails(void)
{
    if (!in_service || plan.store)
        return false;
    plan.requests++;
    return plan.requests >= plan.first && plan.requests - plan.first < plan.count;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, len, protection, flags, fd, offset);
}

static void prepare(struct world *w)
{
    if (plan.store && plan.count > 0)
        memstore_fail_later(w->store, plan.first - 1, plan.count,
                            plan.first % 2 == 0 ? CENOTE_IO : CENOTE_META_FULL);
}

static struct story run(bool store, unsigned first, unsigned count)
{
    plan.store = store;
    plan.first = first;
    plan.count = count;
    plan.requests = 0;
    return story_run(&(struct story_options){.troubled = count > 0, .prepare = prepare});
}

/* So many of all requests, evenly spread. */
static void sweep(const char *what, bool store, unsigned count, unsigned requests, unsigned runs,
                  unsigned seed)
{
    unsigned stride = runs < requests ? requests / runs : 1;
    unsigned done = 0, heard = 0, most = 0;
    for (unsigned first = 1 + seed % stride; first <= requests; first += stride, done++) {
        if (getenv("SHORTAGE_LOG") != NULL)
            fprintf(stderr, "%s: number %u\n", what, first);
        unsigned errors = run(store, first, count).errors;
        heard += errors > 0;
        most = errors > most ? errors : most;
    }
    printf("%s: %u runs, %u were told of it, %u errors in one at most\n", what, done, heard, most);
    CHECK(heard > 0);
    CHECK(count > 1 || most <= ERRORS_OF_ONE);
}

int main(int argc, char **argv)
{
    bool all = argc > 1 && strcmp(argv[1], "all") == 0;
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : (unsigned)time(NULL);
    unsigned runs = all ? UINT32_MAX : RUNS;
    log_set_sink(getenv("META_LOG") != NULL ? log_to_stderr : NULL, NULL);
    struct story well = run(false, 0, 0);
    CHECK_EQ(well.errors, 0);
    unsigned requests = plan.requests;
    printf("seed %u: %u requests for memory, %u changes of the store\n", seed, requests,
           well.changes);
    sweep("one request for memory", false, 1, requests, runs, seed);
    sweep("many requests", false, LASTING, requests, runs, seed);
    sweep("one change of the store", true, 1, well.changes, runs, seed);
    sweep("many changes", true, LASTING, well.changes, runs, seed);
    return 0;
}
