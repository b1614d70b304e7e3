/* SPDX-License-Identifier: Apache-2.0 */
#include <cenote/status.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/trace.h"

static unsigned get, get_copy, commit;
static struct trace *t;
static struct textbuf out;

static void begin(void)
{
    t = trace_new();
    cr_assert_not_null(t);
    get = trace_point(t, "get", NULL);
    get_copy = trace_point(t, "get", "copy");
    commit = trace_point(t, "put", "commit");
}

static void end(void)
{
    textbuf_free(&out);
    trace_free(t);
}

TestSuite(trace, .init = begin, .fini = end);

static unsigned count_of(const char *text)
{
    unsigned count = 0;
    for (const char *at = out.text; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

static void span(unsigned point, uint64_t number)
{
    trace_end(t, point, trace_begin(t, point), number);
}

Test(trace, point__each_name_once)
{
    cr_assert_eq(trace_point(t, "get", "copy"), get_copy);
    cr_assert_eq(trace_point(t, "get", NULL), get);
    cr_assert_neq(trace_point(t, "get", "verify"), get_copy);
    cr_assert_eq(trace_point(NULL, "get", "copy"), 0);
}

Test(trace, off__nothing_is_kept)
{
    cr_assert_not(trace_on(t));
    cr_assert_not(trace_on(NULL));
    cr_assert_eq(trace_begin(t, get), 0);
    cr_assert_eq(trace_begin(NULL, get), 0);
    trace_end(t, get, 0, 1);
    trace_end(NULL, get, 0, 1);
    trace_dump(t, &out);
    cr_assert_eq(count_of("\"ph\""), 1);
    textbuf_free(&out);
    trace_page(t, &out);
    cr_assert_eq(count_of("{"), 0);
    cr_assert_eq(count_of("# TYPE"), TRACE_METRICS);
}

Test(trace, dump__spans_nest_and_overlap)
{
    cr_assert_eq(trace_switch(t, true), CENOTE_OK);
    uint64_t outer = trace_begin(t, get);
    span(get_copy, 4096);
    trace_end(t, get, outer, 1);
    trace_end_overlapping(t, commit, trace_begin(t, commit), 7);
    trace_dump(t, &out);
    cr_assert_eq(count_of("\"ph\":\"X\""), 2);
    cr_assert_eq(count_of("\"ph\":\"b\""), 1);
    cr_assert_eq(count_of("\"ph\":\"e\""), 1);
    cr_assert_eq(count_of("\"name\":\"copy\",\"cat\":\"get\""), 1);
    cr_assert_eq(count_of("\"args\":{\"n\":4096}"), 1);
    cr_assert_eq(count_of("thread_name"), 1);
}

/* An operation and its stages, and another one meanwhile. */
Test(trace, dump__groups_have_numbers_of_their_own)
{
    char id[2][48];
    cr_assert_eq(trace_switch(t, true), CENOTE_OK);
    uint64_t groups[2] = {trace_group(t), trace_group(t)};
    cr_assert_neq(groups[0], groups[1]);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t whole = trace_begin(t, get), stage = trace_begin(t, get_copy);
        trace_end_grouped(t, get_copy, stage, 1, groups[i]);
        trace_end_grouped(t, get, whole, 2, groups[i]);
        snprintf(id[i], sizeof id[i], "\"id\":%llu,",
                 (unsigned long long)(UINT64_C(1) << 32) + groups[i]);
    }
    trace_end_overlapping(t, commit, trace_begin(t, commit), 7);
    trace_dump(t, &out);
    cr_assert_eq(count_of("\"ph\":\"b\""), 5);
    cr_assert_eq(count_of("\"ph\":\"e\""), 5);
    cr_assert_eq(count_of("\"id\":"), 10);
    for (unsigned i = 0; i < 2; i++) {
        id[i][strlen(id[i]) - 1] = '\0';
        cr_assert_eq(count_of(id[i]), 4);
    }
}

Test(trace, drop__it_was_no_span)
{
    cr_assert_eq(trace_switch(t, true), CENOTE_OK);
    trace_drop(t, get, trace_begin(t, get));
    trace_drop(t, get, 0);
    trace_drop(NULL, get, 0);
    trace_page(t, &out);
    cr_assert_eq(count_of("{"), 0);
    textbuf_free(&out);
    trace_dump(t, &out);
    cr_assert_eq(count_of("\"ph\""), 1);
}

Test(trace, switch__what_began_before_is_not_shown)
{
    cr_assert_eq(trace_switch(t, true), CENOTE_OK);
    span(get, 1);
    uint64_t begun = trace_begin(t, get_copy);
    cr_assert_eq(trace_switch(t, false), CENOTE_OK);
    span(get, 2);
    trace_end(t, get_copy, begun, 3); /* begun means that it ends */
    trace_dump(t, &out);
    cr_assert_eq(count_of("\"ph\":\"X\""), 2);
    textbuf_free(&out);
    cr_assert_eq(trace_switch(t, true), CENOTE_OK);
    span(commit, 4);
    trace_dump(t, &out);
    cr_assert_eq(count_of("\"ph\":\"X\""), 1);
}

Test(trace, ring__keeps_the_newest)
{
    cr_assert_eq(trace_switch(t, true), CENOTE_OK);
    for (uint64_t i = 0; i < TRACE_RING_EVENTS + 10; i++)
        span(get, 100000 + i);
    trace_dump(t, &out);
    cr_assert_eq(count_of("\"ph\":\"X\""), TRACE_RING_EVENTS);
    cr_assert_eq(count_of("{\"n\":100009}"), 0);
    cr_assert_eq(count_of("{\"n\":100010}"), 1);
    cr_assert_eq(count_of("{\"n\":104105}"), 1);
}

Test(trace, page__counts)
{
    cr_assert_eq(trace_switch(t, true), CENOTE_OK);
    span(get_copy, 1);
    span(get_copy, 1);
    uint64_t begun = trace_begin(t, get);
    trace_page(t, &out);
    cr_assert_eq(count_of("cenote_trace_seconds_count{operation=\"get\",stage=\"copy\"} 2\n"), 1);
    cr_assert_eq(count_of("cenote_trace_in_flight{operation=\"get\",stage=\"\"} 1\n"), 1);
    cr_assert_eq(count_of("cenote_trace_in_flight{operation=\"get\",stage=\"copy\"} 0\n"), 1);
    cr_assert_eq(count_of("cenote_trace_shortest_seconds{operation=\"get\",stage=\"copy\"} 0."), 1);
    cr_assert_eq(count_of("cenote_trace_longest_seconds{operation=\"get\",stage=\"copy\"} 0."), 1);
    cr_assert_eq(count_of("operation=\"put\""), 0);
    trace_end(t, get, begun, 0);
}
