/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "server/node/member.h"
#include "tests/unit/server/entries.h"
#include "tests/unit/server/fake_node.h"

/* The service's side: what the member sent, and the call it waits for. */
static struct {
    struct fake_node node;
    struct member *member;
    struct directory *directory; /* NULL: none */
    uint64_t now_ms;
    unsigned connects, closes, answers, joins, notes;
    int noted;              /* of what the node got */
    struct wire_msg answer; /* the last one */
    struct wire_msg call;   /* the last one; its frame is kept */
    uint8_t *call_frame, *answer_frame;
    uint32_t call_timeout_ms;
    void (*done)(void *arg, int status, struct wire_value result);
    void *done_arg;
} t;

static void keep(struct wire_msg *msg, uint8_t **kept, const void *frame, size_t len)
{
    wire_msg_free(msg);
    free(*kept);
    *kept = malloc(len);
    memcpy(*kept, frame, len);
    cr_assert_eq(wire_scan(*kept, len, WIRE_FRAME_MAX, NULL), (int64_t)len);
    cr_assert_eq(wire_parse(*kept, len, msg), CENOTE_OK);
}

static void env_connect(void *arg)
{
    (void)arg;
    t.connects++;
}

static void env_answer(void *arg, const void *frame, size_t len_bytes)
{
    (void)arg;
    t.answers++;
    keep(&t.answer, &t.answer_frame, frame, len_bytes);
}

static void env_call(void *arg, const void *frame, size_t len_bytes, uint32_t timeout_ms,
                     void (*done)(void *done_arg, int status, struct wire_value result),
                     void *done_arg)
{
    (void)arg;
    keep(&t.call, &t.call_frame, frame, len_bytes);
    t.call_timeout_ms = timeout_ms;
    t.done = done;
    t.done_arg = done_arg;
}

static void env_close(void *arg)
{
    (void)arg;
    t.closes++;
}

static void env_joined(void *arg)
{
    (void)arg;
    t.joins++;
}

static int env_noted(void *arg)
{
    (void)arg;
    t.notes++;
    return t.noted;
}

static uint64_t env_now(void *arg)
{
    (void)arg;
    return t.now_ms;
}

static void begin(void)
{
    struct member_env env = {.connect = env_connect,
                             .answer = env_answer,
                             .call = env_call,
                             .close = env_close,
                             .joined = env_joined,
                             .noted = env_noted,
                             .now_ms = env_now};
    struct member_identity who = {
        .name = "n1", .host = "h", .shm = "unix:/s", .rdma = "1.2.3.4:6", .tcp = "1.2.3.4:5"};
    hash_init();
    fake_node_init(&t.node);
    t.now_ms = 1000000;
    t.member = member_new(&env, &who, t.node.node);
}

static void end(void)
{
    member_leave(t.member);
    member_disconnected(t.member);
    member_free(t.member);
    fake_node_free(&t.node);
    directory_close(t.directory);
    wire_msg_free(&t.call);
    wire_msg_free(&t.answer);
    free(t.call_frame);
    free(t.answer_frame);
}

TestSuite(member, .init = begin, .fini = end);

static void pass(uint64_t ms)
{
    t.now_ms += ms;
    member_tick(t.member);
}

/* Answers the call the member waits for. */
static void answer_ok(void (*put)(struct wire_buf *b))
{
    struct wire_buf b = {0};
    struct wire_msg holder;
    struct wire_value v;
    put(&b);
    cr_assert_eq(wire_parse_value(b.data, b.len, &holder, &v), CENOTE_OK);
    t.done(t.done_arg, CENOTE_OK, v);
    wire_msg_free(&holder);
    wire_buf_free(&b);
}

static void answer_error(int status)
{
    t.done(t.done_arg, status, (struct wire_value){NULL});
}

static void put_join_result(struct wire_buf *b)
{
    struct node_join_result r = fake_join_result();
    node_join_result_put(b, &r);
}

static void put_reign(struct wire_buf *b)
{
    wire_put_array(b, 1);
    wire_put_uint(b, FAKE_REIGN);
}

static void put_old_reign(struct wire_buf *b)
{
    wire_put_array(b, 1);
    wire_put_uint(b, FAKE_REIGN - 1);
}

static void join(void)
{
    pass(0);
    member_connected(t.member);
    answer_ok(put_join_result);
    cr_assert_eq(member_state(t.member), MEMBER_JOINED);
    answer_ok(put_reign); /* of the first heartbeat */
}

Test(member, join__then_a_heartbeat_at_once)
{
    struct node_join_params p;
    pass(0);
    cr_assert_eq(t.connects, 1);
    member_connected(t.member);
    cr_assert_str_eq(t.call.method, METHOD_NODE_JOIN);
    cr_assert_eq(t.call_timeout_ms, MEMBER_CALL_TIMEOUT_MS);
    cr_assert(node_join_params_get(t.call.params, &p));
    cr_assert_str_eq(p.name, "n1");
    cr_assert_str_eq(p.tcp, "1.2.3.4:5");
    cr_assert_str_eq(p.rdma, "1.2.3.4:6");
    cr_assert_eq(p.protocol, PROTOCOL_VERSION);
    cr_assert_eq(p.segments[0].incarnation, 0);
    cr_assert_eq(t.joins, 0);
    answer_ok(put_join_result);
    cr_assert_eq(t.joins, 1);
    cr_assert_eq(member_state(t.member), MEMBER_JOINED);
    cr_assert_str_eq(t.call.method, METHOD_NODE_HEARTBEAT);
}

Test(member, connect__tries_again_ever_more_slowly)
{
    uint64_t pause = MEMBER_RETRY_FIRST_MS;
    pass(0);
    for (unsigned i = 1; i < 10; i++) {
        member_disconnected(t.member);
        cr_assert_eq(member_state(t.member), MEMBER_WAITING);
        pass(pause - 1);
        cr_assert_eq(t.connects, i);
        pass(1);
        cr_assert_eq(t.connects, i + 1);
        pause = pause * 2 < MEMBER_RETRY_MAX_MS ? pause * 2 : MEMBER_RETRY_MAX_MS;
    }
}

Test(member, join__refused_tries_again)
{
    pass(0);
    member_connected(t.member);
    answer_error(CENOTE_NODE_KNOWN);
    cr_assert_eq(t.closes, 1);
    member_disconnected(t.member);
    cr_assert_eq(member_state(t.member), MEMBER_WAITING);
}

Test(member, join__again_with_the_same_incarnation)
{
    struct node_join_params p;
    join();
    member_disconnected(t.member);
    pass(MEMBER_RETRY_FIRST_MS);
    member_connected(t.member);
    cr_assert(node_join_params_get(t.call.params, &p));
    cr_assert_eq(p.boot, FAKE_BOOT);
    cr_assert_eq(p.segments[0].incarnation, 9);
    answer_ok(put_join_result);
    cr_assert_eq(member_state(t.member), MEMBER_JOINED);
}

Test(member, join__again_but_the_contents_have_ended)
{
    join();
    member_disconnected(t.member);
    pass(MEMBER_RETRY_FIRST_MS);
    member_connected(t.member);
    answer_error(CENOTE_NODE_UNKNOWN);
    cr_assert_eq(member_state(t.member), MEMBER_LOST);
    cr_assert_eq(t.closes, 1);
    member_disconnected(t.member);
    cr_assert_eq(member_state(t.member), MEMBER_LOST);
}

Test(member, heartbeat__at_its_period)
{
    join();
    t.call.method[0] = '\0';
    pass(999);
    cr_assert_str_eq(t.call.method, "");
    pass(1);
    cr_assert_str_eq(t.call.method, METHOD_NODE_HEARTBEAT);
    cr_assert_eq(t.call_timeout_ms, MEMBER_CALL_TIMEOUT_MS);
}

Test(member, heartbeat__at_once_when_more_is_populated)
{
    struct node_heartbeat_params p;
    join();
    t.call.method[0] = '\0';
    node_set_populated(t.node.node, 0, 4096);
    pass(MEMBER_TICK_MS);
    cr_assert_str_eq(t.call.method, METHOD_NODE_HEARTBEAT);
    cr_assert(node_heartbeat_params_get(t.call.params, &p));
    cr_assert_eq(p.populated_bytes[0], 4096);
}

Test(member, heartbeat__goes_on_while_the_service_stalls_but_not_for_ever)
{
    unsigned sent = 0;
    join();
    for (int i = 0; i < 100; i++) {
        t.call.method[0] = '\0';
        pass(1000);
        sent += t.call.method[0] != '\0';
    }
    cr_assert_eq(sent, MEMBER_HEARTBEATS_IN_FLIGHT);
}

Test(member, heartbeat__the_node_was_declared_dead)
{
    join();
    pass(1000);
    answer_error(CENOTE_NODE_UNKNOWN);
    cr_assert_eq(member_state(t.member), MEMBER_LOST);
}

Test(member, heartbeat__an_old_service_is_left)
{
    join();
    pass(1000);
    answer_ok(put_old_reign);
    cr_assert_eq(t.closes, 1);
    member_disconnected(t.member);
    cr_assert_eq(member_state(t.member), MEMBER_WAITING);
}

Test(member, heartbeat__no_answer_connects_anew)
{
    join();
    pass(1000);
    answer_error(CENOTE_TIMED_OUT);
    cr_assert_eq(t.closes, 1);
}

Test(member, leave)
{
    join();
    member_leave(t.member);
    cr_assert_str_eq(t.call.method, METHOD_NODE_LEAVE);
    cr_assert_eq(t.call_timeout_ms, MEMBER_LEAVE_TIMEOUT_MS);
    cr_assert_eq(member_state(t.member), MEMBER_LEAVING);
    answer_error(CENOTE_TIMED_OUT);
    cr_assert_eq(t.closes, 1);
    member_disconnected(t.member);
    cr_assert_eq(member_state(t.member), MEMBER_LEFT);
    cr_assert(!member_contents_ended(t.member), "nobody has said so");
}

Test(member, leave__the_service_says_that_the_contents_have_ended)
{
    join();
    member_leave(t.member);
    answer_ok(wire_put_nil);
    cr_assert(member_contents_ended(t.member));
    member_disconnected(t.member);
}

Test(member, join__taken_over_contents_are_unknown)
{
    node_take_over(t.node.node, 0, 9, gva_make(FAKE_GVA));
    pass(0);
    member_connected(t.member);
    answer_error(CENOTE_NODE_KNOWN);
    cr_assert_neq(member_state(t.member), MEMBER_LOST);
    member_disconnected(t.member);
    pass(MEMBER_RETRY_MAX_MS);
    member_connected(t.member);
    answer_error(CENOTE_NODE_UNKNOWN);
    cr_assert_eq(member_state(t.member), MEMBER_LOST);
    cr_assert(member_contents_ended(t.member));
    cr_assert_eq(t.joins, 0);
}

Test(member, leave__at_every_stage)
{
    member_leave(t.member);
    cr_assert_eq(member_state(t.member), MEMBER_LEFT);
}

Test(member, leave__while_connecting)
{
    pass(0);
    member_leave(t.member);
    cr_assert_eq(member_state(t.member), MEMBER_LEAVING);
    member_connected(t.member);
    cr_assert_eq(t.closes, 1);
    member_disconnected(t.member);
    cr_assert_eq(member_state(t.member), MEMBER_LEFT);
}

/* ---- the service's calls ------------------------------------------------------------------ */

static void request(struct wire_buf *b)
{
    struct wire_msg msg;
    cr_assert_eq(wire_parse(b->data, b->len, &msg), CENOTE_OK);
    member_message(t.member, &msg);
    wire_msg_free(&msg);
    wire_buf_free(b);
}

static void request_fence(uint32_t msgid, uint64_t reign)
{
    struct wire_buf b = {0};
    struct fence_params p = {reign, FAKE_SESSION, 100};
    wire_put_request(&b, msgid, METHOD_FENCE);
    fence_params_put(&b, &p);
    request(&b);
}

static void request_void(uint32_t msgid, uint64_t reign, const uint64_t *gva, uint32_t count)
{
    struct wire_buf b = {0};
    wire_put_request(&b, msgid, METHOD_VOID);
    void_params_put(&b, reign, count);
    for (uint32_t i = 0; i < count; i++)
        void_extent_put(&b, gva_make(gva[i]), 0);
    request(&b);
}

Test(member, fence__answered_when_done)
{
    join();
    request_fence(71, FAKE_REIGN);
    cr_assert_eq(t.answers, 0);
    fake_done(&t.node.exporters[0], 0);
    fake_done(&t.node.exporters[1], 0);
    node_poll(t.node.node);
    cr_assert_eq(t.node.fenced, 1);
    member_fenced(t.member, t.node.tag); /* as the daemon wires it */
    cr_assert_eq(t.answer.msgid, 71);
    cr_assert_eq(t.answer.error, CENOTE_OK);
}

Test(member, fence__old_reign)
{
    join();
    request_fence(72, FAKE_REIGN - 1);
    cr_assert_eq(t.answer.msgid, 72);
    cr_assert_eq(t.answer.error, CENOTE_OLD_REIGN);
}

Test(member, void__one_bad_extent_does_not_keep_the_others)
{
    const uint64_t gva[] = {FAKE_GVA, FAKE_GVA + FAKE_LEN, FAKE_GVA + 4096};
    join();
    node_set_populated(t.node.node, 0, FAKE_LEN);
    request_void(73, FAKE_REIGN, gva, 3);
    cr_assert_eq(t.answer.msgid, 73);
    cr_assert_eq(t.answer.error, CENOTE_BAD_RANGE);
    const uint8_t *at = t.node.memory.base;
    cr_assert_eq(memcmp(at + SEAL_STATE_OFFSET, "VOID", 4), 0);
    cr_assert_eq(memcmp(at + 4096 + SEAL_STATE_OFFSET, "VOID", 4), 0);
    request_void(74, FAKE_REIGN, gva, 1);
    cr_assert_eq(t.answer.error, CENOTE_OK);
}

/* ---- the directory ---- */

static void with_directory(void)
{
    cr_assert_eq(directory_open(-1, DIRECTORY_BYTES_MIN, NULL, 0, &t.directory), CENOTE_OK);
    node_set_directory(t.node.node, t.directory);
    node_set_populated(t.node.node, 0, FAKE_LEN);
    join();
}

static struct directory_entry entry_at(unsigned i)
{
    struct directory_entry e = entry_make(i, 50 + i);
    e.gva = gva_make(FAKE_GVA + i * 4096);
    return e;
}

/* Entries of these numbers, or of a foreign address. */
static void request_directory(uint32_t msgid, uint64_t reign, enum directory_part part,
                              const unsigned *numbers, uint32_t count)
{
    struct wire_buf b = {0};
    wire_put_request(&b, msgid, METHOD_DIRECTORY);
    directory_params_put(&b, reign, part, count);
    for (uint32_t i = 0; i < count; i++) {
        struct directory_entry e = entry_at(numbers[i]);
        directory_entry_put(&b, &e);
    }
    request(&b);
}

static void expect_sum(uint64_t entries)
{
    struct directory_sum sum, real = directory_sum(t.directory);
    cr_assert_eq(t.answer.error, CENOTE_OK);
    cr_assert(directory_sum_get(t.answer.result, &sum));
    cr_assert_eq(sum.entries, entries);
    cr_assert(sum.entries == real.entries && sum.digest == real.digest);
}

Test(member, directory__news_and_lists)
{
    with_directory();
    request_directory(80, FAKE_REIGN, DIRECTORY_NEWS, (const unsigned[]){1, 2, 3}, 3);
    expect_sum(3);
    request_directory(81, FAKE_REIGN, DIRECTORY_FIRST, (const unsigned[]){2, 4}, 2);
    expect_sum(4);
    request_directory(82, FAKE_REIGN, DIRECTORY_LAST, (const unsigned[]){5}, 1);
    expect_sum(3);
    struct directory_entry e, found;
    for (unsigned i = 1; i < 6; i++) {
        e = entry_at(i);
        cr_assert_eq(directory_find(t.directory, e.gva, &found), i == 2 || i >= 4);
    }
}

Test(member, directory__heartbeats_tell_the_sum)
{
    struct node_heartbeat_params p;
    with_directory();
    request_directory(80, FAKE_REIGN, DIRECTORY_NEWS, (const unsigned[]){1, 2}, 2);
    pass(1000);
    cr_assert_str_eq(t.call.method, METHOD_NODE_HEARTBEAT);
    cr_assert(node_heartbeat_params_get(t.call.params, &p) && p.has_directory);
    cr_assert_eq(p.directory.entries, 2);
    cr_assert_eq(p.directory.digest, directory_sum(t.directory).digest);
}

Test(member, directory__void_drops)
{
    uint64_t gva = FAKE_GVA + 4096;
    with_directory();
    request_directory(80, FAKE_REIGN, DIRECTORY_NEWS, (const unsigned[]){1, 2}, 2);
    request_void(81, FAKE_REIGN, &gva, 1);
    cr_assert_eq(t.answer.error, CENOTE_OK);
    cr_assert_eq(directory_sum(t.directory).entries, 1);
}

Test(member, directory__foreign_extents_are_refused_the_others_taken)
{
    with_directory();
    request_directory(80, FAKE_REIGN, DIRECTORY_NEWS, (const unsigned[]){1, 16, 2, 1000}, 4);
    cr_assert_eq(t.answer.error, CENOTE_BAD_RANGE);
    cr_assert_eq(directory_sum(t.directory).entries, 2);
}

Test(member, directory__refused)
{
    struct wire_buf b = {0};
    with_directory();
    request_directory(80, FAKE_REIGN - 1, DIRECTORY_NEWS, (const unsigned[]){1}, 1);
    cr_assert_eq(t.answer.error, CENOTE_OLD_REIGN);
    wire_put_request(&b, 81, METHOD_DIRECTORY);
    directory_params_put(&b, FAKE_REIGN, DIRECTORY_NEWS, 1);
    wire_put_nil(&b);
    request(&b);
    cr_assert_eq(t.answer.error, CENOTE_PROTOCOL);
    cr_assert_eq(directory_sum(t.directory).entries, 0);
}

Test(member, directory__none)
{
    struct node_heartbeat_params p;
    node_set_populated(t.node.node, 0, FAKE_LEN);
    join();
    request_directory(80, FAKE_REIGN, DIRECTORY_NEWS, (const unsigned[]){1}, 1);
    cr_assert_eq(t.answer.error, CENOTE_NOT_SUPPORTED);
    pass(1000);
    cr_assert(node_heartbeat_params_get(t.call.params, &p) && !p.has_directory);
}

static void request_read(uint32_t msgid, uint64_t cursor, uint32_t limit,
                         struct directory_read_result *r)
{
    struct wire_buf b = {0};
    struct directory_read_params p = {.reign = FAKE_REIGN, .cursor = cursor, .limit = limit};
    wire_put_request(&b, msgid, METHOD_DIRECTORY_READ);
    directory_read_params_put(&b, &p);
    request(&b);
    cr_assert_eq(t.answer.error, CENOTE_OK);
    cr_assert(directory_read_result_get(t.answer.result, r));
    cr_assert_eq(r->sum.digest, directory_sum(t.directory).digest);
}

Test(member, directory_read__page_by_page)
{
    struct directory_read_result r = {0};
    unsigned seen[16] = {0}, pages = 0;
    with_directory();
    for (unsigned i = 0; i < 15; i++)
        request_directory(90 + i, FAKE_REIGN, DIRECTORY_NEWS, &i, 1);
    do {
        request_read(200 + pages++, r.cursor, 4, &r);
        for (uint32_t i = 0; i < r.count; i++) {
            struct directory_entry e;
            cr_assert(directory_entry_get(wire_at(r.entries, i), &e));
            unsigned number = (unsigned)((e.gva.v - FAKE_GVA) / 4096);
            struct directory_entry as = entry_at(number);
            cr_assert(entry_equal(&e, &as));
            seen[number]++;
        }
    } while (r.cursor != 0);
    for (unsigned i = 0; i < 15; i++)
        cr_assert_eq(seen[i], 1);
    cr_assert_eq(pages, 4);
    request_read(300, UINT64_MAX, 1, &r);
    cr_assert(r.count == 0 && r.cursor == 0);
}

/* As the entry says, or almost. */
static void put_seal(unsigned number, bool other_put, bool other_life)
{
    struct directory_entry e = entry_at(number);
    struct seal seal = {.put_id = e.put_id + other_put,
                        .name_space = e.name_space,
                        .key_hash = e.key_hash,
                        .gva = e.gva,
                        .stripe = (uint16_t)e.stripe,
                        .stripes = (uint16_t)e.stripes,
                        .stripe_offset = e.offset,
                        .total_len = e.len_bytes,
                        .payload_len = e.payload_len,
                        .sum_kind = (uint8_t)e.sum_kind,
                        .root = e.root,
                        .state = SEAL_STATE_LIVE,
                        .incarnation = node_segment_at(t.node.node, 0)->incarnation - other_life};
    seal_encode(&seal,
                (uint8_t *)t.node.memory.base + number * 4096u + extent_seal_offset(e.payload_len));
}

static void request_look(uint32_t msgid, uint64_t reign, const struct directory_entry *e,
                         uint32_t count)
{
    struct wire_buf b = {0};
    wire_put_request(&b, msgid, METHOD_DIRECTORY_LOOK);
    directory_look_params_put(&b, reign, count);
    for (uint32_t i = 0; i < count; i++)
        directory_name_put(&b, e[i].gva, e[i].put_id);
    request(&b);
}

Test(member, directory_look__says_what_is_there)
{
    const unsigned numbers[] = {0, 1, 2};
    struct directory_entry e[] = {entry_at(0), entry_at(1), entry_at(2), entry_at(3), entry_at(0)};
    uint8_t states[5];
    with_directory();
    request_directory(90, FAKE_REIGN, DIRECTORY_NEWS, numbers, 3);
    put_seal(0, false, false);
    put_seal(1, false, false);
    cr_assert_eq(node_void(t.node.node, e[1].gva, e[1].payload_len), CENOTE_OK);
    request_directory(92, FAKE_REIGN, DIRECTORY_NEWS, &numbers[1], 1); /* too late */
    e[4].put_id++;
    request_look(93, FAKE_REIGN, e, 5);
    cr_assert_eq(t.answer.error, CENOTE_OK);
    cr_assert(directory_look_result_get(t.answer.result, states, 5));
    cr_assert_eq(states[0], DIRECTORY_LIVE);
    cr_assert_eq(states[1], DIRECTORY_NO_SEAL);
    cr_assert_eq(states[2], DIRECTORY_NO_SEAL, "never written");
    cr_assert_eq(states[3], DIRECTORY_NO_ENTRY);
    cr_assert_eq(states[4], DIRECTORY_NO_ENTRY, "another put's");
    request_look(94, FAKE_REIGN - 1, e, 5);
    cr_assert_eq(t.answer.error, CENOTE_OLD_REIGN);
    request_look(95, FAKE_REIGN, e, 0);
    cr_assert_eq(t.answer.error, CENOTE_PROTOCOL);
}

/* Of four entries' seals: as it says, of another put, of an earlier life of the memory, void. */
Test(member, directory_read__live_seals_of_this_life_only)
{
    const unsigned numbers[] = {0, 1, 2, 3};
    struct wire_buf b = {0};
    struct directory_read_params p = {.reign = FAKE_REIGN, .limit = 10, .live = true};
    struct directory_read_result r;
    struct directory_entry e;
    with_directory();
    for (unsigned i = 0; i < 4; i++)
        put_seal(i, i == 1, i == 2);
    cr_assert_eq(node_void(t.node.node, entry_at(3).gva, ENTRY_LEN), CENOTE_OK);
    request_directory(90, FAKE_REIGN, DIRECTORY_NEWS, numbers, 4);
    wire_put_request(&b, 91, METHOD_DIRECTORY_READ);
    directory_read_params_put(&b, &p);
    request(&b);
    cr_assert(directory_read_result_get(t.answer.result, &r));
    cr_assert(r.count == 1 && r.left_out == 3);
    cr_assert(directory_entry_get(wire_at(r.entries, 0), &e));
    cr_assert_eq(e.put_id, 50);
}

/* ---- scrubbing --------------------------------------------------------------------------- */

/* Damage lies in its memory, and the node is half through with it. */
static void scrub_half_way(void)
{
    const unsigned number = 0;
    with_directory();
    request_directory(90, FAKE_REIGN, DIRECTORY_NEWS, &number, 1); /* there are no such bytes */
    cr_assert_eq(member_scrub(t.member, 1000), CENOTE_OK);
    t.call.method[0] = '\0';
    for (unsigned i = 0; i < 3; i++)
        pass(100);
    cr_assert_str_neq(t.call.method, METHOD_EXTENT_DAMAGED);
}

static bool damage_is_told(void)
{
    for (unsigned i = 0; i < 40; i++) {
        pass(100);
        if (strcmp(t.call.method, METHOD_EXTENT_DAMAGED) == 0)
            return true;
    }
    return false;
}

Test(member, scrub__tells_of_damage)
{
    uint64_t put_id;
    struct gva gva;
    scrub_half_way();
    cr_assert(damage_is_told());
    cr_assert(extent_damaged_params_get(t.call.params, &put_id, &gva));
    cr_assert(put_id == 50 && gva.v == FAKE_GVA);
}

Test(member, scrub__ends_when_the_node_is_declared_dead)
{
    scrub_half_way();
    member_disconnected(t.member);
    pass(MEMBER_RETRY_FIRST_MS);
    cr_assert(!damage_is_told());
    member_connected(t.member);
    cr_assert(!damage_is_told());
    answer_error(CENOTE_NODE_UNKNOWN);
    cr_assert_eq(member_state(t.member), MEMBER_LOST);
    cr_assert(!damage_is_told());
    member_disconnected(t.member);
    cr_assert(!damage_is_told());
}

Test(member, scrub__ends_when_the_node_leaves)
{
    scrub_half_way();
    member_leave(t.member);
    cr_assert(!damage_is_told());
    answer_ok(wire_put_nil);
    cr_assert(!damage_is_told());
    member_disconnected(t.member);
}

Test(member, scrub__goes_on_after_a_reconnect)
{
    scrub_half_way();
    member_disconnected(t.member);
    pass(MEMBER_RETRY_FIRST_MS);
    member_connected(t.member);
    answer_ok(put_join_result);
    answer_ok(put_reign);
    cr_assert(damage_is_told());
    answer_error(CENOTE_UNAVAILABLE); /* the connection broke again: it is told in the next round */
    t.call.method[0] = '\0';
    cr_assert(damage_is_told());
}

/* Not in the order of their addresses, and held by way of two exporters. */
Test(member, void__names_what_is_held)
{
    const uint64_t gva[] = {FAKE_GVA + 8192, FAKE_GVA, FAKE_GVA + 4096};
    bool held[3];
    join();
    node_set_populated(t.node.node, 0, FAKE_LEN);
    t.node.exporters[0].held = FAKE_GVA + 8192;
    t.node.exporters[1].held = FAKE_GVA + 4096;
    request_void(76, FAKE_REIGN, gva, 3);
    cr_assert_eq(t.answer.error, CENOTE_OK);
    cr_assert(void_result_get(t.answer.result, held, 3));
    cr_assert(held[0] && !held[1] && held[2]);
    cr_assert_eq(node_hold_count(t.node.node), 2);
    t.node.exporters[0].held = t.node.exporters[1].held = 0;
    request_void(77, FAKE_REIGN, gva, 3);
    cr_assert(wire_is_nil(t.answer.result));
}

Test(member, void__old_reign)
{
    const uint64_t gva = FAKE_GVA;
    join();
    node_set_populated(t.node.node, 0, FAKE_LEN);
    request_void(75, FAKE_REIGN - 1, &gva, 1);
    cr_assert_eq(t.answer.error, CENOTE_OLD_REIGN);
    cr_assert_eq(((const uint8_t *)t.node.memory.base)[SEAL_STATE_OFFSET], 0);
}

Test(member, message__unknown_or_malformed)
{
    struct wire_buf b = {0};
    join();
    wire_put_request(&b, 76, "surprise");
    wire_put_array(&b, 0);
    request(&b);
    cr_assert_eq(t.answer.error, CENOTE_NO_METHOD);
    wire_put_request(&b, 77, METHOD_FENCE);
    wire_put_array(&b, 0);
    request(&b);
    cr_assert_eq(t.answer.error, CENOTE_PROTOCOL);
    wire_put_request(&b, 78, METHOD_VOID);
    wire_put_array(&b, 1);
    wire_put_nil(&b);
    request(&b);
    cr_assert_eq(t.answer.error, CENOTE_PROTOCOL);
    cr_assert_eq(t.answers, 3);
}
