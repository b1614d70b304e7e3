/* SPDX-License-Identifier: Apache-2.0 */
/* Threads count, time and trace, while another one reads and switches: nothing is lost, and no look
 * sees what can't be. */
#include <cenote/status.h>
#include <pthread.h>
#include <string.h>

#include "tests/scenario/check.h"
#include "transport/base/trace.h"

#define WRITERS 4u
#define ROUNDS  20000u

enum { WHOLE, STAGE };

static struct metric_histogram own[WRITERS], shared;
static metric_counter counted;
static struct trace *trace;
static atomic_uint writing = WRITERS;

static void *count_things(void *arg)
{
    struct metric_histogram *mine = arg;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t whole = trace_begin(trace, WHOLE);
        uint64_t stage = trace_begin(trace, STAGE);
        metric_observe_ns(mine, i);
        metric_observe_ns_shared(&shared, i, 2);
        metric_add_shared(&counted, 1);
        trace_end(trace, STAGE, stage, i);
        trace_end_overlapping(trace, WHOLE, whole, i);
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

static void look(uint64_t *seen)
{
    struct metric_view view = {0};
    struct textbuf text = {0};
    for (unsigned i = 0; i < WRITERS; i++)
        metric_view_add(&view, &own[i]);
    CHECK(view.count >= *seen);
    *seen = view.count;
    trace_page(trace, &text);
    trace_dump(trace, &text);
    CHECK(!text.failed && strstr(text.text, "\n]}\n") != NULL);
    textbuf_free(&text);
}

int main(void)
{
    pthread_t threads[WRITERS];
    struct metric_view view = {0}, all = {0};
    uint64_t seen = 0;
    trace = trace_new();
    CHECK(trace && trace_switch(trace, true) == CENOTE_OK);
    CHECK_EQ(trace_point(trace, "work", NULL), WHOLE);
    CHECK_EQ(trace_point(trace, "work", "stage"), STAGE);
    for (unsigned i = 0; i < WRITERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, count_things, &own[i]), 0);
    for (bool on = false; atomic_load(&writing) > 0; on = !on) {
        CHECK_EQ(trace_switch(trace, on), CENOTE_OK);
        look(&seen);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < WRITERS; i++)
        metric_view_add(&all, &own[i]);
    metric_view_add(&view, &shared);
    CHECK_EQ(all.count, WRITERS * ROUNDS);
    CHECK_EQ(view.count, 2 * WRITERS * ROUNDS);
    CHECK_EQ(view.sum, 2 * all.sum);
    CHECK_EQ(metric_get(&counted), WRITERS * ROUNDS);
    trace_free(trace);
    return 0;
}
