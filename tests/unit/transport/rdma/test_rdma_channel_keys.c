/* SPDX-License-Identifier: Apache-2.0 */
/* What a queue pair may name: pieces of segments, by address. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/unit/transport/rdma/channelrig.h"

#define PIECE (UINT64_C(16) << 30)

static struct channel_queue queue;

/* Two pieces of one segment, a gap, and one of another, as a node might tell them. */
static void set_keys(void)
{
    const struct setup_key keys[] = {
        {.gva = {GVA_FIRST + PIECE}, .len_bytes = PIECE, .addr = 3, .incarnation = 1, .rkey = 2},
        {.gva = {GVA_FIRST + 4 * PIECE}, .len_bytes = 4096, .incarnation = 2, .rkey = 3},
        {.gva = {GVA_FIRST}, .len_bytes = PIECE, .addr = 1, .incarnation = 1, .rkey = 1},
        {.gva = {GVA_FIRST + 4 * PIECE + 4096}, .len_bytes = 10, .incarnation = 7, .rkey = 4}};
    cr_assert_eq(channel_keys_set(&queue, keys, 4), CENOTE_OK);
}

static uint32_t find(uint64_t gva, uint64_t *left)
{
    const struct setup_key *key = channel_key_find(&queue, gva_make(gva), left);
    return key != NULL ? key->rkey : 0;
}

Test(channel_keys, find)
{
    uint64_t left;
    cr_assert_eq(find(GVA_FIRST, &left), 0);
    set_keys();
    cr_assert_eq(find(GVA_FIRST, &left), 1);
    cr_assert_eq(left, PIECE);
    cr_assert_eq(find(GVA_FIRST + PIECE - 1, &left), 1);
    cr_assert_eq(left, 1);
    cr_assert_eq(find(GVA_FIRST + PIECE, &left), 2);
    cr_assert_eq(left, PIECE);
    cr_assert_eq(find(GVA_FIRST + 2 * PIECE, &left), 0);
    cr_assert_eq(find(GVA_FIRST - 1, &left), 0);
    cr_assert_eq(find(UINT64_MAX, &left), 0);
    cr_assert_eq(find(GVA_FIRST + 4 * PIECE + 4100, &left), 4);
    cr_assert_eq(left, 6);
    free(queue.keys);
}

Test(channel_keys, covers)
{
    set_keys();
    cr_assert(channel_key_covers(&queue, gva_make(GVA_FIRST), 2 * PIECE));
    cr_assert(channel_key_covers(&queue, gva_make(GVA_FIRST + PIECE - 16), 32));
    cr_assert(!channel_key_covers(&queue, gva_make(GVA_FIRST), 2 * PIECE + 1));
    cr_assert(!channel_key_covers(&queue, gva_make(GVA_FIRST + 16), UINT64_MAX - 15));
    cr_assert(!channel_key_covers(&queue, gva_make(UINT64_MAX - 15), 4096));
    /* two segments side by side aren't one */
    cr_assert(!channel_key_covers(&queue, gva_make(GVA_FIRST + 4 * PIECE), 4100));
    free(queue.keys);
}
