/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <endian.h>

#include "tests/unit/server/fake_node.h"

static struct fake_node f;

static void begin(void)
{
    hash_init();
    fake_node_init(&f);
}

static void begin_joined(void)
{
    struct node_join_result r = fake_join_result();
    begin();
    cr_assert_eq(node_joined(f.node, &r), CENOTE_OK);
    node_set_populated(f.node, 0, FAKE_LEN);
}

static void end(void)
{
    fake_node_free(&f);
}

TestSuite(node, .init = begin_joined, .fini = end);
TestSuite(node_new, .init = begin, .fini = end);

/* ---- joining ------------------------------------------------------------------------------ */

Test(node_new, join_params__ask_for_a_new_incarnation)
{
    struct node_join_params p = {0};
    node_join_params(f.node, &p);
    cr_assert_eq(p.boot, FAKE_BOOT);
    cr_assert_eq(p.highest_reign, FAKE_REIGN);
    cr_assert_eq(p.segment_count, 1);
    cr_assert_eq(p.segments[0].len_bytes, FAKE_LEN);
    cr_assert_eq(p.segments[0].incarnation, 0);
    cr_assert_eq(memcmp(&p.grant_key, &fake_grant_key, sizeof fake_grant_key), 0);
}

Test(node_new, joined__serves_the_segment_once)
{
    struct node_join_params p = {0};
    struct node_join_result r = fake_join_result();
    cr_assert(!node_has_joined(f.node));
    cr_assert_eq(node_joined(f.node, &r), CENOTE_OK);
    cr_assert_eq(node_joined(f.node, &r), CENOTE_OK, "it came back");
    cr_assert_eq(f.exporters[0].segments, 1);
    cr_assert_eq(f.exporters[1].segments, 1);
    node_join_params(f.node, &p);
    cr_assert_eq(p.segments[0].incarnation, 9);
}

Test(node_new, joined__old_reign)
{
    struct node_join_result r = fake_join_result();
    r.reign = FAKE_REIGN - 1;
    cr_assert_eq(node_joined(f.node, &r), CENOTE_OLD_REIGN);
    cr_assert_eq(f.exporters[0].segments, 0);
}

Test(node_new, joined__answer_does_not_fit)
{
    struct node_join_result r = fake_join_result();
    r.segment_count = 2;
    cr_assert_eq(node_joined(f.node, &r), CENOTE_PROTOCOL);
    r = fake_join_result();
    r.segments[0].incarnation = 0;
    cr_assert_eq(node_joined(f.node, &r), CENOTE_PROTOCOL);
    r = fake_join_result();
    r.segments[0].gva.v = GVA_END - FAKE_LEN + 16;
    cr_assert_eq(node_joined(f.node, &r), CENOTE_PROTOCOL);
    r.segments[0].gva.v = FAKE_GVA + 1;
    cr_assert_eq(node_joined(f.node, &r), CENOTE_PROTOCOL);
    cr_assert_eq(f.exporters[0].segments, 0);
}

Test(node, joined__another_incarnation_is_refused)
{
    struct node_join_result r = fake_join_result();
    r.segments[0].incarnation++;
    cr_assert_eq(node_joined(f.node, &r), CENOTE_PROTOCOL);
    r = fake_join_result();
    r.segments[0].gva.v += GVA_ALIGN;
    cr_assert_eq(node_joined(f.node, &r), CENOTE_PROTOCOL);
}

static struct node_join_result begin_taken_over(void)
{
    struct node_join_result r = fake_join_result();
    struct hash128 pool;
    struct fake_node earlier;
    fake_node_init(&earlier);
    cr_assert_eq(node_joined(earlier.node, &r), CENOTE_OK);
    pool = node_pool(earlier.node);
    fake_node_free(&earlier);
    node_take_over(f.node, 0, r.segments[0].incarnation, r.segments[0].gva);
    node_take_over_pool(f.node, &pool);
    return r;
}

Test(node_new, take_over__names_the_contents_and_wants_them_confirmed)
{
    struct node_join_params p = {0};
    cr_assert(!node_has_contents(f.node));
    struct node_join_result r = begin_taken_over();
    cr_assert(node_has_contents(f.node) && !node_has_joined(f.node));
    node_join_params(f.node, &p);
    cr_assert_eq(p.segments[0].incarnation, 9);
    r.segments[0].incarnation++;
    cr_assert_eq(node_joined(f.node, &r), CENOTE_PROTOCOL);
    r.segments[0].incarnation--;
    r.segments[0].gva.v += GVA_ALIGN;
    cr_assert_eq(node_joined(f.node, &r), CENOTE_PROTOCOL);
    r.segments[0].gva.v -= GVA_ALIGN;
    cr_assert_eq(f.exporters[0].segments, 0);
    cr_assert_eq(node_joined(f.node, &r), CENOTE_OK);
    cr_assert_eq(f.exporters[0].segments, 1);
}

Test(node_new, take_over__another_pool)
{
    struct node_join_result r = begin_taken_over();
    r.pool_key.b[0]++;
    cr_assert_eq(node_joined(f.node, &r), CENOTE_PROTOCOL);
    cr_assert_eq(f.exporters[0].segments, 0);
}

/* A service that has lost its database counts from the beginning: the same names, another pool. */
Test(node, joined__another_pool_is_refused)
{
    struct node_join_result r = fake_join_result();
    r.pool_key.b[0]++;
    cr_assert_eq(node_joined(f.node, &r), CENOTE_PROTOCOL);
}

Test(node, see_reign__goes_up_only)
{
    cr_assert_eq(node_see_reign(f.node, FAKE_REIGN + 2), CENOTE_OK);
    cr_assert_eq(node_see_reign(f.node, FAKE_REIGN + 2), CENOTE_OK);
    cr_assert_eq(node_see_reign(f.node, FAKE_REIGN + 1), CENOTE_OLD_REIGN);
    cr_assert_eq(node_highest_reign(f.node), FAKE_REIGN + 2);
}

/* ---- the gate ------------------------------------------------------------------------------- */

static int authenticate(uint64_t session, uint32_t name_space, const struct hash_key *key)
{
    struct xcopy_credentials who = {.session = session, .name_space = 4};
    who.token = token_make(key, FAKE_SESSION, name_space);
    return node_gate(f.node)->authenticate(node_gate(f.node)->arg, &who);
}

Test(node_new, authenticate__before_the_join)
{
    const struct hash_key zero = {{0}};
    cr_assert_eq(authenticate(FAKE_SESSION, 4, &zero), CENOTE_DENIED);
}

Test(node, authenticate)
{
    const struct hash_key zero = {{0}};
    cr_assert_eq(authenticate(FAKE_SESSION, 4, &fake_pool_key), CENOTE_OK);
    cr_assert_eq(authenticate(FAKE_SESSION + 1, 4, &fake_pool_key), CENOTE_DENIED);
    cr_assert_eq(authenticate(FAKE_SESSION, 5, &fake_pool_key), CENOTE_DENIED);
    cr_assert_eq(authenticate(FAKE_SESSION, 4, &zero), CENOTE_DENIED);
}

static int admit(uint64_t put_id, uint64_t boot, uint64_t extent_len)
{
    const struct xcopy_gate *gate = node_gate(f.node);
    struct write_grant grant =
        grant_make(&fake_grant_key, boot, FAKE_SESSION, put_id, gva_make(FAKE_GVA), 4096);
    return gate->admit_write(gate->arg, FAKE_SESSION, put_id, gva_make(FAKE_GVA), extent_len,
                             &grant);
}

Test(node, admit_write)
{
    cr_assert_eq(node_gate(f.node)->boot, FAKE_BOOT);
    cr_assert_eq(admit(100, FAKE_BOOT, 4096), CENOTE_OK);
    cr_assert_eq(admit(100, FAKE_BOOT, 8192), CENOTE_BAD_GRANT);
    cr_assert_eq(admit(100, FAKE_BOOT - 1, 4096), CENOTE_OLD_BOOT);
}

Test(node, admit_write__fenced_up_to_the_horizon)
{
    struct fence_params p = {FAKE_REIGN, FAKE_SESSION, 100};
    cr_assert_eq(node_fence(f.node, &p, 1), CENOTE_OK);
    cr_assert_eq(admit(99, FAKE_BOOT, 4096), CENOTE_FENCED, "although the fence isn't done");
    cr_assert_eq(admit(100, FAKE_BOOT, 4096), CENOTE_FENCED);
    cr_assert_eq(admit(101, FAKE_BOOT, 4096), CENOTE_OK);
    const struct xcopy_gate *gate = node_gate(f.node);
    cr_assert_eq(gate->horizon(gate->arg, FAKE_SESSION), 100);
    cr_assert_eq(gate->horizon(gate->arg, FAKE_SESSION + 1), 0);
}

/* ---- fences --------------------------------------------------------------------------------- */

Test(node, fence__answers_when_every_exporter_is_done)
{
    struct fence_params p = {FAKE_REIGN, FAKE_SESSION, 100};
    cr_assert_eq(node_fence(f.node, &p, 42), CENOTE_OK);
    node_poll(f.node);
    cr_assert_eq(f.fenced, 0);
    fake_done(&f.exporters[1], 0);
    node_poll(f.node);
    cr_assert_eq(f.fenced + f.nudges, 0);
    fake_done(&f.exporters[0], 0);
    cr_assert_eq(f.nudges, 1);
    cr_assert_eq(f.fenced, 0, "not from the exporter's thread");
    node_poll(f.node);
    node_poll(f.node);
    cr_assert_eq(f.fenced, 1);
    cr_assert_eq(f.tag, 42);
}

Test(node, fence__old_reign_changes_nothing)
{
    struct fence_params p = {FAKE_REIGN - 1, FAKE_SESSION, 100};
    cr_assert_eq(node_fence(f.node, &p, 1), CENOTE_OLD_REIGN);
    cr_assert_eq(f.exporters[0].fences, 0);
    cr_assert_eq(admit(100, FAKE_BOOT, 4096), CENOTE_OK);
}

Test(node, fence__asked_again_after_a_reconnect_takes_over)
{
    struct fence_params p = {FAKE_REIGN, FAKE_SESSION, 100};
    cr_assert_eq(node_fence(f.node, &p, 1), CENOTE_OK);
    node_forget_tags(f.node);
    p.reign++;
    cr_assert_eq(node_fence(f.node, &p, 2), CENOTE_OK);
    cr_assert_eq(f.exporters[0].fences, 1, "it was under way");
    fake_done(&f.exporters[0], 0);
    fake_done(&f.exporters[1], 0);
    node_poll(f.node);
    cr_assert_eq(f.fenced, 1);
    cr_assert_eq(f.tag, 2);
}

Test(node, fence__nobody_waits_any_more)
{
    struct fence_params p = {FAKE_REIGN, FAKE_SESSION, 100};
    cr_assert_eq(node_fence(f.node, &p, 1), CENOTE_OK);
    node_forget_tags(f.node);
    fake_done(&f.exporters[0], 0);
    fake_done(&f.exporters[1], 0);
    node_poll(f.node);
    cr_assert_eq(f.fenced, 0);
}

Test(node, fence__limit)
{
    struct fence_params p = {FAKE_REIGN, 0, 100};
    for (p.session = 1; p.session <= NODE_FENCES_MAX; p.session++)
        cr_assert_eq(node_fence(f.node, &p, p.session), CENOTE_OK);
    cr_assert_eq(node_fence(f.node, &p, p.session), CENOTE_LIMIT);
    fake_done(&f.exporters[0], 5);
    fake_done(&f.exporters[1], 5);
    node_poll(f.node);
    cr_assert_eq(node_fence(f.node, &p, p.session), CENOTE_OK);
}

/* ---- voids ---------------------------------------------------------------------------------- */

static void seal_at(uint64_t offset, uint64_t payload_len)
{
    struct seal s = {.put_id = 1, .payload_len = payload_len, .state = SEAL_STATE_LIVE};
    seal_encode(&s, (uint8_t *)f.memory.base + offset + extent_seal_offset(payload_len));
}

Test(node, void__changes_the_state_word_only)
{
    static uint8_t before[FAKE_LEN];
    const uint64_t len = 1000, at = 4096;
    seal_at(at, len);
    memcpy(before, f.memory.base, FAKE_LEN);
    cr_assert_eq(node_void(f.node, gva_make(FAKE_GVA + at), len), CENOTE_OK);
    uint64_t state = at + extent_seal_offset(len) + SEAL_STATE_OFFSET;
    const uint8_t *after = f.memory.base;
    cr_assert_eq(memcmp(after + state, "VOID", 4), 0);
    cr_assert_eq(memcmp(after, before, state), 0);
    cr_assert_eq(memcmp(after + state + 4, before + state + 4, FAKE_LEN - state - 4), 0);
    struct seal s;
    cr_assert_eq(seal_decode(after + at + extent_seal_offset(len), &s), CENOTE_OK);
    cr_assert_eq(s.state, SEAL_STATE_VOID);
}

Test(node, void__first_and_last_extent)
{
    uint64_t payload = FAKE_LEN - SEAL_BYTES;
    while (extent_size(payload) > FAKE_LEN)
        payload--;
    cr_assert_eq(node_void(f.node, gva_make(FAKE_GVA), payload), CENOTE_OK);
    cr_assert_eq(node_void(f.node, gva_make(FAKE_GVA + FAKE_LEN - extent_size(0)), 0), CENOTE_OK);
}

Test(node, void__outside)
{
    uint64_t size = extent_size(0);
    const struct {
        uint64_t gva, payload_len;
    } bad[] = {
        {FAKE_GVA - 16, 0},
        {FAKE_GVA + FAKE_LEN, 0},
        {FAKE_GVA + FAKE_LEN - size + 16, 0},
        {FAKE_GVA + 8, 0},
        {FAKE_GVA, FAKE_LEN},
        {FAKE_GVA, EXTENT_PAYLOAD_MAX},
        {FAKE_GVA, EXTENT_PAYLOAD_MAX + 1},
        {FAKE_GVA, UINT64_MAX},
        {0, 0},
        {UINT64_MAX - 15, 64},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(node_void(f.node, gva_make(bad[i].gva), bad[i].payload_len), CENOTE_BAD_RANGE,
                     "case %zu", i);
    const uint8_t *at = f.memory.base;
    for (size_t i = 0; i < FAKE_LEN; i++)
        cr_assert_eq(at[i], 0);
}

Test(node_new, void__before_the_join_or_beyond_what_is_populated)
{
    struct node_join_result r = fake_join_result();
    node_set_populated(f.node, 0, 4096);
    cr_assert_eq(node_void(f.node, gva_make(FAKE_GVA), 0), CENOTE_BAD_RANGE);
    cr_assert_eq(node_joined(f.node, &r), CENOTE_OK);
    cr_assert_eq(node_void(f.node, gva_make(FAKE_GVA), 0), CENOTE_OK);
    cr_assert_eq(node_void(f.node, gva_make(FAKE_GVA + 4096), 0), CENOTE_BAD_RANGE);
    struct node_heartbeat_params p;
    node_heartbeat_params(f.node, &p);
    cr_assert_eq(p.segment_count, 1);
    cr_assert_eq(p.populated_bytes[0], 4096);
}

/* ---- exporters ------------------------------------------------------------------------------- */

static void tell(struct xcopy_exporter *e, struct xcopy_report *out)
{
    (void)e;
    out->rail_count = 1;
    strcpy(out->rails[0], "rxe0:1");
    out->queue_pairs = 12;
    out->rails_lost = 1;
}

Test(node, report__of_the_exporter_that_has_devices)
{
    struct xcopy_exporter_ops with_devices = fake_ops;
    struct node_heartbeat_params p;
    node_heartbeat_params(f.node, &p);
    cr_assert(!p.has_rdma);
    with_devices.report = tell;
    f.exporters[1].base.ops = &with_devices;
    node_heartbeat_params(f.node, &p);
    cr_assert(p.has_rdma);
    cr_assert_eq(p.rdma.rail_count, 1);
    cr_assert_str_eq(p.rdma.rails[0], "rxe0:1");
    cr_assert_eq(p.rdma.queue_pairs, 12);
    cr_assert_eq(p.rdma.rails_lost, 1);
}

static int refuse_segment(struct xcopy_exporter *e, const struct xcopy_segment *segment)
{
    (void)e;
    (void)segment;
    return CENOTE_NO_MEMORY;
}

Test(node_new, join__an_exporter_cannot_have_the_segment)
{
    struct xcopy_exporter_ops full = fake_ops;
    struct node_join_result r = fake_join_result();
    full.add_segment = refuse_segment;
    f.exporters[0].base.ops = &full;
    cr_assert_eq(node_joined(f.node, &r), CENOTE_OK);
    cr_assert(node_has_joined(f.node));
    cr_assert_eq(f.exporters[1].segments, 1);
}
