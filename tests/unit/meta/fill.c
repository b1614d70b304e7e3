/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/meta/fill.h"

#include <assert.h>
#include <cenote/status.h>
#include <math.h>
#include <stdbool.h>

#include "meta/core/alloc.h"
#include "transport/base/sums.h"

#define KIB          UINT64_C(1024)
#define ROUNDS       20.0 /* replacements of all values while occupancy rises slowly */
#define PUTS_IN_100  55u
#define START_FILLED 0.5

/* Bytes a token, all layers: Llama-3-8B, Llama-3-70B, Qwen3-32B, DeepSeek-R1. */
static const uint64_t token_bytes[] = {128 * KIB, 320 * KIB, 256 * KIB, 70272};

struct value {
    uint32_t stripes;
    struct alloc_range stripe[FILL_STRIPES_MAX];
};

struct fill {
    struct fill_case c;
    struct seeded *s;
    struct alloc *a;
    struct value *values;
    uint64_t count;
    uint64_t room;
    uint64_t puts;
    uint64_t stripes;
};

static uint64_t payload_block(struct seeded *s, uint64_t trace_in_17)
{
    static const uint64_t tokens[] = {16, 64, 128, 256};
    uint64_t kinds = sizeof token_bytes / sizeof *token_bytes;
    if (seeded_below(s, 16 + trace_in_17) >= 16)
        return 64 * KIB;
    return token_bytes[seeded_below(s, kinds)] * tokens[seeded_below(s, 4)];
}

static uint64_t payload_even(struct seeded *s, double least)
{
    double span = log((double)FILL_LARGEST_PAYLOAD / least);
    return (uint64_t)(least * exp(span * (double)seeded_below(s, 1000001) / 1e6));
}

uint64_t fill_payload(struct seeded *s, enum fill_sizes sizes)
{
    switch (sizes) {
    case FILL_BLOCKS:
        return payload_block(s, 1);
    case FILL_TRACE:
        return payload_block(s, 200);
    case FILL_EVEN:
        return payload_even(s, 65536);
    default:
        return payload_even(s, 64);
    }
}

static void value_remove(struct fill *f, const struct value *v)
{
    for (uint32_t i = 0; i < v->stripes; i++) {
        int rc = alloc_give(f->a, v->stripe[i].offset, v->stripe[i].size);
        assert(rc == CENOTE_OK);
    }
}

static void remove_some(struct fill *f)
{
    uint64_t i = seeded_below(f->s, f->count);
    value_remove(f, &f->values[i]);
    f->values[i] = f->values[--f->count];
}

/* One more stripe with the given payload. */
static bool stripe_take(struct fill *f, struct value *v, uint64_t payload)
{
    struct alloc_shape shape = alloc_rounding(payload);
    struct alloc_range *r = &v->stripe[v->stripes];
    r->size = shape.size;
    if (alloc_take(f->a, shape.size, shape.align, &r->offset) != CENOTE_OK)
        return false;
    v->stripes++;
    return true;
}

/* The rule for placement: whole if possible, else the largest stripes that there is room for, in
 * whole checksum chunks, none shorter than the share of the value that stripes_max allows. */
static bool value_take(struct fill *f, struct value *v, uint64_t payload)
{
    uint64_t least = (payload + f->c.stripes_max - 1) / f->c.stripes_max;
    v->stripes = 0;
    while (!stripe_take(f, v, payload)) {
        uint64_t part = alloc_payload_within(alloc_largest_free(f->a));
        part -= part % SUMS_CHUNK_BYTES;
        if (part == 0 || part < least || v->stripes + 1 >= f->c.stripes_max)
            return false;
        bool taken = stripe_take(f, v, part);
        assert(taken);
        payload -= part;
    }
    return true;
}

static bool put(struct fill *f, uint64_t payload)
{
    struct value v;
    if (!value_take(f, &v, payload)) {
        value_remove(f, &v);
        return false;
    }
    if (f->count == f->room) {
        f->room = f->room * 2 + 64;
        f->values = realloc(f->values, f->room * sizeof *f->values);
        assert(f->values != NULL);
    }
    f->values[f->count++] = v;
    f->puts++;
    f->stripes += v.stripes;
    return true;
}

/* How many values the segment holds, about. */
static double values_expected(struct fill *f)
{
    double bytes = 0;
    for (uint32_t i = 0; i < 1000; i++)
        bytes += (double)fill_payload(f->s, f->c.sizes);
    return (double)f->c.segment_bytes / (bytes / 1000);
}

static void rise_slowly(struct fill *f)
{
    double step = (1 - START_FILLED) / (ROUNDS * values_expected(f));
    double segment = (double)f->c.segment_bytes;
    uint64_t payload;
    double target = START_FILLED;
    do {
        payload = fill_payload(f->s, f->c.sizes);
        target = target + step < 1 ? target + step : 1;
        double want = target * segment - (double)alloc_rounding(payload).size;
        while ((double)alloc_used_bytes(f->a) > want)
            remove_some(f);
    } while (put(f, payload));
}

static void rise_quickly(struct fill *f)
{
    do {
        while (f->count > 0 && seeded_below(f->s, 100) >= PUTS_IN_100)
            remove_some(f);
    } while (put(f, fill_payload(f->s, f->c.sizes)));
}

struct fill_result fill_until_refused(struct seeded *s, struct fill_case c)
{
    assert(c.stripes_max >= 1 && c.stripes_max <= FILL_STRIPES_MAX);
    struct fill f = {.c = c, .s = s, .a = alloc_new(c.segment_bytes)};
    int rc = f.a != NULL ? alloc_extend(f.a, c.segment_bytes) : CENOTE_NO_MEMORY;
    assert(rc == CENOTE_OK);
    if (c.rise == FILL_SLOWLY)
        rise_slowly(&f);
    else
        rise_quickly(&f);
    struct fill_result result = {
        .used = (double)alloc_used_bytes(f.a) / (double)c.segment_bytes,
        .stripes_per_value = (double)f.stripes / (double)f.puts,
        .values = f.count,
    };
    free(f.values);
    alloc_free_all(f.a);
    return result;
}

const char *fill_sizes_name(enum fill_sizes sizes)
{
    static const char *const names[FILL_SIZES] = {"blocks", "trace", "even", "small"};
    return names[sizes];
}

const char *fill_rise_name(enum fill_rise rise)
{
    return rise == FILL_SLOWLY ? "slowly" : "quickly";
}
