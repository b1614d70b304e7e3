/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tally.h"

#include <stdlib.h>
#include <string.h>

static const char *const ops[TALLY_OPS] = {"get", "put", "remove", "exists", "stat", "view"};
static const char *const stages[TALLY_STAGES] = {
    [TALLY_LOOKUP] = "lookup", [TALLY_START] = "start",   [TALLY_COPY] = "copy",
    [TALLY_VERIFY] = "verify", [TALLY_COMMIT] = "commit", [TALLY_WAIT] = "wait",
    [TALLY_QUEUE] = "queue",   [TALLY_PART] = "part",     [TALLY_WARM] = "warm"};

static void make_points(struct tally *t)
{
    for (unsigned op = 0; op < TALLY_OPS; op++)
        for (unsigned stage = 0; stage < TALLY_STAGES; stage++)
            t->points[op][stage] = trace_point(t->trace, ops[op], stages[stage]);
}

struct tally *tally_new(void)
{
    struct tally *t = aligned_alloc(_Alignof(struct tally), sizeof *t);
    if (!t)
        return NULL;
    memset(t, 0, sizeof *t);
    t->trace = trace_new();
    if (!t->trace) {
        free(t);
        return NULL;
    }
    make_points(t);
    return t;
}

void tally_free(struct tally *t)
{
    if (!t)
        return;
    trace_free(t->trace);
    free(t);
}

void tally_count_ended(struct tally *t, enum tally_op op, int status)
{
    unsigned place = status <= 0 && status > -(int)TALLY_STATUSES ? (unsigned)-status
                                                                  : (unsigned)-CENOTE_INTERNAL;
    metric_add_shared(&t->ended[op][place], 1);
}

void tally_count_took(struct tally *t, enum tally_op op, uint64_t begun_ns)
{
    metric_observe_ns_shared(&t->durations[op], clock_now_ns() - begun_ns, 1);
}
