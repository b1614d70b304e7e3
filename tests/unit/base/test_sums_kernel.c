/* SPDX-License-Identifier: Apache-2.0 */
/* Every kernel against libxxhash. Those that this processor lacks are named and left out. */
#include <criterion/criterion.h>
#include <endian.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "tests/unit/meta/seeded.h"
#include "transport/base/sums.h"
#include "transport/base/sums_chunk.h"

#define LONGEST 200000u
#define SHIFTS  130u /* how far from their usual places source and destination lie */
#define DENSE   2200u
#define GUARD   0x5a

static uint8_t source[LONGEST + SHIFTS];
static uint8_t target[LONGEST + 3 * SHIFTS];

static void fill(struct seeded *s)
{
    for (size_t i = 0; i < sizeof source; i++)
        source[i] = (uint8_t)seeded_below(s, 256);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Sometimes whole stripes, sometimes a few bytes, sometimes anything. */
static size_t piece_len(struct seeded *s)
{
    switch (seeded_below(s, 4)) {
    case 0:
        return (size_t)seeded_below(s, 40) * SUMS_STRIPE_BYTES;
    case 1:
        return (size_t)seeded_below(s, 130);
    default:
        return (size_t)seeded_below(s, LONGEST);
    }
}

/* Nothing was written beside it. */
static void expect_guards(const uint8_t *dst, size_t len)
{
    static const uint8_t guards[SHIFTS] = {[0 ... SHIFTS - 1] = GUARD};
    cr_assert_arr_eq(dst - SHIFTS, guards, SHIFTS);
    cr_assert_arr_eq(dst + len, guards, SHIFTS);
}

/* One chunk of that length, cut anywhere, copied or only summed. */
static void try_chunk(const struct sums_kernel *kernel, struct seeded *s, size_t len)
{
    struct sums_chunk chunk;
    const uint8_t *src = source + seeded_below(s, SHIFTS);
    uint8_t *dst = target + SHIFTS + seeded_below(s, SHIFTS);
    bool copies = seeded_below(s, 2) != 0;

    memset(target, GUARD, (size_t)(dst - target) + len + SHIFTS);
    sums_chunk_begin(&chunk, kernel, len);
    for (size_t at = 0; at < len;) {
        size_t n = smaller(piece_len(s), len - at);
        sums_chunk_feed(&chunk, copies ? dst + at : NULL, src + at, n);
        at += n;
    }
    cr_assert_eq(sums_chunk_end(&chunk), XXH3_64bits(src, len), "%s, length %zu", kernel->name,
                 len);
    if (copies)
        cr_assert_arr_eq(dst, src, len, "%s, length %zu", kernel->name, len);
    expect_guards(dst, copies ? len : 0);
}

static void each_kernel(void (*test)(const struct sums_kernel *, struct seeded *), const char *name)
{
    struct seeded s = seeded_new(name, 20261121);
    fill(&s);
    for (size_t i = 0; sums_kernels[i] != NULL; i++) {
        if (sums_kernels[i]->usable())
            test(sums_kernels[i], &s);
        else
            printf("no %s here\n", sums_kernels[i]->name);
    }
}

static void every_short_length(const struct sums_kernel *kernel, struct seeded *s)
{
    for (size_t len = 0; len < DENSE; len++)
        try_chunk(kernel, s, len);
}

Test(sums_kernel, chunk__every_length_of_two_blocks)
{
    each_kernel(every_short_length, "short lengths");
}

static void many_lengths(const struct sums_kernel *kernel, struct seeded *s)
{
    for (int i = 0; i < 400; i++) {
        size_t stripes = (size_t)seeded_below(s, LONGEST / SUMS_STRIPE_BYTES);
        try_chunk(kernel, s, (size_t)seeded_below(s, LONGEST + 1));
        try_chunk(kernel, s, stripes * SUMS_STRIPE_BYTES + seeded_below(s, 3));
    }
}

Test(sums_kernel, chunk__random_lengths)
{
    each_kernel(many_lengths, "random lengths");
}

static void whole_payload(const struct sums_kernel *kernel, struct seeded *s)
{
    uint64_t want[LONGEST / SUMS_CHUNK_BYTES + 1], got[LONGEST / SUMS_CHUNK_BYTES + 1];
    size_t len = (size_t)seeded_below(s, LONGEST + 1), chunks = (size_t)sums_chunks(len);

    cr_assert(sums_use_kernel(kernel->name));
    cr_assert_eq(sums_kernel_in_use(), kernel);
    struct sums *sums = sums_new(len);
    cr_assert_not_null(sums);
    for (size_t at = 0; at < len;) {
        size_t n = smaller(piece_len(s), len - at);
        sums_copy(sums, target + at, source + at, n);
        at += n;
    }
    for (size_t i = 0; i < chunks; i++) {
        size_t at = i * SUMS_CHUNK_BYTES;
        want[i] = htole64(XXH3_64bits(source + at, smaller(len - at, SUMS_CHUNK_BYTES)));
    }
    sums_list(sums, got);
    cr_assert_arr_eq(got, want, chunks * sizeof *want);
    cr_assert_eq(sums_root(sums), XXH3_64bits(want, chunks * sizeof *want));
    cr_assert_arr_eq(target, source, len);
    sums_free(sums);
}

static void whole_payloads(const struct sums_kernel *kernel, struct seeded *s)
{
    for (int i = 0; i < 100; i++)
        whole_payload(kernel, s);
}

Test(sums_kernel, sums__random_payloads)
{
    each_kernel(whole_payloads, "payloads");
}

/* ---- a source that changes ------------------------------------------------------------------- */

#define CHANGING 4096u

static atomic_bool over;

/* Keeps changing the source, as a writer does that ought to have stopped. */
static void *scribble(void *arg)
{
    (void)arg;
    for (uint8_t with = 1; !atomic_load(&over); with++)
        for (size_t i = 0; i < CHANGING; i += 8)
            *(volatile uint8_t *)&source[i + with % 8u] ^= with;
    return NULL;
}

static void copy_while_it_changes(const struct sums_kernel *kernel, struct seeded *s)
{
    for (int i = 0; i < 4000; i++) {
        struct sums_chunk chunk;
        sums_chunk_begin(&chunk, kernel, CHANGING);
        for (size_t at = 0; at < CHANGING;) {
            size_t n = smaller((size_t)seeded_below(s, 300), CHANGING - at);
            sums_chunk_feed(&chunk, target + at, source + at, n);
            at += n;
        }
        cr_assert_eq(sums_chunk_end(&chunk), XXH3_64bits(target, CHANGING), "%s", kernel->name);
    }
}

/* The sums are those of the copy, whatever the source says a moment later. */
Test(sums_kernel, copy__sums_what_it_stored)
{
    pthread_t scribbler;
    cr_assert_eq(pthread_create(&scribbler, NULL, scribble, NULL), 0);
    each_kernel(copy_while_it_changes, "changing source");
    atomic_store(&over, true);
    pthread_join(scribbler, NULL);
}

Test(sums_kernel, use__unknown)
{
    const struct sums_kernel *best = sums_kernel_in_use();
    cr_assert_not(sums_use_kernel("abacus"));
    cr_assert_eq(sums_kernel_in_use(), best);
    cr_assert(sums_use_kernel("portable"));
    cr_assert_str_eq(sums_kernel_in_use()->name, "portable");
    cr_assert(sums_use_kernel(NULL));
    cr_assert_eq(sums_kernel_in_use(), best);
}
