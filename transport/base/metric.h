/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is counted and timed, and how Prometheus is told of it.
 *
 * Who counts has the numbers in a struct of his own: counters, which are only ever added to, and
 * histograms. Adding takes no lock and no memory. A number has one writer at a time, which makes
 * an addition an ordinary one, or many, who use the forms named shared; anybody may read
 * meanwhile.
 *
 * What the numbers mean stands in static tables of struct metric, one row for each family. A page
 * is a text in Prometheus' format (version 0.0.4): families in turn, each with its samples.
 */
#ifndef CENOTE_BASE_METRIC_H
#define CENOTE_BASE_METRIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/base/textbuf.h"

/* 0: nothing is counted, timed or traced; what would is compiled to nothing. For tests/cost alone,
 * which finds by it what counting costs. */
#ifndef CENOTE_METRICS
#define CENOTE_METRICS 1
#endif

typedef _Atomic uint64_t metric_counter;

static inline uint64_t metric_get(const metric_counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

static inline void metric_add(metric_counter *c, uint64_t n)
{
    if (CENOTE_METRICS)
        atomic_store_explicit(c, metric_get(c) + n, memory_order_relaxed);
}

static inline void metric_add_shared(metric_counter *c, uint64_t n)
{
    if (CENOTE_METRICS)
        atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

/* ---- histograms ------------------------------------------------------------------------------ */

/*
 * Eight buckets for each power of two, so that a bucket's bounds are at most 12.5 % apart; numbers
 * below 16 have one each. Durations are counted in units of 128 ns: exact to that up to 2 us, to
 * 12.5 % up to 137 s; what is longer is in the last bucket.
 */
#define METRIC_BUCKETS  224u
#define METRIC_NS_SHIFT 7u

struct metric_histogram {
    metric_counter buckets[METRIC_BUCKETS];
    metric_counter sum, max; /* ns, or numbers */
};

static inline unsigned metric_bucket_of(uint64_t n)
{
    unsigned octave = 60u - (unsigned)__builtin_clzll(n | 8u);
    uint64_t bucket = 8u * octave + (n >> octave);
    return bucket < METRIC_BUCKETS ? (unsigned)bucket : METRIC_BUCKETS - 1;
}

static inline void metric_peak(struct metric_histogram *h, uint64_t n)
{
    if (CENOTE_METRICS && n > metric_get(&h->max))
        atomic_store_explicit(&h->max, n, memory_order_relaxed);
}

static inline void metric_observe(struct metric_histogram *h, uint64_t n)
{
    metric_add(&h->buckets[metric_bucket_of(n)], 1);
    metric_add(&h->sum, n);
    metric_peak(h, n);
}

/* Without regard to the longest, for who looks out for it himself. */
static inline void metric_tally_ns(struct metric_histogram *h, uint64_t ns)
{
    metric_add(&h->buckets[metric_bucket_of(ns >> METRIC_NS_SHIFT)], 1);
    metric_add(&h->sum, ns);
}

static inline void metric_observe_ns(struct metric_histogram *h, uint64_t ns)
{
    metric_tally_ns(h, ns);
    metric_peak(h, ns);
}

/* A duration that stands for so many of its kind. */
void metric_observe_ns_shared(struct metric_histogram *h, uint64_t ns, uint64_t count);

/* What a histogram held when it was read; or several ones together. */
struct metric_view {
    uint64_t buckets[METRIC_BUCKETS];
    uint64_t count, sum, max;
};

/* Adds to a view, which is zero-filled at first. */
void metric_view_add(struct metric_view *view, const struct metric_histogram *h);
void metric_view_join(struct metric_view *view, const struct metric_view *other);
/* The smallest number (or ns: of durations) that isn't below so many per mille of all; 0: there are
 * none. At most 12.5 % above the truth, and never above the longest. */
uint64_t metric_view_quantile(const struct metric_view *view, unsigned per_mille);
uint64_t metric_view_quantile_ns(const struct metric_view *view, unsigned per_mille);
/* The longest duration that a bucket may hold. */
uint64_t metric_bucket_end_ns(unsigned bucket);

/* ---- families and pages ---------------------------------------------------------------------- */

enum metric_kind {
    METRIC_COUNTER, /* its name ends in _total */
    METRIC_GAUGE,
    METRIC_SECONDS, /* a histogram of durations */
    METRIC_NUMBERS  /* a histogram of whole numbers */
};

#define METRIC_LABELS_MAX 3u

struct metric {
    const char *name, *help;
    enum metric_kind kind;
    const char *labels[METRIC_LABELS_MAX]; /* their names; NULL behind the last */
};

/* Begins a family; its samples follow. The metric must have a name and a text, and be well-formed:
 * that is asserted. */
void metric_page_family(struct textbuf *page, const struct metric *m);
/* A sample of a counter or a gauge; values: of the labels, in their order (NULL where there are
 * none). Of them, control characters and bytes that are no UTF-8 are shown as the text \xff; two
 * values that differ are never shown as one. */
void metric_page_number(struct textbuf *page, const struct metric *m, const char *const *values,
                        uint64_t n);
/* The same of a gauge in seconds. */
void metric_page_ns(struct textbuf *page, const struct metric *m, const char *const *values,
                    uint64_t ns);
/* All samples of a histogram; nothing, as long as it has seen nothing. */
void metric_page_histogram(struct textbuf *page, const struct metric *m, const char *const *values,
                           const struct metric_view *view);

#endif
