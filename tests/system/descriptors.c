/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client in a process that has no file descriptors left: a whole life of it, with one descriptor
 * more each time, until it succeeds. Whatever fails says so in its time, leaves no descriptor and
 * no thread behind, and the same client works as soon as the limit is raised.
 *
 * Usage: descriptors ENDPOINT shm|tcp|rdma
 */
#include <cenote/async.h>
#include <cenote/cenote.h>
#include <cenote/view.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench/payload.h"
#include "tests/scenario/check.h"
#include "tests/support/transport.h"

#define VALUE_BYTES 100000u
#define TIMEOUT_MS  400u
#define OP_MAX_MS   (8u * TIMEOUT_MS) /* no operation waits longer for anything */
#define MORE_MAX    64u

static struct cenote_options options = {
    .name_space = "descriptors", .timeout_ms = TIMEOUT_MS, .cache_bytes = 1};
static uint8_t out[VALUE_BYTES], in[VALUE_BYTES];
static rlim_t limit_before;

/* ---- the process ---- */

static unsigned entries(const char *dir)
{
    unsigned count = 0;
    DIR *d = opendir(dir);
    CHECK(d != NULL);
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count;
}

static unsigned descriptors(void)
{
    return entries("/proc/self/fd") - 3; /* itself, and two dots */
}

static unsigned threads(void)
{
    return entries("/proc/self/task") - 2;
}

static void limit_descriptors(rlim_t limit)
{
    struct rlimit r;
    CHECK(getrlimit(RLIMIT_NOFILE, &r) == 0);
    r.rlim_cur = limit;
    CHECK(setrlimit(RLIMIT_NOFILE, &r) == 0);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- what a client does ---- */

static int open_client(struct cenote **c)
{
    return cenote_open(&options, c);
}

static int put(struct cenote **c)
{
    return cenote_put(*c, "k", 1, out, sizeof out, CENOTE_PUT_REPLACE);
}

static int get(struct cenote **c)
{
    uint64_t len = 0;
    memset(in, 0, sizeof in);
    int status = cenote_get(*c, "k", 1, in, sizeof in, &len);
    CHECK(status != CENOTE_OK || (len == sizeof in && memcmp(in, out, sizeof in) == 0));
    return status;
}

static int view(struct cenote **c)
{
    struct cenote_view v;
    int status = cenote_view_get(*c, "k", 1, &v);
    if (status != CENOTE_OK)
        return options.transport != CENOTE_TRANSPORT_SHM ? CENOTE_OK : status;
    CHECK(v.len_bytes == sizeof out && memcmp(v.data, out, sizeof out) == 0);
    cenote_view_release(*c, &v);
    return CENOTE_OK;
}

static int submit(struct cenote **c)
{
    struct cenote_buffer buffer = {in, sizeof in};
    struct cenote_get_item item = {.key = {"k", 1}, .buffers = &buffer, .buffer_count = 1};
    struct cenote_completion done;
    uint64_t id;
    int status = cenote_submit_get(*c, &item, 1, NULL, &id);
    if (status != CENOTE_OK)
        return status;
    CHECK_EQ(cenote_completions(*c, &done, 1, OP_MAX_MS), 1);
    CHECK(done.id == id);
    return done.status;
}

typedef int (*step_fn)(struct cenote **c);

static const struct step {
    const char *name;
    step_fn run;
} steps[] = {{"put", put}, {"get", get}, {"view", view}, {"submit", submit}};
#define STEPS (sizeof steps / sizeof *steps)

static int run(const char *name, step_fn step, struct cenote **c)
{
    uint64_t begun = now_ms();
    int status = step(c);
    uint64_t took = now_ms() - begun;
    if (status != CENOTE_OK)
        printf("  %s: %s after %llu ms\n", name, cenote_status_name(status),
               (unsigned long long)took);
    fflush(stdout);
    CHECK(took <= OP_MAX_MS);
    /* Says what is missing. */
    CHECK(status == CENOTE_OK || status == CENOTE_NO_MEMORY);
    return status;
}

/* True: it worked with so many descriptors. */
static bool life(const struct step *step, rlim_t limit)
{
    struct cenote *c = NULL;
    limit_descriptors(limit);
    int status = run("open", open_client, &c);
    if (status == CENOTE_OK)
        status = run(step->name, step->run, &c);
    limit_descriptors(limit_before);
    if (c != NULL)
        CHECK_EQ(run(step->name, step->run, &c), CENOTE_OK);
    cenote_close(&c);
    return status == CENOTE_OK;
}

static void sweep(const struct step *step)
{
    unsigned used = descriptors(), ran = threads(), more = 0;
    bool worked;
    do {
        CHECK(more < MORE_MAX);
        worked = life(step, used + more);
        CHECK_EQ(descriptors(), used);
        CHECK_EQ(threads(), ran);
        more += !worked;
    } while (!worked);
    printf("%s needs %u descriptors beside the %u of before\n", step->name, more, used);
    CHECK(more > 0);
}

int main(int argc, char **argv)
{
    struct rlimit r;
    CHECK(argc == 3);
    CHECK(close_range(3, ~0u, 0) == 0); /* no holes: so many descriptors, so high a number */
    options.meta = argv[1];
    options.transport = transport_named(argv[2]);
    payload_fill(1, out, sizeof out);
    CHECK(getrlimit(RLIMIT_NOFILE, &r) == 0);
    limit_before = r.rlim_cur;
    for (size_t i = 0; i < STEPS; i++) /* what is opened once in a process is open then */
        CHECK(life(&steps[i], limit_before));
    for (size_t i = 0; i < STEPS; i++)
        sweep(&steps[i]);
    return 0;
}
