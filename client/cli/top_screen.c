/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/top_screen.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli/text.h"
#include "client/cli/top_warnings.h"
#include "transport/base/clock.h"

#define LINE_MAX_BYTES 512
#define NUMBER_MAX     24
#define BAR_COLUMNS    24u
#define METHODS_SHOWN  8u
#define SPACES_SHOWN   6u
#define SLOWEST_SHOWN  5u
#define NODES_SHOWN    8u /* where there is little room */
#define NS_PER_US      1000u

enum style { PLAIN, STRONG, DIM, AMBER, RED };
static const char *const styles[] = {"", "\033[1m", "\033[2m", "\033[33m", "\033[1;31m"};

struct page {
    FILE *out;
    const struct top_screen *screen;
    const struct top_look *now, *before; /* before: NULL if they can't be compared */
    unsigned lines;
};

/* ---- lines ----------------------------------------------------------------------------------- */

static bool is_full(const struct page *p)
{
    return p->screen->rows > 0 && p->lines + 1 >= p->screen->rows;
}

/* Bytes of the text that fit; control characters, which names may have, become question marks. */
static size_t clip(char *text, unsigned columns)
{
    unsigned used = 0;
    size_t i = 0;
    for (; text[i]; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < ' ' || c == 0x7f)
            text[i] = '?';
        if ((c & 0xc0) != 0x80 && columns > 0 && ++used > columns)
            break;
    }
    return i;
}

static void line(struct page *p, enum style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void line(struct page *p, enum style style, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list args;
    if (is_full(p))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int len = (int)clip(text, p->screen->columns);
    if (p->screen->styled && style != PLAIN)
        fprintf(p->out, "%s%.*s\033[0m", styles[style], len, text);
    else
        fprintf(p->out, "%.*s", len, text);
    fputs(p->screen->on_screen ? "\033[K\n" : "\n", p->out);
    p->lines++;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));
    return s && *s ? s : "-";
}

/* Used, in quarantine, free. */
static const char *bar(uint64_t used, uint64_t quarantined, uint64_t total,
                       char out[BAR_COLUMNS + 3])
{
    unsigned full = total ? (unsigned)((double)used * BAR_COLUMNS / (double)total + 0.5) : 0;
    unsigned both =
        total ? (unsigned)((double)(used + quarantined) * BAR_COLUMNS / (double)total + 0.5) : 0;
    out[0] = '[';
    for (unsigned i = 0; i < BAR_COLUMNS; i++)
        out[i + 1] = i < full ? '|' : i < both ? ':' : ' ';
    memcpy(out + BAR_COLUMNS + 1, "]", 2);
    return out;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* How much more it is in a second. */
static double rate(const struct page *p, uint64_t now, uint64_t before)
{
    double seconds = (double)(p->now->at_ms - p->before->at_ms) / 1000;
    return now > before ? (double)(now - before) / seconds : 0;
}

static const char *rate_text(const struct page *p, uint64_t now, uint64_t before,
                             char out[NUMBER_MAX])
{
    if (!p->before)
        return "-";
    double n = rate(p, now, before);
    snprintf(out, NUMBER_MAX, n > 0 && n < 10 ? "%.1f" : "%.0f", n);
    return out;
}

static const char *us_text(uint64_t us, char out[NUMBER_MAX])
{
    if (us < 1000)
        snprintf(out, NUMBER_MAX, "%" PRIu64 " us", us);
    else if (us < 1000000)
        snprintf(out, NUMBER_MAX, us < 10000 ? "%.2f ms" : "%.1f ms", (double)us / 1e3);
    else
        snprintf(out, NUMBER_MAX, "%.1f s", (double)us / 1e6);
    return out;
}

static const char *share_text(uint64_t part, uint64_t all, char out[NUMBER_MAX])
{
    if (all == 0)
        return "-";
    snprintf(out, NUMBER_MAX, "%.1f %%", 100 * (double)part / (double)all);
    return out;
}

/* ---- the head -------------------------------------------------------------------------------- */

static void put_title(struct page *p)
{
    const json_t *first = json_object_get(top_service(p->now, 0), "service");
    char up[TEXT_TIME_MAX], clock[16];
    time_t seconds = time(NULL);
    struct tm tm;
    localtime_r(&seconds, &tm);
    strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    line(p, STRONG, "cenote %s at %s, up %s, %s", text_of(first, "version"), p->screen->where,
         text_duration(p->now->uptime_ms, up), clock);
    if (p->screen->failure)
        line(p, RED, "no answer: %s; what follows is %" PRIu64 " s old", p->screen->failure,
             (clock_now_ms() - p->now->at_ms) / 1000);
}

static void put_memory(struct page *p)
{
    const json_t *c = json_object_get(p->now->pool, "capacity");
    uint64_t used = top_number(c, "used_bytes"), total = top_number(c, "total_bytes");
    uint64_t quarantined = top_number(c, "quarantined_bytes");
    char drawn[BAR_COLUMNS + 3], sizes[5][TEXT_SIZE_MAX];
    line(p, PLAIN, "memory    %s %s used, %s in quarantine, of %s",
         bar(used, quarantined, total, drawn), text_size(used, sizes[0]),
         text_size(quarantined, sizes[1]), text_size(total, sizes[2]));
    line(p, PLAIN,
         "values    %" PRIu64 ", %" PRIu64 " being put, %" PRIu64 " wait for room; %" PRIu64
         " sessions; metadata %s of %s",
         p->now->objects, p->now->pending, p->now->waiting, p->now->sessions,
         text_size(p->now->store_used, sizes[3]), text_size(p->now->store_limit, sizes[4]));
}

static uint64_t calls(const struct top_look *l, const char *name)
{
    const struct top_method *m = l ? top_find_method(l, name) : NULL;
    return m ? m->view.count : 0;
}

static void put_rates(struct page *p)
{
    static const struct top_look none;
    const struct top_look *n = p->now, *b = p->before ? p->before : &none;
    char numbers[4][NUMBER_MAX], in[TEXT_SIZE_MAX], out[TEXT_SIZE_MAX];
    uint64_t hits = n->hits - b->hits, misses = n->misses - b->misses;
    line(p, PLAIN, "a second  %s keys looked up, %s puts, %s removes; %s stored, %s found",
         rate_text(p, n->hits + n->misses, b->hits + b->misses, numbers[0]),
         rate_text(p, calls(n, "put_commit"), calls(b, "put_commit"), numbers[1]),
         rate_text(p, calls(n, "remove"), calls(b, "remove"), numbers[2]),
         p->before ? text_size((uint64_t)rate(p, n->bytes_in, b->bytes_in), in) : "-",
         p->before ? text_size((uint64_t)rate(p, n->bytes_out, b->bytes_out), out) : "-");
    line(p, PLAIN, "hit ratio %s%s", share_text(hits, hits + misses, numbers[3]),
         p->before ? "" : " since the start");
}

static void put_warnings(struct page *p)
{
    char text[TOP_WARNING_MAX];
    struct top_warnings w = {.look = p->now};
    bool grave;
    while (top_warning_next(&w, text, &grave))
        line(p, grave ? RED : AMBER, "! %s", text);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void put_node(struct page *p, const json_t *n)
{
    uint64_t used = 0, quarantined = 0, length = 0;
    char drawn[BAR_COLUMNS + 3], sizes[2][TEXT_SIZE_MAX], age[TEXT_TIME_MAX];
    const char *state = text_of(n, "state");
    const json_t *s;
    size_t i;
    json_array_foreach(json_object_get(n, "segments"), i, s)
    {
        used += top_number(s, "used_bytes");
        quarantined += top_number(s, "quarantined_bytes");
        length += top_number(s, "length_bytes");
    }
    used -= quarantined < used ? quarantined : used;
    bool connected = json_is_true(json_object_get(n, "connected"));
    bool alive = strcmp(state, "alive") == 0;
    line(p,
         !alive      ? RED
         : connected ? PLAIN
                     : AMBER,
         "%-20.40s %-8s %10s %10s %3zu %s %s", text_of(n, "name"),
         alive && !connected ? "away" : state, text_size(used, sizes[0]),
         text_size(length, sizes[1]), json_array_size(json_object_get(n, "segments")),
         bar(used, quarantined, length, drawn),
         text_duration(top_number(n, "heartbeat_age_ms"), age));
}

static bool is_well(const json_t *n)
{
    return strcmp(text_of(n, "state"), "alive") == 0 &&
           json_is_true(json_object_get(n, "connected"));
}

/* Those that need a look come first. Returns how many there are. */
static unsigned put_nodes_that(struct page *p, bool well, unsigned *room)
{
    const json_t *service, *n;
    unsigned count = 0;
    size_t k;
    for (size_t i = 0; (service = top_service(p->now, i)) != NULL; i++) {
        json_array_foreach(json_object_get(service, "nodes"), k, n)
        {
            if (is_well(n) != well)
                continue;
            count++;
            if (*room > 0) {
                put_node(p, n);
                --*room;
            }
        }
    }
    return count;
}

static void put_nodes(struct page *p)
{
    unsigned rows = p->screen->rows, shown;
    unsigned room = rows == 0 ? UINT32_MAX : rows > 4 * NODES_SHOWN ? rows / 4 : NODES_SHOWN;
    shown = room;
    line(p, PLAIN, "%s", "");
    line(p, DIM, "%-20s %-8s %10s %10s %3s %-26s %s", "node", "state", "used", "memory", "seg", "",
         "heard");
    unsigned count = put_nodes_that(p, false, &room);
    count += put_nodes_that(p, true, &room);
    if (count == 0)
        line(p, DIM, "no node has joined the pool yet");
    else if (count > shown)
        line(p, DIM, "... and %u more", count - shown);
}

/* ---- methods --------------------------------------------------------------------------------- */

static int by_calls(const void *a, const void *b)
{
    const struct top_method *const *x = a, *const *y = b;
    return ((*x)->view.count < (*y)->view.count) - ((*x)->view.count > (*y)->view.count);
}

static void put_method(struct page *p, const struct top_method *m)
{
    const struct top_method *old = p->before ? top_find_method(p->before, m->name) : NULL;
    struct metric_view view = top_between(m, p->before);
    char texts[3][NUMBER_MAX], per_second[NUMBER_MAX];
    const char *p50 = "-", *p99 = "-";
    if (view.count > 0) {
        p50 = us_text(metric_view_quantile_ns(&view, 500) / NS_PER_US, texts[0]);
        p99 = us_text(metric_view_quantile_ns(&view, 990) / NS_PER_US, texts[1]);
    }
    line(p, m->errors > 0 && old && m->errors > old->errors ? AMBER : PLAIN,
         "%-20s %12" PRIu64 " %9s %8" PRIu64 " %10s %10s %10s", m->name, m->view.count,
         rate_text(p, m->view.count, old ? old->view.count : 0, per_second), m->errors, p50, p99,
         us_text(m->max_us, texts[2]));
}

static void put_methods(struct page *p)
{
    const struct top_method *sorted[TOP_METHODS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < p->now->method_count; i++) {
        if (p->now->methods[i].view.count > 0)
            sorted[count++] = &p->now->methods[i];
    }
    qsort(sorted, count, sizeof *sorted, by_calls);
    line(p, PLAIN, "%s", "");
    line(p, DIM, "%-20s %12s %9s %8s %10s %10s %10s", "method", "calls", "/s", "errors",
         p->before ? "p50 now" : "p50", p->before ? "p99 now" : "p99", "longest");
    for (unsigned i = 0; i < count && (p->screen->rows == 0 || i < METHODS_SHOWN); i++)
        put_method(p, sorted[i]);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void put_evictions(struct page *p)
{
    char size[TEXT_SIZE_MAX], number[NUMBER_MAX];
    line(p, PLAIN, "%s", "");
    line(p, DIM, "%-20s %12s %9s %10s", "evicted because of", "values", "/s", "memory");
    for (unsigned i = 0; i < TOP_REASONS; i++) {
        const struct top_evicted *e = &p->now->evicted[i];
        if (e->objects > 0)
            line(p, PLAIN, "%-20s %12" PRIu64 " %9s %10s", top_reasons[i], e->objects,
                 rate_text(p, e->objects, p->before ? p->before->evicted[i].objects : 0, number),
                 text_size(e->bytes, size));
    }
}

static void put_space(struct page *p, const json_t *s)
{
    char sizes[2][TEXT_SIZE_MAX];
    uint64_t quota = top_number(s, "quota_bytes"), used = top_number(s, "bytes");
    line(p, quota > 0 && used >= quota ? AMBER : PLAIN,
         "%-20.40s %12" PRIu64 " %10s %10s %12" PRIu64, text_of(s, "name"),
         top_number(s, "objects"), text_size(used, sizes[0]),
         quota > 0 ? text_size(quota, sizes[1]) : "none", top_number(s, "evicted_objects"));
}

static void put_spaces(struct page *p)
{
    const json_t *service, *s;
    unsigned count = 0;
    size_t k;
    line(p, PLAIN, "%s", "");
    line(p, DIM, "%-20s %12s %10s %10s %12s", "namespace", "values", "memory", "quota", "evicted");
    for (size_t i = 0; (service = top_service(p->now, i)) != NULL; i++) {
        json_array_foreach(json_object_get(service, "namespaces"), k, s)
        {
            if (p->screen->rows == 0 || count++ < SPACES_SHOWN)
                put_space(p, s);
        }
    }
}

static void put_slowest(struct page *p)
{
    char date[TEXT_TIME_MAX], took[NUMBER_MAX];
    const json_t *service, *c;
    size_t k;
    line(p, PLAIN, "%s", "");
    line(p, DIM, "%-20s %10s %8s %s", "slowest calls", "took", "keys", "at");
    for (size_t i = 0; (service = top_service(p->now, i)) != NULL; i++) {
        json_array_foreach(json_object_get(json_object_get(service, "live"), "slowest"), k, c)
        {
            if (k < SLOWEST_SHOWN)
                line(p, PLAIN, "%-20s %10s %8" PRIu64 " %s", text_of(c, "method"),
                     us_text(top_number(c, "us"), took), top_number(c, "key_count"),
                     text_date(top_number(c, "at_ms"), date));
        }
    }
}

char *top_screen_text(const struct top_screen *s, const struct top_look *now,
                      const struct top_look *before, size_t *len_bytes)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len_bytes);
    if (!out)
        return NULL;
    struct page p = {.out = out, .screen = s, .now = now};
    p.before = top_goes_on(now, before) ? before : NULL;
    put_title(&p);
    put_warnings(&p);
    put_memory(&p);
    put_rates(&p);
    put_nodes(&p);
    put_methods(&p);
    put_evictions(&p);
    put_spaces(&p);
    put_slowest(&p);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
