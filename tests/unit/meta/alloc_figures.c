/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator's figures. Usage:
 *   alloc_figures speed EXTENTS   nanoseconds an operation with that many live extents
 *   alloc_figures fill SEEDS      how full segments get before the first refusal
 */
#include <assert.h>
#include <cenote/status.h>
#include <stdbool.h>
#include <string.h>

#include "meta/core/alloc.h"
#include "tests/unit/meta/fill.h"
#include "tests/unit/meta/seeded.h"
#include "transport/base/clock.h"

#define GIB           (UINT64_C(1) << 30)
#define LARGEST_SIZE  65536u
#define SIZE_GRAIN    16u
#define SEGMENTS      6u
#define SEGMENT_FIRST (4 * GIB)

struct speed {
    struct seeded s;
    struct alloc *a;
    struct alloc_range *live;
    uint64_t count;
};

static void report(const char *what, uint64_t operations, uint64_t began_ns)
{
    double ns = (double)(clock_now_ns() - began_ns);
    printf("%-44s %9.0f ns each %8.2f s\n", what, ns / (double)operations, ns / 1e9);
}

static void take(struct speed *p, uint64_t i)
{
    struct alloc_range *r = &p->live[i];
    r->size = SIZE_GRAIN * (1 + seeded_below(&p->s, LARGEST_SIZE / SIZE_GRAIN));
    int rc = alloc_take(p->a, r->size, SIZE_GRAIN, &r->offset);
    assert(rc == CENOTE_OK);
}

static void give(struct speed *p, uint64_t i)
{
    int rc = alloc_give(p->a, p->live[i].offset, p->live[i].size);
    assert(rc == CENOTE_OK);
}

static void shuffle(struct speed *p)
{
    for (uint64_t i = p->count; i > 1; i--) {
        uint64_t j = seeded_below(&p->s, i);
        struct alloc_range r = p->live[i - 1];
        p->live[i - 1] = p->live[j];
        p->live[j] = r;
    }
}

static void fresh(struct speed *p)
{
    alloc_free_all(p->a);
    p->a = alloc_new(p->count * LARGEST_SIZE);
    assert(p->a != NULL);
    int rc = alloc_extend(p->a, p->count * LARGEST_SIZE);
    assert(rc == CENOTE_OK);
}

static void report_free(const struct speed *p)
{
    struct alloc_range r;
    uint64_t ranges = 0;
    for (uint64_t at = 0; alloc_next_free(p->a, at, &r); at = r.offset + r.size)
        ranges++;
    printf("%-44s %9llu free ranges, %.1f bytes each\n", "", (unsigned long long)ranges,
           (double)alloc_memory_bytes(p->a) / (double)ranges);
}

static void reserve_all(struct speed *p)
{
    fresh(p);
    uint64_t began = clock_now_ns();
    for (uint64_t i = 0; i < p->count; i++) {
        int rc = alloc_reserve(p->a, p->live[i].offset, p->live[i].size);
        assert(rc == CENOTE_OK);
    }
    report("reserve one by one, any order", p->count, began);
}

static void rebuild(struct speed *p)
{
    fresh(p);
    uint64_t began = clock_now_ns();
    uint64_t bad;
    int rc = alloc_rebuild(p->a, p->live, p->count, &bad);
    assert(rc == CENOTE_OK);
    report("rebuild from a list in any order", p->count, began);
}

static void figures_speed(uint64_t count)
{
    struct speed p = {.s = seeded_new("speed", 5), .count = count};
    p.live = malloc(count * sizeof *p.live);
    assert(p.live != NULL);
    fresh(&p);
    uint64_t began = clock_now_ns();
    for (uint64_t i = 0; i < count; i++)
        take(&p, i);
    report("take, empty segment", count, began);
    shuffle(&p);
    began = clock_now_ns();
    for (uint64_t i = 0; i < 2 * count; i++) {
        give(&p, i % count);
        take(&p, i % count);
    }
    report("give and take a random extent (both)", 2 * count, began);
    report_free(&p);
    shuffle(&p);
    reserve_all(&p);
    report_free(&p);
    rebuild(&p);
    report_free(&p);
    shuffle(&p);
    began = clock_now_ns();
    for (uint64_t i = 0; i < count; i++)
        give(&p, i);
    report("give, any order, until empty", count, began);
    free(p.live);
    alloc_free_all(p.a);
}

static void fill_line(struct fill_case c, uint64_t seeds)
{
    struct fill_result sum = {0};
    double least = 1;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct seeded s = {seed};
        struct fill_result r = fill_until_refused(&s, c);
        sum.used += r.used;
        sum.stripes_per_value += r.stripes_per_value;
        sum.values += r.values;
        least = r.used < least ? r.used : least;
    }
    double n = (double)seeds;
    printf("%-7s %-8s 1/%-5.0f %2u stripes: used %5.1f %% (least %5.1f), %.3f stripes a value, "
           "%.0f values\n",
           fill_sizes_name(c.sizes), fill_rise_name(c.rise),
           (double)c.segment_bytes / (double)FILL_LARGEST_PAYLOAD, c.stripes_max,
           100 * sum.used / n, 100 * least, sum.stripes_per_value / n, (double)sum.values / n);
}

static void figures_fill(uint64_t seeds)
{
    for (uint32_t sizes = 0; sizes < FILL_SIZES; sizes++)
        for (uint32_t rise = 0; rise < FILL_RISES; rise++)
            for (uint32_t segment = 0; segment < SEGMENTS; segment++)
                for (uint32_t split = 0; split < 2; split++)
                    fill_line((struct fill_case){.sizes = (enum fill_sizes)sizes,
                                                 .rise = (enum fill_rise)rise,
                                                 .segment_bytes = SEGMENT_FIRST << segment,
                                                 .stripes_max = split ? FILL_STRIPES_MAX : 1},
                              seeds);
}

int main(int argc, char **argv)
{
    uint64_t n = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    if (n > 0 && strcmp(argv[1], "speed") == 0) {
        figures_speed(n);
    } else if (n > 0 && strcmp(argv[1], "fill") == 0) {
        figures_fill(n);
    } else {
        fprintf(stderr, "usage: alloc_figures speed EXTENTS | fill SEEDS\n");
        return 2;
    }
    return 0;
}
