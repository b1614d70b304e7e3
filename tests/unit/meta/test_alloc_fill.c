/* SPDX-License-Identifier: Apache-2.0 */
/* What the essay in meta/core/alloc.c promises about fragmentation; alloc_figures prints more. */
#include <criterion/criterion.h>

#include "tests/unit/meta/fill.h"

#define GIB UINT64_C(1073741824)

static void check(struct fill_case c, uint32_t percent)
{
    struct seeded s = seeded_new(fill_sizes_name(c.sizes), 2026);
    struct fill_result r = fill_until_refused(&s, c);
    fprintf(stderr, "%s, %s, %zu GiB, %u stripes: first refusal at %.1f %%, %.3f stripes a value\n",
            fill_sizes_name(c.sizes), fill_rise_name(c.rise), (size_t)(c.segment_bytes / GIB),
            c.stripes_max, 100 * r.used, r.stripes_per_value);
    cr_assert_gt(100 * r.used, percent);
    cr_assert_lt(r.stripes_per_value, 1.1);
}

Test(alloc_fill, split_when_needed__95_percent_in_small_segments)
{
    for (uint32_t sizes = 0; sizes < FILL_SIZES; sizes++)
        for (uint32_t rise = 0; rise < FILL_RISES; rise++)
            for (uint64_t segment = 4 * GIB; segment <= 16 * GIB; segment *= 2)
                check((struct fill_case){.sizes = (enum fill_sizes)sizes,
                                         .rise = (enum fill_rise)rise,
                                         .segment_bytes = segment,
                                         .stripes_max = FILL_STRIPES_MAX},
                      95);
}

static void check_whole(enum fill_sizes sizes, enum fill_rise rise, uint64_t gib, uint32_t percent)
{
    check(
        (struct fill_case){
            .sizes = sizes, .rise = rise, .segment_bytes = gib * GIB, .stripes_max = 1},
        percent);
}

Test(alloc_fill, whole__95_percent_where_the_largest_is_a_two_thousandth)
{
    check_whole(FILL_BLOCKS, FILL_SLOWLY, 160, 95);
    check_whole(FILL_TRACE, FILL_SLOWLY, 160, 95);
    check_whole(FILL_EVEN, FILL_SLOWLY, 256, 95);
    check_whole(FILL_BLOCKS, FILL_QUICKLY, 64, 95);
    check_whole(FILL_EVEN, FILL_QUICKLY, 64, 95);
}

Test(alloc_fill, whole__in_small_segments_less)
{
    check_whole(FILL_BLOCKS, FILL_SLOWLY, 16, 90);
    check_whole(FILL_BLOCKS, FILL_SLOWLY, 4, 75);
    check_whole(FILL_EVEN, FILL_SLOWLY, 16, 80);
}
