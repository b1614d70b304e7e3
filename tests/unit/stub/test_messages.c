/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/stub/samples.h"

/* Calls judge with the value in data, if there is one at its beginning. */
static bool judge_bytes(const uint8_t *data, size_t len_bytes, bool (*judge)(struct wire_value v))
{
    struct wire_msg holder;
    struct wire_value v;
    int64_t frame = wire_scan(data, len_bytes, WIRE_FRAME_MAX, NULL);
    if (frame <= 0 || wire_parse_value(data, (size_t)frame, &holder, &v) != CENOTE_OK)
        return false;
    bool good = judge(v);
    wire_msg_free(&holder);
    return good;
}

static bool judge_buf(struct wire_buf *b, bool (*judge)(struct wire_value v))
{
    cr_assert(!b->failed);
    bool good = judge_bytes(b->data, b->len, judge);
    wire_buf_free(b);
    return good;
}

Test(messages, get__finds_what_put_wrote)
{
    for (size_t i = 0; i < sample_count; i++) {
        struct wire_buf b = {0};
        samples[i].put(&b);
        cr_assert(judge_buf(&b, samples[i].same), "%s", samples[i].name);
    }
}

/* All top-level arrays of the samples have less than 16 elements: the first byte is the count. */
Test(messages, get__refuses_missing_fields)
{
    for (size_t i = 0; i < sample_count; i++) {
        struct wire_buf b = {0};
        samples[i].put(&b);
        cr_assert_eq(b.data[0] & 0xf0, 0x90);
        for (uint8_t first = b.data[0]; first > 0x90; first--) {
            b.data[0] = (uint8_t)(first - 1);
            cr_assert(!judge_bytes(b.data, b.len, samples[i].get), "%s with %d", samples[i].name,
                      first - 0x91);
        }
        wire_buf_free(&b);
    }
}

Test(messages, get__ignores_fields_that_come_later)
{
    for (size_t i = 0; i < sample_count; i++) {
        struct wire_buf b = {0};
        samples[i].put(&b);
        wire_put_str(&b, "later");
        b.data[0]++;
        cr_assert(judge_buf(&b, samples[i].same), "%s", samples[i].name);
    }
}

static bool parses(struct wire_value v)
{
    (void)v;
    return true;
}

/* Every byte of every message replaced by every other: most are refused, none does harm. */
Test(messages, get__survives_any_byte)
{
    unsigned parsed = 0;
    for (size_t i = 0; i < sample_count; i++) {
        struct wire_buf b = {0};
        samples[i].put(&b);
        for (size_t at = 0; at < b.len; at++) {
            uint8_t right = b.data[at];
            for (unsigned wrong = 0; wrong < 256; wrong++) {
                b.data[at] = (uint8_t)wrong;
                parsed += judge_bytes(b.data, b.len, parses);
                judge_bytes(b.data, b.len, samples[i].get);
            }
            b.data[at] = right;
        }
        wire_buf_free(&b);
    }
    cr_assert_gt(parsed, 1000);
}

Test(messages, get__refuses_what_is_no_array)
{
    for (size_t i = 0; i < sample_count; i++) {
        cr_assert(!samples[i].get((struct wire_value){NULL}), "%s", samples[i].name);
        cr_assert(!judge_bytes((const uint8_t *)"\xc0", 1, samples[i].get));
        cr_assert(!judge_bytes((const uint8_t *)"\x80", 1, samples[i].get));
    }
}

static bool refused_item(struct wire_value v)
{
    struct put_start_item p;
    struct lookup_item l, s;
    return put_start_item_get(v, &p) && lookup_item_get(v, &l) && stat_item_get(v, &s) &&
           p.status == CENOTE_NO_SPACE && l.status == CENOTE_NO_SPACE &&
           s.status == CENOTE_NO_SPACE;
}

Test(messages, items__that_are_a_status)
{
    struct wire_buf b = {0};
    put_start_item_put(&b, &(struct put_start_item){.status = CENOTE_NO_SPACE});
    cr_assert(judge_buf(&b, refused_item));
    b = (struct wire_buf){0};
    lookup_item_put(&b, &(struct lookup_item){.status = CENOTE_NO_SPACE});
    cr_assert(judge_buf(&b, refused_item));
    b = (struct wire_buf){0};
    wire_put_array(&b, 1);
    wire_put_uint(&b, 5); /* no status is positive */
    cr_assert(!judge_buf(&b, samples[6].get));
}

/* ---- limits --------------------------------------------------------------------------------- */

static bool keys_ok(struct wire_value v)
{
    struct keys_params p;
    return keys_params_get(v, &p);
}

static bool keys_of(uint32_t count, size_t key_len)
{
    static const uint8_t key[CENOTE_KEY_MAX + 1];
    struct wire_buf b = {0};
    keys_params_put(&b, count);
    for (uint32_t i = 0; i < count; i++)
        wire_put_bin(&b, key, key_len);
    return judge_buf(&b, keys_ok);
}

Test(messages, keys__limits)
{
    cr_assert(keys_of(0, 1));
    cr_assert(keys_of(CENOTE_BATCH_MAX, 1));
    cr_assert(!keys_of(CENOTE_BATCH_MAX + 1, 1));
    cr_assert(keys_of(1, CENOTE_KEY_MAX));
    cr_assert(!keys_of(1, CENOTE_KEY_MAX + 1));
    cr_assert(!keys_of(1, 0));
}

static int keep_status;

static bool keep_judge(struct wire_value v)
{
    struct keep keep;
    keep_status = keep_get(v, &keep);
    return keep_status == CENOTE_OK;
}

static int keep_of(uint64_t ttl_ms, uint32_t pin, uint64_t pin_ms, size_t group_len)
{
    static const uint8_t group[KEEP_GROUP_MAX + 1];
    struct wire_buf b = {0};
    wire_put_array(&b, 4);
    wire_put_uint(&b, ttl_ms);
    wire_put_uint(&b, pin);
    wire_put_uint(&b, pin_ms);
    wire_put_bin(&b, group, group_len);
    judge_buf(&b, keep_judge);
    return keep_status;
}

Test(messages, keep__limits)
{
    cr_assert_eq(keep_of(0, KEEP_PIN_NONE, 0, 0), CENOTE_OK);
    cr_assert_eq(keep_of(KEEP_TTL_MAX_MS, KEEP_PIN_HARD, 0, KEEP_GROUP_MAX), CENOTE_OK);
    cr_assert_eq(keep_of(KEEP_TTL_MAX_MS + 1, 0, 0, 0), CENOTE_INVALID);
    cr_assert_eq(keep_of(UINT64_MAX, 0, 0, 0), CENOTE_INVALID);
    cr_assert_eq(keep_of(0, KEEP_PIN_SOFT, KEEP_TTL_MAX_MS, 0), CENOTE_OK);
    cr_assert_eq(keep_of(0, KEEP_PIN_SOFT, KEEP_TTL_MAX_MS + 1, 0), CENOTE_INVALID);
    cr_assert_eq(keep_of(0, KEEP_PIN_HARD + 1, 0, 0), CENOTE_INVALID);
    cr_assert_eq(keep_of(0, KEEP_PIN_HARD, 1, 0), CENOTE_INVALID);
    cr_assert_eq(keep_of(0, KEEP_PIN_NONE, 1, 0), CENOTE_INVALID);
    cr_assert_eq(keep_of(0, 0, 0, KEEP_GROUP_MAX + 1), CENOTE_INVALID);
    cr_assert(!judge_bytes((const uint8_t *)"\x91\x00", 2, keep_judge));
    cr_assert_eq(keep_status, CENOTE_MALFORMED);
    cr_assert(judge_bytes((const uint8_t *)"\xc0", 1, keep_judge));
    cr_assert(keep_judge((struct wire_value){NULL})); /* of an older client */
}

static bool list_ok(struct wire_value v)
{
    struct list_params p;
    return list_params_get(v, &p) && !p.cursor && p.cursor_len == 0;
}

static bool list_of(uint32_t limit)
{
    struct wire_buf b = {0};
    list_params_put(&b, &(struct list_params){.prefix = (const uint8_t *)"", .limit = limit});
    return judge_buf(&b, list_ok);
}

Test(messages, list__limits)
{
    cr_assert(list_of(1));
    cr_assert(list_of(LIST_LIMIT_MAX));
    cr_assert(!list_of(0));
    cr_assert(!list_of(LIST_LIMIT_MAX + 1));
}

static bool stripe_ok(struct wire_value v)
{
    struct stripe s;
    return located_stripe_get(v, &s);
}

static bool stripe_of(uint64_t offset, uint64_t payload_len, uint64_t gva)
{
    struct wire_buf b = {0};
    struct stripe s = {.offset = offset, .payload_len = payload_len, .replicas = 1, .gva = {{gva}}};
    located_stripe_put(&b, &s);
    return judge_buf(&b, stripe_ok);
}

Test(messages, stripe__limits)
{
    cr_assert(stripe_of(0, 0, GVA_FIRST));
    cr_assert(stripe_of(SUMS_CHUNK_BYTES, EXTENT_PAYLOAD_MAX, GVA_END - 1));
    cr_assert(!stripe_of(1, 5, GVA_FIRST));
    cr_assert(!stripe_of(0, EXTENT_PAYLOAD_MAX + 1, GVA_FIRST));
    cr_assert(!stripe_of(UINT64_MAX - SUMS_CHUNK_BYTES + 1, SUMS_CHUNK_BYTES, GVA_FIRST));
    cr_assert(!stripe_of(0, 5, GVA_FIRST - 1));
    cr_assert(!stripe_of(0, 5, GVA_END));
}

static bool range_ok(struct wire_value v)
{
    struct map_range r;
    return map_range_get(v, &r);
}

Test(messages, range__ends_inside_the_address_space)
{
    struct wire_buf b = {0};
    map_range_put(&b, &(struct map_range){.gva = {GVA_END - GVA_ALIGN}, .len_bytes = GVA_ALIGN});
    cr_assert(judge_buf(&b, range_ok));
    b = (struct wire_buf){0};
    map_range_put(&b,
                  &(struct map_range){.gva = {GVA_END - GVA_ALIGN}, .len_bytes = GVA_ALIGN + 1});
    cr_assert(!judge_buf(&b, range_ok));
}

static bool end_ok(struct wire_value v)
{
    struct put_end_item item;
    return put_end_item_get(v, &item);
}

static bool end_of(uint32_t roots, uint32_t states, uint8_t state)
{
    static uint64_t root[STRIPES_MAX + 1];
    static uint8_t list[STRIPES_MAX * REPLICAS_MAX + 1];
    struct wire_buf b = {0};
    memset(list, state, sizeof(list));
    put_end_item_put(&b, 1, SUM_XXH3, root, roots, list, states);
    return judge_buf(&b, end_ok);
}

Test(messages, put_end__limits)
{
    cr_assert(end_of(STRIPES_MAX, STRIPES_MAX * REPLICAS_MAX, EXTENT_UNKNOWN));
    cr_assert(!end_of(STRIPES_MAX + 1, 1, 0));
    cr_assert(!end_of(1, STRIPES_MAX * REPLICAS_MAX + 1, 0));
    cr_assert(!end_of(1, 1, EXTENT_UNKNOWN + 1));
}

static bool join_ok(struct wire_value v)
{
    struct node_join_params p;
    return node_join_params_get(v, &p);
}

Test(messages, node_join__full)
{
    struct node_join_params p = {.segment_count = SEGMENTS_MAX};
    struct wire_buf b = {0};
    memset(p.name, 'n', NODE_NAME_MAX);
    memset(p.host, 'h', TEXT_MAX - 1);
    node_join_params_put(&b, &p);
    cr_assert(judge_buf(&b, join_ok));
}

/* ---- vectors of doc/PROTOCOL.md ---- */

static void check_hex(struct wire_buf *b, const char *expected)
{
    cr_assert(!b->failed && strlen(expected) == 2 * b->len);
    for (size_t i = 0; i < b->len; i++) {
        char hex[3];
        snprintf(hex, sizeof(hex), "%02x", b->data[i]);
        cr_assert_eq(strncmp(hex, expected + 2 * i, 2), 0, "byte %zu", i);
    }
    wire_buf_free(b);
}

Test(messages, vectors__directory)
{
    struct wire_buf b = {0};
    struct node_heartbeat_params beat = {
        .segment_count = 1, .populated_bytes = {1 << 20}, .has_directory = true};
    struct directory_entry e = {.gva = gva_make(GVA_FIRST + 4096),
                                .payload_len = 6,
                                .put_id = UINT64_C(0x200000007),
                                .name_space = 3,
                                .space_name = "default",
                                .key = (const uint8_t *)"a",
                                .key_len = 1,
                                .len_bytes = 6,
                                .sum_kind = 1,
                                .created_ms = UINT64_C(1700000000000),
                                .stripes = 1,
                                .replicas = 1,
                                .root = UINT64_C(0x6960f7d8c3c80d0b)};
    for (unsigned i = 0; i < sizeof(e.key_hash.b); i++)
        e.key_hash.b[i] = (uint8_t)(0x10 + i);
    directory_sum_add(&beat.directory, e.gva, e.put_id);
    wire_put_request(&b, 4, METHOD_NODE_HEARTBEAT);
    node_heartbeat_params_put(&b, &beat);
    check_hex(&b, "9400ce00000004ae6e6f64655f6865617274626561749491ce00100000009201cf93e7ff"
                  "601d66f9bfc0");
    wire_put_request(&b, 5, METHOD_DIRECTORY);
    directory_params_put(&b, 2, DIRECTORY_NEWS, 1);
    directory_entry_put(&b, &e);
    check_hex(&b, "9400ce00000005a96469726563746f7279930200919ccf100000000000100006cf000000"
                  "02000000079203a764656661756c74c40161c410101112131415161718191a1b1c1d1e1f"
                  "0601cf0000018bcfe56800009500010100cf6960f7d8c3c80d0bc400");
}

/* ---- what is held ---------------------------------------------------------------------------- */

static bool second_and_fourth(struct wire_value v)
{
    bool held[4];
    return void_result_get(v, held, 4) && !held[0] && held[1] && !held[2] && held[3];
}

static bool none(struct wire_value v)
{
    bool held[4] = {true, true, true, true};
    return void_result_get(v, held, 4) && !held[0] && !held[1] && !held[2] && !held[3];
}

static bool some_of_four(struct wire_value v)
{
    bool held[4];
    return void_result_get(v, held, 4);
}

Test(messages, voided__names_what_is_held)
{
    struct wire_buf b = {0};
    void_result_put(&b, (bool[4]){false, true, false, true}, 4);
    cr_assert(judge_buf(&b, second_and_fourth));
    void_result_put(&b, (bool[4]){false}, 4);
    cr_assert(judge_buf(&b, none));
}

Test(messages, voided__refuses)
{
    static const uint8_t bad[][5] = {
        {0x90},             /* an empty list: nil says that */
        {0x91, 4},          /* past the end */
        {0x92, 1, 1},       /* twice */
        {0x92, 3, 1},       /* not ascending */
        {0x91, 0xff},       /* negative */
        {0x91, 0xc0},       /* no number */
        {0x81, 0, 1},       /* no list */
        {0x94, 0, 1, 2, 9}, /* one past the end */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert(!judge_bytes(bad[i], sizeof bad[i], some_of_four), "%zu", i);
}
