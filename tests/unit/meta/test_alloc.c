/* SPDX-License-Identifier: Apache-2.0 */
#include <cenote/status.h>
#include <criterion/criterion.h>

#include "meta/core/alloc.h"
#include "transport/base/extent.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

static struct alloc *ready(uint64_t length)
{
    struct alloc *a = alloc_new(length);
    cr_assert_not_null(a);
    cr_assert_eq(alloc_extend(a, length), CENOTE_OK);
    return a;
}

Test(alloc, new__nothing_is_available)
{
    struct alloc *a = alloc_new(MIB);
    uint64_t offset = 77;
    struct alloc_range r;
    cr_assert_eq(alloc_take(a, 1, 1, &offset), CENOTE_NO_SPACE);
    cr_assert_eq(offset, 77);
    cr_assert_eq(alloc_largest_free(a), 0);
    cr_assert_not(alloc_next_free(a, 0, &r));
    cr_assert_eq(alloc_reserve(a, 0, 1), CENOTE_BAD_RANGE);
    alloc_free_all(a);
    alloc_free_all(NULL);
}

Test(alloc, extend__joins_what_is_free_before_it)
{
    struct alloc *a = alloc_new(MIB);
    cr_assert_eq(alloc_extend(a, 4 * KIB), CENOTE_OK);
    cr_assert_eq(alloc_extend(a, 4 * KIB), CENOTE_OK);
    cr_assert_eq(alloc_extend(a, MIB), CENOTE_OK);
    cr_assert_eq(alloc_largest_free(a), MIB);
    cr_assert_eq(alloc_upto(a), MIB);
    cr_assert_eq(alloc_extend(a, MIB - 1), CENOTE_BAD_RANGE);
    cr_assert_eq(alloc_extend(a, MIB + 1), CENOTE_BAD_RANGE);
    alloc_free_all(a);
}

Test(alloc, extend__behind_a_used_end)
{
    struct alloc *a = alloc_new(MIB);
    uint64_t offset;
    cr_assert_eq(alloc_extend(a, KIB), CENOTE_OK);
    cr_assert_eq(alloc_take(a, KIB, 16, &offset), CENOTE_OK);
    cr_assert_eq(alloc_extend(a, 2 * KIB), CENOTE_OK);
    cr_assert_eq(alloc_take(a, KIB, 16, &offset), CENOTE_OK);
    cr_assert_eq(offset, KIB);
    alloc_free_all(a);
}

Test(alloc, take__one_byte_and_everything)
{
    struct alloc *a = ready(MIB);
    uint64_t offset;
    cr_assert_eq(alloc_take(a, MIB, 4096, &offset), CENOTE_OK);
    cr_assert_eq(offset, 0);
    cr_assert_eq(alloc_take(a, 1, 1, &offset), CENOTE_NO_SPACE);
    cr_assert_eq(alloc_give(a, 0, MIB), CENOTE_OK);
    cr_assert_eq(alloc_take(a, MIB + 1, 1, &offset), CENOTE_NO_SPACE);
    cr_assert_eq(alloc_take(a, UINT64_MAX, 4096, &offset), CENOTE_NO_SPACE);
    cr_assert_eq(alloc_take(a, 1, 1, &offset), CENOTE_OK);
    cr_assert_eq(alloc_used_bytes(a), 1);
    cr_assert_eq(alloc_take(a, 1, 4096, &offset), CENOTE_OK);
    cr_assert_eq(offset, 4096);
    alloc_free_all(a);
}

Test(alloc, take__longest_range_there_is)
{
    struct alloc *a = ready(ALLOC_LENGTH_MAX);
    uint64_t offset;
    cr_assert_eq(alloc_take(a, 1, ALLOC_LENGTH_MAX, &offset), CENOTE_OK);
    cr_assert_eq(alloc_take(a, 1, ALLOC_LENGTH_MAX, &offset), CENOTE_NO_SPACE);
    cr_assert_eq(alloc_take(a, ALLOC_LENGTH_MAX - 1, 1, &offset), CENOTE_OK);
    cr_assert_eq(alloc_free_bytes(a), 0);
    alloc_free_all(a);
}

Test(alloc, take__smallest_that_fits_then_lowest)
{
    struct alloc *a = ready(100 * KIB);
    /* Free: 8 KiB at 0, 4 KiB at 20, 4 KiB at 40, 8 KiB at 60 KiB. */
    cr_assert_eq(alloc_reserve(a, 8 * KIB, 12 * KIB), CENOTE_OK);
    cr_assert_eq(alloc_reserve(a, 24 * KIB, 16 * KIB), CENOTE_OK);
    cr_assert_eq(alloc_reserve(a, 44 * KIB, 16 * KIB), CENOTE_OK);
    cr_assert_eq(alloc_reserve(a, 68 * KIB, 32 * KIB), CENOTE_OK);
    uint64_t offset;
    cr_assert_eq(alloc_take(a, 3 * KIB, 16, &offset), CENOTE_OK);
    cr_assert_eq(offset, 20 * KIB);
    cr_assert_eq(alloc_take(a, 4 * KIB, 16, &offset), CENOTE_OK);
    cr_assert_eq(offset, 40 * KIB);
    cr_assert_eq(alloc_take(a, 4 * KIB, 16, &offset), CENOTE_OK);
    cr_assert_eq(offset, 0);
    alloc_free_all(a);
}

Test(alloc, take__a_short_range_that_begins_aligned_is_found)
{
    struct alloc *a = ready(8 * KIB);
    cr_assert_eq(alloc_reserve(a, 0, 4 * KIB), CENOTE_OK);
    uint64_t offset;
    cr_assert_eq(alloc_take(a, 4 * KIB, 4096, &offset), CENOTE_OK);
    cr_assert_eq(offset, 4 * KIB);
    alloc_free_all(a);
}

Test(alloc, take__many_misaligned_ranges_hide_no_sure_fit)
{
    struct alloc *a = ready(MIB);
    /* 100 ranges of 5000 bytes that hold no aligned page, and the rest behind them. */
    for (uint64_t i = 0; i < 100; i++) {
        cr_assert_eq(alloc_reserve(a, i * 8192, 100), CENOTE_OK);
        cr_assert_eq(alloc_reserve(a, i * 8192 + 5100, 8192 - 5100), CENOTE_OK);
    }
    uint64_t offset;
    cr_assert_eq(alloc_take(a, 4096, 4096, &offset), CENOTE_OK);
    cr_assert_eq(offset, 819200);
    alloc_free_all(a);
}

Test(alloc, reserve__every_kind_of_overlap)
{
    struct alloc *a = ready(KIB);
    cr_assert_eq(alloc_reserve(a, 100, 100), CENOTE_OK);
    static const uint64_t overlaps[][2] = {{100, 100}, {100, 1}, {199, 1},  {50, 51},
                                           {199, 2},   {0, KIB}, {99, 102}, {150, 10}};
    for (size_t i = 0; i < sizeof overlaps / sizeof *overlaps; i++)
        cr_assert_eq(alloc_reserve(a, overlaps[i][0], overlaps[i][1]), CENOTE_INVALID);
    cr_assert_eq(alloc_used_bytes(a), 100);
    cr_assert_eq(alloc_reserve(a, 99, 1), CENOTE_OK);
    cr_assert_eq(alloc_reserve(a, 200, 1), CENOTE_OK);
    alloc_free_all(a);
}

Test(alloc, give__every_kind_of_double_free)
{
    struct alloc *a = ready(KIB);
    cr_assert_eq(alloc_reserve(a, 100, 100), CENOTE_OK);
    static const uint64_t doubles[][2] = {{99, 1},  {200, 1},  {99, 2}, {199, 2},
                                          {0, KIB}, {99, 102}, {0, 1}};
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
        cr_assert_eq(alloc_give(a, doubles[i][0], doubles[i][1]), CENOTE_INVALID);
    cr_assert_eq(alloc_give(a, 100, 100), CENOTE_OK);
    cr_assert_eq(alloc_give(a, 100, 100), CENOTE_INVALID);
    cr_assert_eq(alloc_largest_free(a), KIB);
    alloc_free_all(a);
}

Test(alloc, ranges_outside_are_refused)
{
    struct alloc *a = ready(KIB);
    static const uint64_t outside[][2] = {{0, 0},          {KIB, 1},        {0, KIB + 1},
                                          {UINT64_MAX, 2}, {1, UINT64_MAX}, {KIB - 1, 2}};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        cr_assert_eq(alloc_reserve(a, outside[i][0], outside[i][1]), CENOTE_BAD_RANGE);
        cr_assert_eq(alloc_give(a, outside[i][0], outside[i][1]), CENOTE_BAD_RANGE);
    }
    cr_assert_eq(alloc_free_bytes(a), KIB);
    alloc_free_all(a);
}

Test(alloc, next_free__in_order)
{
    struct alloc *a = ready(KIB);
    cr_assert_eq(alloc_reserve(a, 100, 100), CENOTE_OK);
    cr_assert_eq(alloc_reserve(a, 300, 724), CENOTE_OK);
    struct alloc_range r;
    cr_assert(alloc_next_free(a, 0, &r));
    cr_assert(r.offset == 0 && r.size == 100);
    cr_assert(alloc_next_free(a, 100, &r));
    cr_assert(r.offset == 200 && r.size == 100);
    cr_assert_not(alloc_next_free(a, 300, &r));
    alloc_free_all(a);
}

static void check_rebuild_refused(struct alloc_range third, int rc, uint64_t where)
{
    struct alloc *a = alloc_new(MIB);
    cr_assert_eq(alloc_extend(a, KIB), CENOTE_OK);
    struct alloc_range used[] = {{500, 100}, {100, 100}, third, {0, 50}};
    uint64_t bad = 77;
    cr_assert_eq(alloc_rebuild(a, used, 4, &bad), rc);
    cr_assert_eq(bad, where);
    cr_assert_eq(alloc_largest_free(a), KIB);
    alloc_free_all(a);
}

Test(alloc, rebuild__overlaps_and_strangers_are_refused)
{
    check_rebuild_refused((struct alloc_range){199, 1}, CENOTE_INVALID, 2);
    check_rebuild_refused((struct alloc_range){50, 51}, CENOTE_INVALID, 2);
    check_rebuild_refused((struct alloc_range){0, KIB}, CENOTE_INVALID, 1);
    check_rebuild_refused((struct alloc_range){600, 0}, CENOTE_BAD_RANGE, 3);
    check_rebuild_refused((struct alloc_range){600, 425}, CENOTE_BAD_RANGE, 3);
    check_rebuild_refused((struct alloc_range){UINT64_MAX, 2}, CENOTE_BAD_RANGE, 3);
}

Test(alloc, rebuild__only_where_nothing_is_in_use)
{
    struct alloc *a = ready(KIB);
    uint64_t bad = 77;
    cr_assert_eq(alloc_reserve(a, 0, 1), CENOTE_OK);
    cr_assert_eq(alloc_rebuild(a, NULL, 0, &bad), CENOTE_INVALID);
    cr_assert_eq(bad, 0);
    alloc_free_all(a);
}

Test(alloc, rebuild__none_and_all)
{
    struct alloc *a = ready(KIB);
    uint64_t bad;
    cr_assert_eq(alloc_rebuild(a, NULL, 0, &bad), CENOTE_OK);
    cr_assert_eq(alloc_largest_free(a), KIB);
    struct alloc_range used[] = {{512, 512}, {0, 512}};
    cr_assert_eq(alloc_rebuild(a, used, 2, &bad), CENOTE_OK);
    cr_assert_eq(alloc_free_bytes(a), 0);
    cr_assert_eq(alloc_give(a, 511, 2), CENOTE_OK);
    cr_assert_eq(alloc_largest_free(a), 2);
    alloc_free_all(a);
}

static void check_shape(uint64_t payload)
{
    struct alloc_shape shape = alloc_rounding(payload);
    cr_assert_geq(shape.size, extent_size(payload));
    cr_assert_eq(shape.size % shape.align, 0);
    cr_assert_eq(shape.align % EXTENT_ALIGN, 0);
    if (payload >= 4 * KIB)
        cr_assert_lt((shape.size - payload) * 100, payload * 5, "%zu", (size_t)payload);
    else
        cr_assert_lt(shape.size - payload, 160, "%zu", (size_t)payload);
    if (payload >= 256 * KIB)
        cr_assert_eq(shape.align, 4096);
    /* The inverse: this payload fits the room it asks for, and no room that is a step shorter. */
    uint64_t room = shape.size + shape.align - 1;
    cr_assert_geq(alloc_payload_within(room), payload);
    if (payload > 0)
        cr_assert_lt(alloc_payload_within(room - 1), payload);
}

Test(alloc, rounding__waste_stays_below_a_twentieth)
{
    for (uint64_t payload = 0; payload < 40 * KIB; payload++)
        check_shape(payload);
    for (uint64_t payload = 40 * KIB; payload < 200 * MIB; payload += payload / 100 + 1)
        check_shape(payload);
    /* Per-token bytes of the blocks of four models, 16 to 256 tokens each. */
    static const uint64_t token_kib[] = {128, 320, 256, 68};
    for (size_t i = 0; i < sizeof token_kib / sizeof *token_kib; i++)
        for (uint64_t tokens = 16; tokens <= 256; tokens *= 2)
            check_shape(token_kib[i] * KIB * tokens);
}

Test(alloc, reserve_behind__what_is_not_available)
{
    struct alloc *a = alloc_new(1000);
    struct alloc_range free_range;
    uint64_t offset;
    cr_assert_eq(alloc_reserve_behind(a, 0, 100), CENOTE_OK);
    cr_assert_eq(alloc_reserve_behind(a, 100, 50), CENOTE_OK);
    cr_assert(alloc_upto(a) == 150 && alloc_free_bytes(a) == 0);
    cr_assert_eq(alloc_reserve_behind(a, 149, 10), CENOTE_BAD_RANGE);
    cr_assert_eq(alloc_reserve_behind(a, 150, 0), CENOTE_BAD_RANGE);
    cr_assert_eq(alloc_reserve_behind(a, 950, 51), CENOTE_BAD_RANGE);
    cr_assert_eq(alloc_reserve_behind(a, 200, 800), CENOTE_OK);
    cr_assert(alloc_upto(a) == 1000 && alloc_free_bytes(a) == 50);
    cr_assert(alloc_next_free(a, 0, &free_range));
    cr_assert(free_range.offset == 150 && free_range.size == 50);
    cr_assert_eq(alloc_take(a, 50, 1, &offset), CENOTE_OK);
    cr_assert_eq(offset, 150);
    cr_assert_eq(alloc_give(a, 90, 60), CENOTE_OK);
    cr_assert_eq(alloc_free_bytes(a), 60);
    alloc_free_all(a);
}

Test(alloc, payload_within__bounds)
{
    cr_assert_eq(alloc_payload_within(0), 0);
    cr_assert_eq(alloc_payload_within(SEAL_BYTES), 0);
    cr_assert_eq(alloc_payload_within(SEAL_BYTES + 31), 16);
    cr_assert_lt(alloc_payload_within(UINT64_MAX), EXTENT_PAYLOAD_MAX);
}
