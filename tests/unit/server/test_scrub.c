/* SPDX-License-Identifier: Apache-2.0 */
/* What a node's look at its own memory finds, and what it must not take for damage. */
#include <criterion/criterion.h>

#include "server/node/scrub.h"
#include "tests/unit/server/entries.h"
#include "tests/unit/server/fake_node.h"
#include "transport/base/sums.h"

#define LEN     20000u
#define ROOM    24576u /* of one extent */
#define RATE    40000u /* bytes a second: an extent takes more than five steps */
#define STEP_MS 100u
#define STEPS   40u /* of more than a round */

static struct fake_node f;
static struct directory *d;
static struct scrub *s;
static uint64_t now_ms = 1;

static void begin(void)
{
    struct node_join_result r = fake_join_result();
    hash_init();
    fake_node_init(&f);
    cr_assert_eq(directory_open(-1, DIRECTORY_BYTES_MIN, NULL, 0, &d), CENOTE_OK);
    node_set_directory(f.node, d);
    cr_assert_eq(node_joined(f.node, &r), CENOTE_OK);
    node_set_populated(f.node, 0, FAKE_LEN);
    s = scrub_new(f.node, RATE);
    cr_assert_not_null(s);
}

static void end(void)
{
    scrub_free(s);
    fake_node_free(&f);
    directory_close(d);
}

TestSuite(scrub, .init = begin, .fini = end);

static uint8_t *extent_at(unsigned number)
{
    return (uint8_t *)f.memory.base + number * ROOM;
}

/* A value's only stripe, with its seal and its entry. */
static struct directory_entry put(unsigned number, uint64_t put_id)
{
    struct directory_entry e = entry_make(number, put_id);
    struct sums *sums = sums_new(LEN);
    memset(extent_at(number), (int)put_id, LEN);
    sums_update(sums, extent_at(number), LEN);
    e.gva = gva_make(FAKE_GVA + number * ROOM);
    e.payload_len = e.len_bytes = LEN;
    e.offset = e.stripe = 0;
    e.stripes = 1;
    e.sum_kind = SUM_XXH3;
    e.root = sums_root(sums);
    sums_free(sums);
    struct seal seal = {.sum_kind = SUM_XXH3,
                        .put_id = put_id,
                        .gva = e.gva,
                        .incarnation = 9,
                        .key_hash = e.key_hash,
                        .name_space = e.name_space,
                        .stripes = 1,
                        .total_len = LEN,
                        .payload_len = LEN,
                        .root = e.root,
                        .state = SEAL_STATE_LIVE};
    seal_encode(&seal, extent_at(number) + extent_seal_offset(LEN));
    cr_assert_eq(directory_set(d, &e), CENOTE_OK);
    return e;
}

static bool step(struct scrub_bad *bad)
{
    now_ms += STEP_MS;
    return scrub_step(s, now_ms, bad);
}

/* How often damage is found; *bad is the last. */
static unsigned steps(unsigned count, struct scrub_bad *bad)
{
    unsigned found = 0;
    for (unsigned i = 0; i < count; i++)
        found += step(bad);
    return found;
}

/* The first extent has been begun, and isn't through. */
static void go_half_way(void)
{
    struct scrub_bad bad;
    cr_assert_eq(steps(4, &bad), 0);
}

Test(scrub, damage__is_found)
{
    struct scrub_bad bad;
    (void)put(0, 7);
    struct directory_entry e = put(1, 8);
    cr_assert_eq(steps(STEPS, &bad), 0);
    extent_at(1)[LEN - 1] ^= 4;
    cr_assert_gt(steps(STEPS, &bad), 0);
    cr_assert(bad.gva.v == e.gva.v && bad.put_id == 8);
    extent_at(1)[LEN - 1] ^= 4;
    (void)steps(STEPS / 2, &bad); /* the rest of this round */
    cr_assert_eq(steps(STEPS, &bad), 0);
    extent_at(1)[extent_seal_offset(LEN) + SEAL_STATE_OFFSET] ^= 4;
    cr_assert_gt(steps(STEPS, &bad), 0);
    cr_assert(bad.gva.v == e.gva.v && bad.put_id == 8);
}

Test(scrub, half_way__damage_behind_and_before)
{
    struct scrub_bad bad;
    (void)put(0, 7);
    go_half_way();
    extent_at(0)[LEN - 1] ^= 1; /* not read yet */
    cr_assert_eq(steps(4, &bad), 1);
    cr_assert_eq(bad.put_id, 7);
    extent_at(0)[LEN - 1] ^= 1;
    (void)steps(STEPS / 2, &bad);
    cr_assert_eq(steps(STEPS, &bad), 0);
}

/* The extent is void, and somebody writes to its space already. */
Test(scrub, half_way__the_extent_is_given_up)
{
    struct scrub_bad bad;
    (void)put(0, 7);
    go_half_way();
    cr_assert_eq(node_void(f.node, gva_make(FAKE_GVA), LEN), CENOTE_OK);
    memset(extent_at(0), 0xa5, ROOM);
    cr_assert_eq(steps(STEPS, &bad), 0);
}

/* Its sums would be made of two puts' bytes. */
Test(scrub, half_way__the_address_is_another_puts)
{
    struct scrub_bad bad;
    (void)put(0, 7);
    go_half_way();
    cr_assert_eq(node_void(f.node, gva_make(FAKE_GVA), LEN), CENOTE_OK);
    (void)put(0, 8);
    cr_assert_eq(steps(STEPS, &bad), 0);
    extent_at(0)[0] ^= 1;
    cr_assert_gt(steps(STEPS, &bad), 0);
    cr_assert_eq(bad.put_id, 8);
}

/* As when the node's contents have ended: nothing is read there any more. */
Test(scrub, half_way__the_memory_is_nobodys)
{
    struct scrub_bad bad;
    (void)put(0, 7);
    (void)put(1, 8);
    go_half_way();
    memset(f.memory.base, 0xa5, FAKE_LEN);
    directory_round_begin(d);
    directory_round_end(d);
    cr_assert_eq(directory_sum(d).entries, 0);
    cr_assert_eq(steps(STEPS, &bad), 0);
}
