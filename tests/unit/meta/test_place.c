/* SPDX-License-Identifier: Apache-2.0 */
/* Where values go: how full a pool gets, how long stripes are, how many segments are compared. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "meta/core/place.h"
#include "tests/unit/meta/fill.h"

#define MIB        (UINT64_C(1) << 20)
#define GIB        (UINT64_C(1) << 30)
#define VALUES_MAX 20000u
#define STRIPE     MIB
#define SPLIT      32u /* a value has at most so many stripes */

static struct core core;
static struct session session;
static struct placement at;

/* In the pool. */
static struct value {
    uint32_t count;
    struct piece pieces[SPLIT];
} values[VALUES_MAX];

static void pool_up(uint32_t segments, uint64_t segment_bytes)
{
    struct node *n = members_add(&core, 1, "n");
    cr_assert(n != NULL);
    n->state = NODE_ALIVE;
    n->peer = (struct service_peer *)&core; /* not NULL: connected */
    for (uint32_t i = 0; i < segments; i++) {
        uint64_t room = (segment_bytes + GVA_ALIGN - 1) / GVA_ALIGN * GVA_ALIGN;
        struct incarnation *in =
            incarnation_new(&core, i + 1, gva_make(GVA_FIRST + i * room), segment_bytes, 0);
        cr_assert(in != NULL && alloc_extend(in->alloc, segment_bytes) == CENOTE_OK);
        incarnation_begin(&core, in, n);
        if (i < SEGMENTS_MAX)
            n->segments[n->segment_count++] = in;
    }
}

static void pool_down(void)
{
    struct link *l;
    while ((l = list_pop(&session.fences)) != NULL)
        free(container_of(l, struct fence, by_session));
    members_free(&core);
}

TestSuite(place, .fini = pool_down);

static uint64_t used_bytes(void)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < core.members.range_count; i++)
        used += alloc_used_bytes(core.members.ranges[i]->alloc);
    return used;
}

static void check_stripes(uint64_t len_bytes)
{
    uint64_t left = len_bytes;
    cr_assert_leq(at.stripes, SPLIT);
    for (uint32_t i = 0; i < at.stripes; i++) {
        uint64_t part = at.pieces[i].payload_len;
        cr_assert_leq(part, left);
        left -= part;
        if (i + 1 == at.stripes)
            continue;
        cr_assert_eq(part % SUMS_CHUNK_BYTES, 0);
        cr_assert_geq(part, len_bytes / SPLIT, "%zu of %zu", (size_t)part, (size_t)len_bytes);
    }
    cr_assert_eq(left, 0);
}

/* Values are replaced at random while occupancy rises slowly, until one is refused. Says how much
 * was in use then. */
static double fill_slowly(struct seeded *s, enum fill_sizes sizes, double *stripes)
{
    uint64_t puts = 0, pieces = 0;
    uint32_t count = 0;
    double target = 0.5, step = 0.5 / 20000;
    for (;;) {
        uint64_t len = fill_payload(s, sizes);
        target = target + step < 1 ? target + step : 1;
        while (count > 0 && (double)(used_bytes() + len) > target * (double)core.capacity_bytes) {
            uint32_t i = (uint32_t)seeded_below(s, count);
            place_undo(&core, values[i].pieces, values[i].count);
            values[i] = values[--count];
        }
        if (place_value(&core, &session, len, 1, &at) != CENOTE_OK)
            break;
        check_stripes(len);
        puts++;
        pieces += at.stripes;
        cr_assert_lt(count, VALUES_MAX);
        values[count].count = at.stripes;
        memcpy(values[count++].pieces, at.pieces, at.stripes * sizeof(at.pieces[0]));
    }
    *stripes = (double)pieces / (double)puts;
    return (double)used_bytes() / (double)core.capacity_bytes;
}

static void check_fill(enum fill_sizes sizes, uint32_t segments)
{
    struct seeded s = seeded_new(fill_sizes_name(sizes), 2026);
    double stripes;
    pool_up(segments, 4 * GIB);
    double used = fill_slowly(&s, sizes, &stripes);
    fprintf(stderr, "%s, %u x 4 GiB: first refusal at %.1f %%, %.3f stripes a value\n",
            fill_sizes_name(sizes), segments, 100 * used, stripes);
    cr_assert_gt(used, 0.95);
    cr_assert_lt(stripes, 1.1);
}

Test(place, value__95_percent_in_one_small_segment)
{
    check_fill(FILL_BLOCKS, 1);
}

Test(place, value__95_percent_in_two)
{
    check_fill(FILL_EVEN, 2);
}

Test(place, value__95_percent_with_small_ones)
{
    check_fill(FILL_SMALL, 1);
}

Test(place, value__larger_than_any_segment)
{
    pool_up(4, GIB + 64 * MIB);
    cr_assert_eq(place_value(&core, &session, 4 * GIB, 1, &at), CENOTE_OK);
    cr_assert_eq(at.stripes, 4);
    place_undo(&core, at.pieces, at.stripes);
    cr_assert_eq(used_bytes(), 0);
    cr_assert_eq(place_value(&core, &session, 5 * GIB, 1, &at), CENOTE_VALUE_SIZE);
}

Test(place, value__refused_leaves_nothing)
{
    pool_up(2, GIB);
    cr_assert_eq(place_value(&core, &session, 2 * GIB, 1, &at),
                 CENOTE_NO_SPACE); /* no room for sums */
    cr_assert_eq(used_bytes(), 0);
}

Test(place, value__huge_ones_have_longer_stripes)
{
    pool_up(4, UINT64_C(1) << 50);
    cr_assert_eq(place_value(&core, &session, UINT64_C(1) << 51, 1, &at), CENOTE_OK);
    cr_assert_leq(at.stripes, STRIPES_MAX);
    cr_assert_eq(place_value(&core, &session, UINT64_MAX, 1, &at), CENOTE_VALUE_SIZE);
}

/* As many nodes as segments of their own. */
static void pool_of_nodes(uint32_t nodes, uint64_t segment_bytes)
{
    core.options.stripe_bytes = STRIPE;
    for (uint32_t k = 0; k < nodes; k++) {
        char name[] = {(char)('a' + k), 0};
        struct node *n = members_add(&core, k + 1, name);
        cr_assert(n != NULL);
        n->state = NODE_ALIVE;
        n->peer = (struct service_peer *)&core;
        struct incarnation *in =
            incarnation_new(&core, k + 1, gva_make(GVA_FIRST + k * GIB), segment_bytes, 0);
        cr_assert(in != NULL && alloc_extend(in->alloc, segment_bytes) == CENOTE_OK);
        incarnation_begin(&core, in, n);
        n->segments[n->segment_count++] = in;
    }
}

static const struct node *node_of(uint32_t piece)
{
    return members_find(&core, at.pieces[piece].gva, 1)->node;
}

Test(place, stripes__neighbours_on_different_nodes)
{
    uint64_t offset;
    pool_of_nodes(3, GIB);
    /* However full one of them is. */
    cr_assert_eq(alloc_take(core.members.ranges[1]->alloc, GIB / 2, 1, &offset), CENOTE_OK);
    cr_assert_eq(place_value(&core, &session, 20 * STRIPE + 1, 1, &at), CENOTE_OK);
    cr_assert_eq(at.stripes, 21);
    for (uint32_t k = 0; k < at.stripes; k++) {
        cr_assert_eq(at.pieces[k].payload_len, k < 20 ? STRIPE : 1);
        cr_assert(k == 0 || node_of(k) != node_of(k - 1), "stripe %u", k);
    }
}

Test(place, stripes__replicas_apart_and_neighbours_too)
{
    pool_of_nodes(4, GIB);
    cr_assert_eq(place_value(&core, &session, 10 * STRIPE, 2, &at), CENOTE_OK);
    cr_assert_eq(at.stripes, 10);
    for (uint32_t k = 0; k < at.stripes; k++) {
        cr_assert_neq(node_of(2 * k), node_of(2 * k + 1));
        for (uint32_t r = 0; k > 0 && r < 4; r++)
            cr_assert_neq(node_of(2 * k + r % 2), node_of(2 * (k - 1) + r / 2), "stripe %u", k);
    }
}

Test(place, stripes__whole_where_no_node_is_left_to_share)
{
    pool_of_nodes(2, GIB);
    cr_assert_eq(place_value(&core, &session, 10 * STRIPE, 2, &at), CENOTE_OK);
    cr_assert_eq(at.stripes, 1);
    cr_assert_eq(place_value(&core, &session, STRIPE, 1, &at), CENOTE_OK);
    cr_assert_eq(at.stripes, 1);
}

Test(place, value__goes_to_the_emptiest)
{
    uint64_t first = 0;
    pool_up(3, GIB);
    for (uint32_t n = 0; n < 30; n++) {
        cr_assert_eq(place_value(&core, &session, MIB, 1, &at), CENOTE_OK);
        first += at.pieces[0].gva.v < GVA_FIRST + GVA_ALIGN;
    }
    cr_assert_eq(first, 10);
}
