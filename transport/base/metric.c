/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/metric.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "transport/base/utf8.h"

#define SUB_BUCKETS 8u
/* A second is 10^9 ns. */
#define NS_DIGITS   9u

/* Bounds of buckets in the text: each power of two of these, in units of the histogram. */
#define SECONDS_FIRST 3u  /* 2^3 units of 128 ns: 1.024 us */
#define SECONDS_LAST  29u /* 69 s */
#define NUMBERS_LAST  13u

_Static_assert(8 * (SECONDS_LAST - 3) + 8 < METRIC_BUCKETS, "all bounds are bounds of buckets");

/* ---- histograms ------------------------------------------------------------------------------ */

void metric_observe_ns_shared(struct metric_histogram *h, uint64_t ns, uint64_t count)
{
    uint64_t max = metric_get(&h->max);
    metric_add_shared(&h->buckets[metric_bucket_of(ns >> METRIC_NS_SHIFT)], count);
    metric_add_shared(&h->sum, ns * count);
    while (ns > max && !atomic_compare_exchange_weak(&h->max, &max, ns))
        continue;
}

void metric_view_add(struct metric_view *view, const struct metric_histogram *h)
{
    uint64_t max = metric_get(&h->max);
    for (unsigned i = 0; i < METRIC_BUCKETS; i++) {
        uint64_t n = metric_get(&h->buckets[i]);
        view->buckets[i] += n;
        view->count += n;
    }
    view->sum += metric_get(&h->sum);
    view->max = max > view->max ? max : view->max;
}

void metric_view_join(struct metric_view *view, const struct metric_view *other)
{
    for (unsigned i = 0; i < METRIC_BUCKETS; i++)
        view->buckets[i] += other->buckets[i];
    view->count += other->count;
    view->sum += other->sum;
    view->max = other->max > view->max ? other->max : view->max;
}

/* The largest number of a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < 2 * SUB_BUCKETS)
        return bucket;
    unsigned octave = bucket / SUB_BUCKETS - 1;
    uint64_t step = bucket % SUB_BUCKETS + SUB_BUCKETS;
    return ((step + 1) << octave) - 1;
}

/* The bucket with the rank-th one, from 1. */
static unsigned bucket_of_rank(const struct metric_view *view, uint64_t rank)
{
    unsigned bucket = 0;
    for (uint64_t seen = view->buckets[0]; seen < rank; seen += view->buckets[bucket])
        bucket++;
    return bucket;
}

static uint64_t quantile(const struct metric_view *view, unsigned per_mille, unsigned shift)
{
    assert(per_mille <= 1000);
    if (view->count == 0)
        return 0;
    uint64_t rank = (view->count * per_mille + 999) / 1000;
    unsigned bucket = bucket_of_rank(view, rank > 0 ? rank : 1);
    uint64_t end = ((bucket_end(bucket) + 1) << shift) - 1;
    return end < view->max && bucket < METRIC_BUCKETS - 1 ? end : view->max;
}

uint64_t metric_view_quantile(const struct metric_view *view, unsigned per_mille)
{
    return quantile(view, per_mille, 0);
}

uint64_t metric_view_quantile_ns(const struct metric_view *view, unsigned per_mille)
{
    return quantile(view, per_mille, METRIC_NS_SHIFT);
}

uint64_t metric_bucket_end_ns(unsigned bucket)
{
    assert(bucket < METRIC_BUCKETS);
    return ((bucket_end(bucket) + 1) << METRIC_NS_SHIFT) - 1;
}

/* ---- families and samples -------------------------------------------------------------------- */

/* Does text begin with what a byte is shown as that can't be shown itself? */
static bool looks_escaped(const char *text)
{
    return text[0] == '\\' && text[1] == 'x' && isxdigit((unsigned char)text[2]) &&
           isxdigit((unsigned char)text[3]);
}

/* In a label's value a quotation mark would be its end, and bytes that are no UTF-8 would make the
 * whole page void. These, and control characters, are shown as \xff; so is the backslash of what
 * looks like that already, or two names could be the same on the page. */
static void add_escaped(struct textbuf *page, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t left_bytes = strlen(text); left_bytes > 0;) {
        size_t n = utf8_char_bytes(text, left_bytes);
        unsigned char c = (unsigned char)*text;
        if (c == '\n')
            textbuf_add(page, "\\n");
        else if (n == 0 || utf8_is_control(*text) || looks_escaped(text))
            textbuf_add_bytes(page, (const char[]){'\\', '\\', 'x', digits[c >> 4], digits[c & 15]},
                              5);
        else if (c == '"' || c == '\\')
            textbuf_add_bytes(page, (const char[]){'\\', *text}, 2);
        else
            textbuf_add_bytes(page, text, n);
        text += n ? n : 1;
        left_bytes -= n ? n : 1;
    }
}

static bool name_is_well_formed(const char *name)
{
    return name[0] >= 'a' && name[0] <= 'z' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

void metric_page_family(struct textbuf *page, const struct metric *m)
{
    static const char *const kinds[] = {[METRIC_COUNTER] = " counter\n",
                                        [METRIC_GAUGE] = " gauge\n",
                                        [METRIC_SECONDS] = " histogram\n",
                                        [METRIC_NUMBERS] = " histogram\n"};
    assert(name_is_well_formed(m->name));
    assert(m->help[0] != '\0' && strpbrk(m->help, "\\\n") == NULL);
    assert(ends_in(m->name, "_total") == (m->kind == METRIC_COUNTER));
    textbuf_add(page, "# HELP ");
    textbuf_add(page, m->name);
    textbuf_add(page, " ");
    textbuf_add(page, m->help);
    textbuf_add(page, "\n# TYPE ");
    textbuf_add(page, m->name);
    textbuf_add(page, kinds[m->kind]);
}

/* name{label="value"; the caller ends the braces. Which character comes before the next label. */
static const char *add_head(struct textbuf *page, const struct metric *m, const char *suffix,
                            const char *const *values)
{
    const char *separator = "{";
    textbuf_add(page, m->name);
    textbuf_add(page, suffix);
    for (unsigned i = 0; i < METRIC_LABELS_MAX && m->labels[i] != NULL; i++) {
        textbuf_add(page, separator);
        textbuf_add(page, m->labels[i]);
        textbuf_add(page, "=\"");
        add_escaped(page, values[i]);
        textbuf_add(page, "\"");
        separator = ",";
    }
    return separator;
}

static void add_sample_head(struct textbuf *page, const struct metric *m, const char *suffix,
                            const char *const *values)
{
    const char *separator = add_head(page, m, suffix, values);
    textbuf_add(page, separator[0] == ',' ? "} " : " ");
}

void metric_page_number(struct textbuf *page, const struct metric *m, const char *const *values,
                        uint64_t n)
{
    assert(m->kind == METRIC_COUNTER || m->kind == METRIC_GAUGE);
    add_sample_head(page, m, "", values);
    textbuf_add_number(page, n);
    textbuf_add(page, "\n");
}

void metric_page_ns(struct textbuf *page, const struct metric *m, const char *const *values,
                    uint64_t ns)
{
    assert(m->kind == METRIC_COUNTER || m->kind == METRIC_GAUGE);
    add_sample_head(page, m, "", values);
    textbuf_add_fraction(page, ns, NS_DIGITS);
    textbuf_add(page, "\n");
}

/* How many lie below 2^power units, of which bound says the text. NULL: all. */
static void add_bucket(struct textbuf *page, const struct metric *m, const char *const *values,
                       const uint64_t *power, uint64_t count)
{
    textbuf_add(page, add_head(page, m, "_bucket", values));
    textbuf_add(page, "le=\"");
    if (power == NULL)
        textbuf_add(page, "+Inf");
    else if (m->kind == METRIC_SECONDS)
        textbuf_add_fraction(page, UINT64_C(1) << (*power + METRIC_NS_SHIFT), NS_DIGITS);
    else
        textbuf_add_number(page, (UINT64_C(1) << *power) - 1);
    textbuf_add(page, "\"} ");
    textbuf_add_number(page, count);
    textbuf_add(page, "\n");
}

static void add_buckets(struct textbuf *page, const struct metric *m, const char *const *values,
                        const struct metric_view *view)
{
    uint64_t power = m->kind == METRIC_SECONDS ? SECONDS_FIRST : 1;
    uint64_t last = m->kind == METRIC_SECONDS ? SECONDS_LAST : NUMBERS_LAST;
    uint64_t below = 0;
    unsigned bucket = 0;
    for (; power <= last; power++) {
        unsigned end = metric_bucket_of(UINT64_C(1) << power);
        while (bucket < end)
            below += view->buckets[bucket++];
        add_bucket(page, m, values, &power, below);
    }
    add_bucket(page, m, values, NULL, view->count);
}

void metric_page_histogram(struct textbuf *page, const struct metric *m, const char *const *values,
                           const struct metric_view *view)
{
    assert(m->kind == METRIC_SECONDS || m->kind == METRIC_NUMBERS);
    if (view->count == 0)
        return;
    add_buckets(page, m, values, view);
    add_sample_head(page, m, "_sum", values);
    if (m->kind == METRIC_SECONDS)
        textbuf_add_fraction(page, view->sum, NS_DIGITS);
    else
        textbuf_add_number(page, view->sum);
    textbuf_add(page, "\n");
    add_sample_head(page, m, "_count", values);
    textbuf_add_number(page, view->count);
    textbuf_add(page, "\n");
}
