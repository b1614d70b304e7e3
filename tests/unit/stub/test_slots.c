/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "meta/stub/slots.h"
#include "transport/base/hash.h"

static struct slot_map map, got;
static uint32_t slot, own;

static uint32_t slot_in(const char *name_space, const void *key, size_t len)
{
    return slot_of(slot_seed(name_space), key, len);
}

/* doc/PROTOCOL.md has the same; never to be changed. */
Test(slots, slot_of__vectors)
{
    uint8_t bytes[256], xs[1024];
    hash_init();
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    memset(xs, 'x', sizeof(xs));
    cr_assert_eq(slot_in("default", "a", 1), 11647);
    cr_assert_eq(slot_in("default", "b", 1), 16183);
    cr_assert_eq(slot_in("other", "a", 1), 6745);
    cr_assert_eq(slot_in("default", xs, sizeof(xs)), 12152);
    cr_assert_eq(slot_in("default", bytes, sizeof(bytes)), 6593);
}

static void three(void)
{
    memset(&map, 0, sizeof(map));
    map.epoch = 9;
    map.range_count = 3;
    map.ranges[0] = (struct slot_range){0, 99, 2};
    map.ranges[1] = (struct slot_range){100, 100, 0};
    map.ranges[2] = (struct slot_range){101, SLOTS - 1, 2};
    strcpy(map.endpoints[0], "unix:/a");
    strcpy(map.endpoints[2], "b:1");
}

Test(slots, map__whole)
{
    three();
    cr_assert(slot_map_whole(&map, &slot));
    cr_assert_eq(slot_map_owned(&map, 0), 1);
    cr_assert_eq(slot_map_owned(&map, 1), 0);
    cr_assert_eq(slot_map_owned(&map, 2), SLOTS - 1);
    slot_map_single(&map);
    cr_assert(slot_map_whole(&map, &slot));
    cr_assert_eq(slot_map_owned(&map, 0), SLOTS);
}

Test(slots, map__not_whole)
{
    three();
    map.ranges[1].first = map.ranges[1].last = 101;
    cr_assert(!slot_map_whole(&map, &slot) && slot == 100, "a gap");
    three();
    map.ranges[1].first = 99;
    cr_assert(!slot_map_whole(&map, &slot) && slot == 99, "two owners");
    three();
    map.range_count = 2;
    cr_assert(!slot_map_whole(&map, &slot) && slot == 101, "the end");
    three();
    map.ranges[2].last = SLOTS;
    cr_assert(!slot_map_whole(&map, &slot), "beyond");
    three();
    map.ranges[1].shard = SHARDS_MAX;
    cr_assert(!slot_map_whole(&map, &slot), "an owner with a wrong number");
    map.range_count = 0;
    cr_assert(!slot_map_whole(&map, &slot) && slot == 0, "nothing");
}

static bool travel(const struct slot_map *sent)
{
    struct wire_buf b = {0};
    struct wire_msg holder;
    struct wire_value v;
    slots_result_put(&b, sent, 2);
    cr_assert_eq(wire_parse_value(b.data, b.len, &holder, &v), CENOTE_OK);
    bool good = slots_result_get(v, &got, &own);
    wire_msg_free(&holder);
    wire_buf_free(&b);
    return good;
}

Test(slots, result__travels)
{
    three();
    cr_assert(travel(&map));
    cr_assert(own == 2 && got.epoch == 9 && got.range_count == 3);
    cr_assert_eq(memcmp(got.ranges, map.ranges, 3 * sizeof(map.ranges[0])), 0);
    cr_assert_eq(memcmp(got.endpoints, map.endpoints, sizeof(map.endpoints)), 0);
}

Test(slots, result__refused)
{
    three();
    map.ranges[1].last = 200;
    cr_assert(!travel(&map));
    three();
    map.range_count = 2;
    cr_assert(!travel(&map));
}

Test(slots, status__with_and_without_an_epoch)
{
    struct wire_buf b = {0};
    struct wire_msg holder;
    struct wire_value v;
    int status;
    wire_put_array(&b, 3);
    wrong_shard_put(&b, 77);
    wire_put_int(&b, CENOTE_NOT_FOUND);
    wire_put_uint(&b, 5);
    cr_assert_eq(wire_parse_value(b.data, b.len, &holder, &v), CENOTE_OK);
    cr_assert(key_status_get(wire_at(v, 0), &status) && status == CENOTE_WRONG_SHARD);
    cr_assert_eq(wrong_shard_epoch(wire_at(v, 0)), 77);
    cr_assert(key_status_get(wire_at(v, 1), &status) && status == CENOTE_NOT_FOUND);
    cr_assert_eq(wrong_shard_epoch(wire_at(v, 1)), 0);
    cr_assert(!key_status_get(wire_at(v, 2), &status) && !key_status_get(wire_at(v, 3), &status));
    cr_assert_eq(wrong_shard_epoch(wire_at(v, 3)), 0);
    wire_msg_free(&holder);
    wire_buf_free(&b);
}

Test(slots, gva__parts_are_apart)
{
    uint64_t first, end, before = GVA_FIRST;
    for (uint32_t i = 0; i < SHARDS_MAX; i++) {
        slot_gva_part(1, i, &first, &end);
        cr_assert(first == before && end > first && first % GVA_ALIGN == 0);
        before = end;
    }
    cr_assert_eq(before, GVA_END);
    slot_gva_part(0, 0, &first, &end);
    cr_assert(first == GVA_FIRST && end == GVA_END);
}
