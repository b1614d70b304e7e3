/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's program; README.md says what it is asked.
 *
 * Worlds run in worker processes, so that a failed assertion of the product, a report of a
 * sanitizer or an endless loop ends one world only, and names its seed.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/crew.h"
#include "tests/sim/schedules.h"
#include "transport/base/hash.h"
#include "transport/base/log.h"

static const char usage[] =
    "usage: sim [--first N] [--seeds N | --seconds N] [--jobs N]   many worlds\n"
    "       sim --seed N [--skip o1,f2,...] [--trace] [--log]      one of them\n"
    "       sim --seed N --minimise                                what it needs to fail\n"
    "       sim --schedule NAME|all [--seeds N]                    variations of a schedule\n"
    "       sim --schedule NAME --seed N [...]                     one of them, as above\n"
    "       sim --list\n";

/* Variations of a schedule, if nothing is said. */
#define SCHEDULE_SEEDS 400u

struct asked {
    uint64_t seed, first, seeds, seconds, jobs;
    bool one, minimise, trace, list;
    const char *skip, *schedule;
};

static bool number(const char *text, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return *text != '\0' && *end == '\0';
}

enum choice {
    SEED = 1,
    FIRST,
    SEEDS,
    SECONDS,
    JOBS,
    SKIP,
    SCHEDULE,
    MINIMISE,
    TRACING,
    LOGGING,
    LIST
};

static const struct option options[] = {{"seed", required_argument, NULL, SEED},
                                        {"first", required_argument, NULL, FIRST},
                                        {"seeds", required_argument, NULL, SEEDS},
                                        {"seconds", required_argument, NULL, SECONDS},
                                        {"jobs", required_argument, NULL, JOBS},
                                        {"skip", required_argument, NULL, SKIP},
                                        {"schedule", required_argument, NULL, SCHEDULE},
                                        {"minimise", no_argument, NULL, MINIMISE},
                                        {"trace", no_argument, NULL, TRACING},
                                        {"log", no_argument, NULL, LOGGING},
                                        {"list", no_argument, NULL, LIST},
                                        {0}};

static bool take_flag(int option, struct asked *a)
{
    a->minimise |= option == MINIMISE;
    a->trace |= option == TRACING;
    a->list |= option == LIST;
    if (option == LOGGING) {
        log_set_sink(log_to_stderr, NULL);
        log_set_level(LOG_DEBUG);
    }
    return option >= MINIMISE && option <= LIST;
}

static bool take(int option, const char *value, struct asked *a)
{
    switch (option) {
    case SEED:
        a->one = true;
        return number(value, &a->seed);
    case FIRST:
        return number(value, &a->first);
    case SEEDS:
        return number(value, &a->seeds) && a->seeds > 0;
    case SECONDS:
        return number(value, &a->seconds) && a->seconds > 0;
    case JOBS:
        return number(value, &a->jobs) && a->jobs > 0 && a->jobs <= CREW_MAX;
    case SKIP:
        a->skip = value;
        return true;
    case SCHEDULE:
        a->schedule = value;
        return true;
    default:
        return take_flag(option, a);
    }
}

/* s: a variation of it; NULL: a world. */
static int run_one(const struct asked *a, const struct schedule *s)
{
    static struct plan plan;
    if (s != NULL)
        s->draw(&plan, a->seed);
    else
        plan_draw(&plan, a->seed);
    if (a->skip != NULL && !plan_skip(&plan, a->skip)) {
        fputs(usage, stderr);
        return 2;
    }
    if (a->trace)
        plan_print(&plan);
    scene_run(&plan, a->trace);
    if (s != NULL)
        printf("schedule %s, ", s->name);
    if (violated())
        printf("seed %llu: %s\n", (unsigned long long)a->seed, world.violation);
    else
        printf("seed %llu: %llu steps, %u operations, nothing wrong (%llx)\n",
               (unsigned long long)a->seed, (unsigned long long)world.steps, history_count(),
               (unsigned long long)world.tolls);
    return violated() ? 1 : 0;
}

/* One of it, or many. */
static int run(const struct asked *a, const struct schedule *s)
{
    struct crew_work w = {
        .first = a->first, .seeds = a->seeds, .seconds = a->seconds, .jobs = (unsigned)a->jobs};
    if (s != NULL) {
        w.draw = s->draw;
        w.name = s->name;
        w.seeds = a->seeds > 0 || a->seconds > 0 ? a->seeds : SCHEDULE_SEEDS;
    }
    if (a->one)
        return a->minimise ? crew_minimise(&w, a->seed) : run_one(a, s);
    return crew_run(&w);
}

static int run_schedules(const struct asked *a)
{
    bool all = strcmp(a->schedule, "all") == 0, any = false;
    const struct schedule *s;
    int code = 0;
    for (unsigned i = 0; (s = schedules_at(i)) != NULL; i++) {
        if (!all && strcmp(s->name, a->schedule) != 0)
            continue;
        any = true;
        code |= run(a, s);
    }
    if (!any)
        fprintf(stderr, "sim: no schedule is called %s\n", a->schedule);
    return any ? code : 2;
}

static int list_schedules(void)
{
    const struct schedule *s;
    for (unsigned i = 0; (s = schedules_at(i)) != NULL; i++)
        printf("%-10s %s\n", s->name, s->about);
    return 0;
}

int main(int argc, char **argv)
{
    struct asked a = {.first = 1, .jobs = 1};
    int option;
    hash_init();
    log_set_sink(NULL, NULL);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (!take(option, optarg, &a)) {
            fputs(usage, stderr);
            return 2;
        }
    }
    if (a.list)
        return list_schedules();
    return a.schedule != NULL ? run_schedules(&a) : run(&a, NULL);
}
