/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy that the service runs, judged: on workloads made here it is never far below LRU, and
 * on the published traces it is above it. policy_judged DIR: where the traces are, unless
 * CENOTE_TRACES says. Without them exit status 77, after the rest.
 */
#include <cenote/status.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/policy/sim.h"
#include "tests/policy/workload.h"

#define WORKLOAD_BLOCKS 8000u
#define OF_LRU          0.85 /* at least, of its hits */
/* The reserve that the service keeps. */
#define HIGH_PERCENT    98u
#define LOW_PERCENT     97u

static double ratio(const struct result *r)
{
    return 100 * (double)r->prefix_hits / (double)r->blocks;
}

/* Its hit ratio in per cent; below 0: no memory. */
static double played(struct sim *s, const struct sim_policy *policy)
{
    struct result r;
    return sim_run(s, policy, &r) ? ratio(&r) : -1;
}

static bool judge_workload(const struct workload *w)
{
    struct trace trace;
    struct sim s;
    if (!workload_make(w, &trace))
        return false;
    bool good = sim_init(&s, &trace, WORKLOAD_BLOCKS);
    if (good) {
        double lru = played(&s, &policy_lru), ours = played(&s, &policy_shipped);
        good = lru >= 0 && ours >= OF_LRU * lru;
        printf("%s: %s: %.2f %%, LRU %.2f %%\n", good ? "good" : "FAILED", w->name, ours, lru);
        sim_free(&s);
    }
    trace_file_free(&trace);
    return good;
}

struct target {
    const char *file;
    uint32_t blocks;
    double lru;   /* known, to one digit, cut off */
    double above; /* the policy must not fall back behind */
};

static const struct target targets[] = {
    {"conversation_trace.jsonl", 20000, 28.7, 29.2},
    {"synthetic_trace.jsonl", 5000, 27.9, 29.4},
};

static bool judge_played(struct sim *s, const struct target *t)
{
    struct result r;
    double lru = played(s, &policy_lru), ours = played(s, &policy_shipped);
    if (!sim_min(s, true, &r))
        return false;
    s->high_percent = HIGH_PERCENT;
    s->low_percent = LOW_PERCENT;
    double reserve = played(s, &policy_shipped);
    bool good =
        lru >= t->lru && lru < t->lru + 0.1 && ours > t->above && reserve > lru && ours < ratio(&r);
    printf("%s: %s, %u blocks: %.2f %%, with a reserve %.2f %%, LRU %.2f %%, bound %.2f %%\n",
           good ? "good" : "FAILED", t->file, t->blocks, ours, reserve, lru, ratio(&r));
    return good;
}

static bool judge_trace(const char *path, const struct target *t)
{
    struct trace trace;
    struct sim s;
    char reason[256];
    if (trace_read(path, TRACE_REQUESTS_MAX, &trace, reason, sizeof(reason)) != CENOTE_OK) {
        printf("FAILED: %s: %s\n", path, reason);
        return false;
    }
    bool good = sim_init(&s, &trace, t->blocks);
    if (good) {
        good = judge_played(&s, t);
        sim_free(&s);
    }
    trace_file_free(&trace);
    return good;
}

int main(int argc, char **argv)
{
    const char *folder = getenv("CENOTE_TRACES");
    bool good = true, missing = false;
    if (folder == NULL)
        folder = argc > 1 ? argv[1] : ".";
    for (const struct workload *w = workloads; w->name != NULL; w++)
        good = judge_workload(w) && good;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", folder, targets[i].file);
        if (access(path, R_OK) == 0) {
            good = judge_trace(path, &targets[i]) && good;
        } else {
            printf("SKIPPED: no %s: the targets of the traces are not checked\n", path);
            missing = true;
        }
    }
    return !good ? 1 : missing ? 77 : 0;
}
