/* SPDX-License-Identifier: Apache-2.0 */
/* Latencies of one kind of operation: all of them are kept, so percentiles are exact. */
#ifndef CENOTE_BENCH_SAMPLES_H
#define CENOTE_BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
    uint64_t *ns;
    size_t count, cap;
};

/* One thread at a time; 0: no memory. */
int samples_add(struct samples *s, uint64_t ns);
/* Moves all of from into s; from is empty afterwards. */
int samples_merge(struct samples *s, struct samples *from);
/* Sorts; call before samples_at(). */
void samples_sort(struct samples *s);
/* The value below which the given share (0 to 1) of the samples lies; 0 without samples. */
uint64_t samples_at(const struct samples *s, double share);
void samples_free(struct samples *s);

#endif
