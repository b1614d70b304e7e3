/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/trace.h"

#include <assert.h>
#include <cenote/status.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "transport/base/clock.h"

/* The kernel's limit of a thread's name, NUL included, and some room. */
#define THREAD_NAME_BYTES 32
#define MICRO_DIGITS      3u /* of ns */
/* Of pairs: groups have those from here on, what is alone has its place in the rings. */
#define GROUP_IDS         (UINT64_C(1) << 32)

struct event {
    uint64_t begun_ns, ended_ns;
    uint64_t number;
    uint64_t group; /* or TRACE_NESTS, TRACE_ALONE */
    uint32_t thread;
    uint8_t point;
};

static_assert(TRACE_POINTS_MAX <= UINT8_MAX, "an event has a point");

/* Its lock is free but for moments: a ring has one thread, as a rule, and somebody who reads it now
 * and then. */
struct ring {
    pthread_mutex_t lock;
    uint64_t count; /* of events, ever: the newest ones are here */
    struct event *events;
};

struct numbers {
    metric_counter in_flight; /* goes up and down */
    metric_counter min_ns;    /* 0: none has ended */
    struct metric_histogram spans;
};

struct point {
    const char *operation, *stage;
};

/* What is needed once it is on; it stays to the end. */
struct kept {
    struct numbers numbers[TRACE_POINTS_MAX];
    struct event events[TRACE_RINGS][TRACE_RING_EVENTS];
};

struct trace {
    struct trace_flag flag; /* first, where trace_on() looks */
    pthread_mutex_t lock;   /* of switching, and of making points */
    _Atomic unsigned point_count;
    struct point points[TRACE_POINTS_MAX];
    _Atomic uint64_t groups;     /* that were made */
    _Atomic uint64_t since_ns;   /* what began before isn't shown */
    _Atomic(struct kept *) kept; /* NULL: it was never on */
    struct ring rings[TRACE_RINGS];
};

static uint32_t this_thread(void)
{
    static _Thread_local uint32_t number;
    if (number == 0)
        number = (uint32_t)gettid();
    return number;
}

/* ---- making and switching -------------------------------------------------------------------- */

struct trace *trace_new(void)
{
    struct trace *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    for (unsigned i = 0; i < TRACE_RINGS; i++)
        pthread_mutex_init(&t->rings[i].lock, NULL);
    return t;
}

void trace_free(struct trace *t)
{
    if (t == NULL)
        return;
    for (unsigned i = 0; i < TRACE_RINGS; i++)
        pthread_mutex_destroy(&t->rings[i].lock);
    pthread_mutex_destroy(&t->lock);
    free(atomic_load(&t->kept));
    free(t);
}

static bool same_stage(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

unsigned trace_point(struct trace *t, const char *operation, const char *stage)
{
    unsigned i = 0;
    if (t == NULL)
        return 0;
    pthread_mutex_lock(&t->lock);
    unsigned count = atomic_load(&t->point_count);
    while (i < count && !(strcmp(t->points[i].operation, operation) == 0 &&
                          same_stage(t->points[i].stage, stage)))
        i++;
    assert(i < TRACE_POINTS_MAX);
    if (i == count) {
        t->points[i] = (struct point){operation, stage};
        atomic_store(&t->point_count, count + 1);
    }
    pthread_mutex_unlock(&t->lock);
    return i;
}

/* Pages that are never written to cost nothing. */
static int make_kept(struct trace *t)
{
    if (atomic_load(&t->kept) != NULL)
        return CENOTE_OK;
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return CENOTE_NO_MEMORY;
    for (unsigned i = 0; i < TRACE_RINGS; i++)
        t->rings[i].events = kept->events[i];
    atomic_store(&t->kept, kept);
    return CENOTE_OK;
}

int trace_switch(struct trace *t, bool on)
{
    pthread_mutex_lock(&t->lock);
    int status = on ? make_kept(t) : CENOTE_OK;
    if (on && status == CENOTE_OK && !atomic_load(&t->flag.on))
        atomic_store(&t->since_ns, clock_now_ns());
    atomic_store(&t->flag.on, on && status == CENOTE_OK);
    pthread_mutex_unlock(&t->lock);
    return status;
}

/* ---- spans ----------------------------------------------------------------------------------- */

/* The flag may be seen before what it stands for. */
uint64_t trace_begin_now(struct trace *t, unsigned point)
{
    struct kept *kept = atomic_load(&t->kept);
    assert(point < atomic_load(&t->point_count));
    if (kept == NULL)
        return 0;
    metric_add_shared(&kept->numbers[point].in_flight, 1);
    return clock_now_ns();
}

void trace_drop_now(struct trace *t, unsigned point)
{
    metric_add_shared(&atomic_load(&t->kept)->numbers[point].in_flight, (uint64_t)-1);
}

uint64_t trace_group(struct trace *t)
{
    return atomic_fetch_add(&t->groups, 1) + 1;
}

static void count_span(struct numbers *n, uint64_t ns)
{
    uint64_t least = ns > 0 ? ns : 1, min = metric_get(&n->min_ns);
    metric_add_shared(&n->in_flight, (uint64_t)-1);
    metric_observe_ns_shared(&n->spans, ns, 1);
    while ((min == 0 || least < min) && !atomic_compare_exchange_weak(&n->min_ns, &min, least))
        continue;
}

static void keep_event(struct trace *t, const struct event *e)
{
    struct ring *r = &t->rings[e->thread % TRACE_RINGS];
    pthread_mutex_lock(&r->lock);
    r->events[r->count++ % TRACE_RING_EVENTS] = *e;
    pthread_mutex_unlock(&r->lock);
}

void trace_end_now(struct trace *t, unsigned point, uint64_t begun_ns, uint64_t number,
                   uint64_t group)
{
    uint64_t now_ns = clock_now_ns();
    struct event e = {.begun_ns = begun_ns,
                      .ended_ns = now_ns > begun_ns ? now_ns : begun_ns,
                      .number = number,
                      .group = group,
                      .thread = this_thread(),
                      .point = (uint8_t)point};
    count_span(&atomic_load(&t->kept)->numbers[point], e.ended_ns - begun_ns);
    keep_event(t, &e);
}

/* ---- the trace as text ----------------------------------------------------------------------- */

static void add_micros(struct textbuf *out, const char *name, uint64_t ns)
{
    textbuf_add(out, ",\"");
    textbuf_add(out, name);
    textbuf_add(out, "\":");
    textbuf_add_fraction(out, ns, MICRO_DIGITS);
}

/* Up to where the kinds of events differ. */
static void add_event_head(struct textbuf *out, const struct point *p, const char *kind,
                           uint32_t thread)
{
    textbuf_add(out, ",\n{\"name\":");
    textbuf_add_json(out, p->stage != NULL ? p->stage : p->operation);
    textbuf_add(out, ",\"cat\":");
    textbuf_add_json(out, p->operation);
    textbuf_add(out, ",\"ph\":\"");
    textbuf_add(out, kind);
    textbuf_add(out, "\",\"pid\":");
    textbuf_add_number(out, (uint64_t)getpid());
    textbuf_add(out, ",\"tid\":");
    textbuf_add_number(out, thread);
}

static void add_args(struct textbuf *out, const struct event *e)
{
    textbuf_add(out, ",\"args\":{\"n\":");
    textbuf_add_number(out, e->number);
    textbuf_add(out, "}}");
}

/* What nests is one event; what overlaps is a pair, tied together by its number. */
static void add_span(struct textbuf *out, const struct trace *t, const struct event *e, uint64_t at)
{
    const struct point *p = &t->points[e->point];
    uint64_t id = e->group == TRACE_ALONE ? at : GROUP_IDS + e->group;
    add_event_head(out, p, e->group == TRACE_NESTS ? "X" : "b", e->thread);
    add_micros(out, "ts", e->begun_ns);
    if (e->group == TRACE_NESTS) {
        add_micros(out, "dur", e->ended_ns - e->begun_ns);
        add_args(out, e);
        return;
    }
    textbuf_add(out, ",\"id\":");
    textbuf_add_number(out, id);
    add_args(out, e);
    add_event_head(out, p, "e", e->thread);
    add_micros(out, "ts", e->ended_ns);
    textbuf_add(out, ",\"id\":");
    textbuf_add_number(out, id);
    textbuf_add(out, "}");
}

/* As the kernel knows it; a thread that has ended has none. */
static void add_thread_name(struct textbuf *out, uint32_t thread)
{
    char path[64], name[THREAD_NAME_BYTES];
    snprintf(path, sizeof path, "/proc/self/task/%u/comm", thread);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return;
    if (fgets(name, sizeof name, f) != NULL) {
        name[strcspn(name, "\n")] = '\0';
        textbuf_add(out, ",\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":");
        textbuf_add_number(out, (uint64_t)getpid());
        textbuf_add(out, ",\"tid\":");
        textbuf_add_number(out, thread);
        textbuf_add(out, ",\"args\":{\"name\":");
        textbuf_add_json(out, name);
        textbuf_add(out, "}}");
    }
    fclose(f);
}

/* Takes a copy, so that the thread of this ring needn't wait for the text. Returns how many. */
static size_t copy_ring(struct ring *r, struct event *to)
{
    pthread_mutex_lock(&r->lock);
    size_t count = r->count < TRACE_RING_EVENTS ? (size_t)r->count : TRACE_RING_EVENTS;
    for (size_t i = 0; i < count; i++)
        to[i] = r->events[(r->count - count + i) % TRACE_RING_EVENTS];
    pthread_mutex_unlock(&r->lock);
    return count;
}

static void dump_ring(const struct trace *t, unsigned ring, const struct event *events,
                      size_t count, struct textbuf *out)
{
    uint64_t since_ns = atomic_load(&t->since_ns);
    uint32_t thread = 0;
    for (size_t i = 0; i < count; i++) {
        if (events[i].begun_ns < since_ns)
            continue;
        if (events[i].thread != thread)
            add_thread_name(out, events[i].thread);
        thread = events[i].thread;
        add_span(out, t, &events[i], (uint64_t)ring * TRACE_RING_EVENTS + i);
    }
}

void trace_dump(struct trace *t, struct textbuf *out)
{
    /* An event to begin with, since all others have a comma before them. */
    textbuf_add(out, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"
                     "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":");
    textbuf_add_number(out, (uint64_t)getpid());
    textbuf_add(out, ",\"args\":{\"name\":");
    textbuf_add_json(out, program_invocation_short_name);
    textbuf_add(out, "}}");
    struct event *copy = malloc(TRACE_RING_EVENTS * sizeof *copy);
    out->failed = out->failed || copy == NULL;
    for (unsigned i = 0; copy != NULL && atomic_load(&t->kept) != NULL && i < TRACE_RINGS; i++)
        dump_ring(t, i, copy, copy_ring(&t->rings[i], copy), out);
    free(copy);
    textbuf_add(out, "\n]}\n");
}

/* ---- numbers --------------------------------------------------------------------------------- */

enum { SPANS, IN_FLIGHT, SHORTEST, LONGEST };

const struct metric trace_metrics[TRACE_METRICS] = {
    [SPANS] = {"cenote_trace_seconds",
               "Time that a stage of an operation took, while tracing was on.",
               METRIC_SECONDS,
               {"operation", "stage"}},
    [IN_FLIGHT] = {"cenote_trace_in_flight",
                   "Spans that have begun while tracing was on and have not ended.",
                   METRIC_GAUGE,
                   {"operation", "stage"}},
    [SHORTEST] = {"cenote_trace_shortest_seconds",
                  "The shortest time that a stage took while tracing was on.",
                  METRIC_GAUGE,
                  {"operation", "stage"}},
    [LONGEST] = {"cenote_trace_longest_seconds",
                 "The longest time that a stage took while tracing was on.",
                 METRIC_GAUGE,
                 {"operation", "stage"}},
};

static void add_number(struct textbuf *page, unsigned which, const char *const *values,
                       const struct numbers *n)
{
    const struct metric *m = &trace_metrics[which];
    struct metric_view view = {0};
    uint64_t in_flight = metric_get(&n->in_flight);
    metric_view_add(&view, &n->spans);
    if (view.count == 0 && in_flight == 0)
        return;
    if (which == SPANS)
        metric_page_histogram(page, m, values, &view);
    else if (which == IN_FLIGHT)
        metric_page_number(page, m, values, in_flight);
    else
        metric_page_ns(page, m, values, which == SHORTEST ? metric_get(&n->min_ns) : view.max);
}

void trace_page(struct trace *t, struct textbuf *page)
{
    const struct kept *kept = atomic_load(&t->kept);
    unsigned count = kept != NULL ? atomic_load(&t->point_count) : 0;
    for (unsigned which = 0; which < TRACE_METRICS; which++) {
        metric_page_family(page, &trace_metrics[which]);
        for (unsigned i = 0; i < count; i++) {
            const struct point *p = &t->points[i];
            const char *values[] = {p->operation, p->stage != NULL ? p->stage : ""};
            add_number(page, which, values, &kept->numbers[i]);
        }
    }
}
