/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/crew.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A world takes a millisecond. */
#define HANGS_SECONDS 60
#define LOOK_US       10000
/* So many seeds apart, one is run twice: both runs must be the same. */
#define TWICE_ONE     64u
#define SKIP_MAX      2048u

/* Shared with the worker. */
struct slot {
    uint64_t seed; /* that it works on */
    uint64_t seeds, steps, bad;
    bool over;
};

struct worker {
    pid_t pid; /* 0: none */
    uint64_t seed;
    time_t since; /* when it began that seed */
};

static uint64_t seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec;
}

static void tell(const struct crew_work *w, uint64_t seed, const char *what)
{
    if (w->name != NULL)
        printf("schedule %s, ", w->name);
    printf("seed %llu: %s\n", (unsigned long long)seed, what);
    fflush(stdout);
}

/* ---- the worker ------------------------------------------------------------------------------ */

static void draw(const struct crew_work *w, struct plan *plan, uint64_t seed)
{
    if (w->draw != NULL)
        w->draw(plan, seed);
    else
        plan_draw(plan, seed);
}

static void run_seed(const struct crew_work *w, uint64_t seed)
{
    static struct plan plan;
    draw(w, &plan, seed);
    scene_run(&plan, false);
}

static void run_and_tell(const struct crew_work *w, struct slot *s)
{
    run_seed(w, s->seed);
    uint64_t tolls = world.tolls;
    s->steps += world.steps;
    if (!violated() && s->seed % TWICE_ONE == 0) {
        run_seed(w, s->seed);
        if (world.tolls != tolls)
            violation("two runs of it differ");
    }
    s->seeds++;
    if (violated()) {
        s->bad++;
        tell(w, s->seed, world.violation);
    }
}

static void work_on(const struct crew_work *w, struct slot *s, uint64_t until_s)
{
    uint64_t end = w->seeds > 0 ? w->first + w->seeds : UINT64_MAX;
    for (; s->seed < end && seconds_now() < until_s; s->seed += w->jobs)
        run_and_tell(w, s);
    s->over = true;
}

/* ---- the others ------------------------------------------------------------------------------ */

static void hire(const struct crew_work *w, struct slot *s, struct worker *at, uint64_t until_s)
{
    fflush(stdout);
    at->seed = s->seed;
    at->since = (time_t)seconds_now();
    at->pid = fork();
    assert(at->pid >= 0);
    if (at->pid > 0)
        return;
    work_on(w, s, until_s);
    fflush(stdout);
    _exit(0);
}

/* The worker has ended. False: in the middle of a seed, which counts, and the next one follows. */
static bool ended_well(const struct crew_work *w, struct slot *s, int status)
{
    char text[64];
    if (s->over && WIFEXITED(status))
        return true;
    if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "ended by signal %d", WTERMSIG(status));
    else
        snprintf(text, sizeof text, "ended with status %d", WEXITSTATUS(status));
    tell(w, s->seed, text);
    s->bad++;
    s->seeds++;
    s->seed += w->jobs;
    return false;
}

static void look_for_hang(const struct slot *s, struct worker *at)
{
    if (s->seed != at->seed) {
        at->seed = s->seed;
        at->since = (time_t)seconds_now();
    } else if (seconds_now() - (uint64_t)at->since > HANGS_SECONDS) {
        kill(at->pid, SIGKILL);
        at->since = (time_t)seconds_now();
    }
}

static void watch(const struct crew_work *w, struct slot *slots, struct worker *workers,
                  uint64_t until_s)
{
    for (unsigned busy = w->jobs; busy > 0;) {
        usleep(LOOK_US); /* nanosleep() is simulated */
        for (unsigned i = 0; i < w->jobs; i++) {
            int status;
            if (workers[i].pid == 0)
                continue;
            look_for_hang(&slots[i], &workers[i]);
            if (waitpid(workers[i].pid, &status, WNOHANG) != workers[i].pid)
                continue;
            workers[i].pid = 0;
            if (ended_well(w, &slots[i], status))
                busy--;
            else
                hire(w, &slots[i], &workers[i], until_s);
        }
    }
}

static int report(const struct crew_work *w, const struct slot *slots, uint64_t begun_s)
{
    uint64_t seeds = 0, steps = 0, bad = 0, s = seconds_now() - begun_s;
    for (unsigned i = 0; i < w->jobs; i++) {
        seeds += slots[i].seeds;
        steps += slots[i].steps;
        bad += slots[i].bad;
    }
    if (!w->quiet || bad > 0)
        printf("%s%sseeds %llu steps %llu violations %llu, %llu seeds/s\n",
               w->name != NULL ? w->name : "", w->name != NULL ? ": " : "",
               (unsigned long long)seeds, (unsigned long long)steps, (unsigned long long)bad,
               (unsigned long long)(seeds / (s > 0 ? s : 1)));
    return bad > 0;
}

int crew_run(const struct crew_work *asked)
{
    struct crew_work w = *asked;
    struct worker workers[CREW_MAX] = {0};
    struct slot *slots = mmap(NULL, sizeof *slots * CREW_MAX, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t begun_s = seconds_now(), until_s = w.seconds > 0 ? begun_s + w.seconds : UINT64_MAX;
    assert(slots != MAP_FAILED);
    if (w.seeds == 0 && w.seconds == 0)
        w.seeds = CREW_SEEDS;
    for (unsigned i = 0; i < w.jobs; i++) {
        slots[i].seed = w.first + i;
        hire(&w, &slots[i], &workers[i], until_s);
    }
    watch(&w, slots, workers, until_s);
    int code = report(&w, slots, begun_s);
    munmap(slots, sizeof *slots * CREW_MAX);
    return code;
}

/* ---- making smaller -------------------------------------------------------------------------- */

static bool fails(const struct crew_work *w, uint64_t seed, const char *skip)
{
    static struct plan plan;
    int status;
    fflush(stdout);
    pid_t pid = fork();
    assert(pid >= 0);
    if (pid == 0) {
        draw(w, &plan, seed);
        if (!plan_skip(&plan, skip))
            _exit(0);
        alarm(HANGS_SECONDS);
        scene_run(&plan, false);
        _exit(violated() ? 1 : 0);
    }
    return waitpid(pid, &status, 0) == pid && !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Tries without pieces first to first + count - 1; those that aren't needed stay out. */
static bool try_without(const struct crew_work *w, uint64_t seed, char skip[SKIP_MAX], char kind,
                        const uint16_t *numbers, unsigned count)
{
    char more[SKIP_MAX];
    size_t at = (size_t)snprintf(more, sizeof more, "%s", skip);
    for (unsigned i = 0; i < count && at < sizeof more; i++)
        at += (size_t)snprintf(more + at, sizeof more - at, "%s%c%u", at > 0 ? "," : "", kind,
                               numbers[i]);
    if (at >= sizeof more || !fails(w, seed, more))
        return false;
    memcpy(skip, more, sizeof more);
    return true;
}

static bool drop_some(const struct crew_work *w, uint64_t seed, char skip[SKIP_MAX], char kind)
{
    static struct plan plan;
    uint16_t numbers[PLAN_OPS_MAX];
    unsigned count = 0;
    draw(w, &plan, seed);
    plan_skip(&plan, skip);
    for (unsigned i = 0; kind == 'o' && i < plan.op_count; i++)
        numbers[count++] = plan.ops[i].number;
    for (unsigned i = 0; kind == 'f' && i < plan.fault_count; i++)
        numbers[count++] = plan.faults[i].number;
    for (unsigned n = count; n > 0; n /= 2) {
        for (unsigned first = 0; first + n <= count; first += n) {
            if (try_without(w, seed, skip, kind, numbers + first, n))
                return true;
        }
    }
    return false;
}

int crew_minimise(const struct crew_work *work, uint64_t seed)
{
    static char skip[SKIP_MAX];
    static struct plan plan;
    if (!fails(work, seed, "")) {
        tell(work, seed, "violates nothing");
        return 1;
    }
    while (drop_some(work, seed, skip, 'f') || drop_some(work, seed, skip, 'o'))
        ;
    draw(work, &plan, seed);
    plan_skip(&plan, skip);
    plan_print(&plan);
    printf("sim%s%s --seed %llu --skip %s --trace\n", work->name != NULL ? " --schedule " : "",
           work->name != NULL ? work->name : "", (unsigned long long)seed,
           skip[0] != '\0' ? skip : "o9999");
    return 0;
}
