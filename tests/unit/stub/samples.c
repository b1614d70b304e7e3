/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/stub/samples.h"

#include <string.h>

#include "meta/stub/rebuild.h"
#include "meta/stub/slots.h"

#include "transport/memory.h"

#define SAME(a, b, field) ((a).field == (b).field)
#define TEXT(a, b, field) (strcmp((a).field, (b).field) == 0)
#define GVA(n)                                                                                     \
    {                                                                                              \
        GVA_FIRST + (UINT64_C(n) << 30)                                                            \
    }

/* Declares the sample functions of a message that is one struct. */
#define STRUCT_SAMPLE(x)                                                                           \
    static void x##_sample_put(struct wire_buf *b)                                                 \
    {                                                                                              \
        x##_put(b, &x##_value);                                                                    \
    }                                                                                              \
    static bool x##_sample_get(struct wire_value v)                                                \
    {                                                                                              \
        struct x got;                                                                              \
        memset(&got, 0xee, sizeof(got));                                                           \
        return x##_get(v, &got);                                                                   \
    }                                                                                              \
    static bool x##_sample_same(struct wire_value v)                                               \
    {                                                                                              \
        struct x got;                                                                              \
        memset(&got, 0xee, sizeof(got));                                                           \
        return x##_get(v, &got) && x##_equal(&got, &x##_value);                                    \
    }

#include "tests/unit/stub/samples_directory.h"

/* ---- sessions and the map ------------------------------------------------------------------- */

static const struct session_open_params session_open_params_value = {1, "space", "client 7"};
static bool session_open_params_equal(const struct session_open_params *a,
                                      const struct session_open_params *b)
{
    return SAME(*a, *b, protocol) && TEXT(*a, *b, name_space) && TEXT(*a, *b, client);
}
STRUCT_SAMPLE(session_open_params)

static const struct session_open_result session_open_result_value = {
    UINT64_MAX, {{1, 2, 3}}, UINT32_MAX, 5};
static bool session_open_result_equal(const struct session_open_result *a,
                                      const struct session_open_result *b)
{
    return SAME(*a, *b, session) && memcmp(&a->token, &b->token, TOKEN_BYTES) == 0 &&
           SAME(*a, *b, name_space) && SAME(*a, *b, reign);
}
STRUCT_SAMPLE(session_open_result)

static const struct session_resume_params session_resume_params_value = {1, 77, {{9, 8}}, 4};
static bool session_resume_params_equal(const struct session_resume_params *a,
                                        const struct session_resume_params *b)
{
    return SAME(*a, *b, protocol) && SAME(*a, *b, session) && SAME(*a, *b, name_space) &&
           memcmp(&a->token, &b->token, TOKEN_BYTES) == 0;
}
STRUCT_SAMPLE(session_resume_params)

static const struct map_node map_node_value = {.node = 3,
                                               .name = "n3",
                                               .boot = 99,
                                               .host = "host",
                                               .shm = "shm:x",
                                               .rdma = "h:2",
                                               .tcp = "h:1",
                                               .state = NODE_DEAD};
static bool map_node_equal(const struct map_node *a, const struct map_node *b)
{
    return SAME(*a, *b, node) && SAME(*a, *b, boot) && SAME(*a, *b, state) && TEXT(*a, *b, name) &&
           TEXT(*a, *b, host) && TEXT(*a, *b, zone) && TEXT(*a, *b, shm) && TEXT(*a, *b, rdma) &&
           TEXT(*a, *b, tcp);
}
STRUCT_SAMPLE(map_node)

static const struct map_range map_range_value = {GVA(3), 1 << 20, 12, 3, MEMORY_HBM};
static bool map_range_equal(const struct map_range *a, const struct map_range *b)
{
    return SAME(*a, *b, gva.v) && SAME(*a, *b, len_bytes) && SAME(*a, *b, incarnation) &&
           SAME(*a, *b, node) && SAME(*a, *b, kind);
}
STRUCT_SAMPLE(map_range)

/* ---- puts ----------------------------------------------------------------------------------- */

static void put_start_put(struct wire_buf *b)
{
    put_start_params_put(b, 8, PUT_START_REPLACE, 2);
    put_start_key_put(b, "a", 1, 0);
    put_start_key_put(b, "bcd", 3, UINT64_C(5) << 30);
}
static bool put_start_get(struct wire_value v)
{
    struct put_start_params p;
    if (!put_start_params_get(v, &p))
        return false;
    for (uint32_t i = 0; i < p.count; i++) {
        const uint8_t *key;
        size_t key_len;
        uint64_t len_bytes;
        if (!put_start_key_get(wire_at(p.items, i), &key, &key_len, &len_bytes))
            return false;
    }
    return true;
}
static bool put_start_same(struct wire_value v)
{
    struct put_start_params p;
    const uint8_t *key;
    size_t key_len;
    uint64_t len_bytes;
    return put_start_params_get(v, &p) && p.seq == 8 && p.flags == PUT_START_REPLACE &&
           p.count == 2 && put_start_key_get(wire_at(p.items, 1), &key, &key_len, &len_bytes) &&
           key_len == 3 && memcmp(key, "bcd", 3) == 0 && len_bytes == UINT64_C(5) << 30;
}

static const struct keep keep_value = {.ttl_ms = KEEP_TTL_MAX_MS,
                                       .pin = KEEP_PIN_SOFT,
                                       .pin_ms = 60000,
                                       .group_len = 3,
                                       .group = {0, 1, 255}};
static bool keep_equal(const struct keep *a, const struct keep *b)
{
    return SAME(*a, *b, ttl_ms) && SAME(*a, *b, pin) && SAME(*a, *b, pin_ms) &&
           SAME(*a, *b, group_len) && memcmp(a->group, b->group, sizeof(a->group)) == 0;
}

static void start_kept_put(struct wire_buf *b)
{
    put_start_kept_put(b, 8, 0, 1);
    put_start_key_put(b, "a", 1, 7);
    keep_put(b, &keep_value);
}
static bool start_kept_get(struct wire_value v)
{
    struct put_start_params p;
    struct keep keep;
    return put_start_get(v) && put_start_params_get(v, &p) && p.keep.node != NULL &&
           keep_get(p.keep, &keep) == CENOTE_OK;
}
static bool start_kept_same(struct wire_value v)
{
    struct put_start_params p;
    struct keep keep;
    return put_start_params_get(v, &p) && p.seq == 8 && p.count == 1 &&
           keep_get(p.keep, &keep) == CENOTE_OK && keep_equal(&keep, &keep_value);
}

static void keep_sample_put(struct wire_buf *b)
{
    keep_params_put(b, 9, 2);
    wire_put_bin(b, "k1", 2);
    wire_put_bin(b, "k", 1);
    keep_put(b, &keep_value);
    wire_put_uint(b, KEEP_TTL | KEEP_GROUP);
}
static bool keep_sample_get(struct wire_value v)
{
    struct keep_params p;
    struct keep keep;
    return keep_params_get(v, &p) && keep_get(p.keep, &keep) == CENOTE_OK;
}
static bool keep_sample_same(struct wire_value v)
{
    struct keep_params p;
    struct keep keep;
    const uint8_t *key;
    size_t key_len;
    return keep_params_get(v, &p) && p.seq == 9 && p.count == 2 &&
           p.fields == (KEEP_TTL | KEEP_GROUP) && wire_bin(wire_at(p.keys, 1), &key, &key_len) &&
           key_len == 1 && keep_get(p.keep, &keep) == CENOTE_OK && keep_equal(&keep, &keep_value);
}

static const struct stripe stripe_value = {.offset = 65536,
                                           .payload_len = 1000,
                                           .root = 0x1234,
                                           .replicas = 2,
                                           .gva = {GVA(1), GVA(2)},
                                           .grant = {{7, UINT64_MAX}, {8, 0}}};
static const struct put_start_item put_item_value = {
    .put_id = 42, .key_hash = {{1, 2, 3}}, .stripe_count = 1};

static void put_item_put(struct wire_buf *b)
{
    put_start_item_put(b, &put_item_value);
    granted_stripe_put(b, &stripe_value);
}
static bool put_item_get(struct wire_value v)
{
    struct put_start_item item;
    struct stripe s;
    if (!put_start_item_get(v, &item))
        return false;
    for (uint32_t i = 0; item.status == CENOTE_OK && i < item.stripe_count; i++)
        if (!granted_stripe_get(wire_at(item.stripes, i), &s))
            return false;
    return true;
}
static bool put_item_same(struct wire_value v)
{
    struct put_start_item item;
    struct stripe s;
    return put_start_item_get(v, &item) && item.status == CENOTE_OK && item.put_id == 42 &&
           memcmp(&item.key_hash, &put_item_value.key_hash, 16) == 0 && item.stripe_count == 1 &&
           granted_stripe_get(wire_at(item.stripes, 0), &s) && SAME(s, stripe_value, offset) &&
           SAME(s, stripe_value, payload_len) && SAME(s, stripe_value, replicas) &&
           memcmp(s.gva, stripe_value.gva, 16) == 0 && memcmp(s.grant, stripe_value.grant, 32) == 0;
}

static void put_end_put(struct wire_buf *b)
{
    static const uint64_t roots[] = {5, UINT64_MAX};
    static const uint8_t states[] = {EXTENT_VISIBLE, EXTENT_DRAINED, EXTENT_UNKNOWN};
    put_end_params_put(b, 3, 2);
    put_end_item_put(b, 42, SUM_XXH3, roots, 2, states, 3);
    put_end_item_put(b, 43, SUM_NONE, NULL, 0, NULL, 0);
}
static bool put_end_get(struct wire_value v)
{
    struct put_end_params p;
    struct put_end_item item;
    if (!put_end_params_get(v, &p))
        return false;
    for (uint32_t i = 0; i < p.count; i++)
        if (!put_end_item_get(wire_at(p.items, i), &item))
            return false;
    return true;
}
static bool put_end_same(struct wire_value v)
{
    struct put_end_params p;
    struct put_end_item item;
    uint64_t root = 0, state = 0;
    return put_end_params_get(v, &p) && p.seq == 3 && p.count == 2 &&
           put_end_item_get(wire_at(p.items, 0), &item) && item.put_id == 42 &&
           item.sum_kind == SUM_XXH3 && item.root_count == 2 && item.state_count == 3 &&
           wire_uint(wire_at(item.roots, 1), &root) && root == UINT64_MAX &&
           wire_uint(wire_at(item.states, 2), &state) && state == EXTENT_UNKNOWN &&
           put_end_item_get(wire_at(p.items, 1), &item) && item.root_count == 0;
}

/* ---- lookups -------------------------------------------------------------------------------- */

static void keys_put(struct wire_buf *b)
{
    keys_params_put(b, 2);
    wire_put_bin(b, "k1", 2);
    wire_put_bin(b, "k", 1);
}
static bool keys_get(struct wire_value v)
{
    struct keys_params p;
    return keys_params_get(v, &p);
}
static bool keys_same(struct wire_value v)
{
    struct keys_params p;
    const uint8_t *key;
    size_t key_len;
    return keys_params_get(v, &p) && p.count == 2 && wire_bin(wire_at(p.keys, 0), &key, &key_len) &&
           key_len == 2 && memcmp(key, "k1", 2) == 0;
}

static void remove_put(struct wire_buf *b)
{
    remove_params_put(b, 12, 1);
    wire_put_bin(b, "k1", 2);
}
static bool remove_get(struct wire_value v)
{
    struct keys_params p;
    return remove_params_get(v, &p);
}
static bool remove_same(struct wire_value v)
{
    struct keys_params p;
    return remove_params_get(v, &p) && p.seq == 12 && p.count == 1;
}

static const struct lookup_item item_value = {.put_id = 42,
                                              .len_bytes = UINT64_C(5) << 32,
                                              .sum_kind = SUM_XXH3,
                                              .lease_ms = 10000,
                                              .created_ms = 1700000000000,
                                              .stripe_count = 1};
static void lookup_put(struct wire_buf *b)
{
    lookup_item_put(b, &item_value);
    located_stripe_put(b, &stripe_value);
}
static bool stripes_get(const struct lookup_item *item)
{
    struct stripe s;
    for (uint32_t i = 0; item->status == CENOTE_OK && i < item->stripe_count; i++)
        if (!located_stripe_get(wire_at(item->stripes, i), &s))
            return false;
    return true;
}
static bool lookup_get(struct wire_value v)
{
    struct lookup_item item;
    return lookup_item_get(v, &item) && stripes_get(&item);
}
static bool item_same(const struct lookup_item *item)
{
    struct stripe s;
    return item->status == CENOTE_OK && SAME(*item, item_value, put_id) &&
           SAME(*item, item_value, len_bytes) && SAME(*item, item_value, sum_kind) &&
           item->stripe_count == 1 && located_stripe_get(wire_at(item->stripes, 0), &s) &&
           SAME(s, stripe_value, offset) && SAME(s, stripe_value, payload_len) &&
           SAME(s, stripe_value, root) && SAME(s, stripe_value, replicas) &&
           memcmp(s.gva, stripe_value.gva, 16) == 0;
}
static bool lookup_same(struct wire_value v)
{
    struct lookup_item item;
    return lookup_item_get(v, &item) && item_same(&item) && item.lease_ms == 10000;
}
static void stat_put(struct wire_buf *b)
{
    stat_item_put(b, &item_value);
    located_stripe_put(b, &stripe_value);
    keep_put(b, &keep_value);
}
static bool stat_get(struct wire_value v)
{
    struct lookup_item item;
    struct keep keep;
    return stat_item_get(v, &item) && stripes_get(&item) &&
           (item.status != CENOTE_OK || stat_keep_get(v, &keep));
}
static bool stat_same(struct wire_value v)
{
    struct lookup_item item;
    struct keep keep;
    return stat_item_get(v, &item) && item_same(&item) && item.created_ms == 1700000000000 &&
           stat_keep_get(v, &keep) && keep_equal(&keep, &keep_value);
}

static void list_put(struct wire_buf *b)
{
    list_params_put(b, &(struct list_params){.prefix = (const uint8_t *)"pre",
                                             .prefix_len = 3,
                                             .cursor = (const uint8_t *)"c",
                                             .cursor_len = 1,
                                             .limit = LIST_LIMIT_MAX});
}
static bool list_get(struct wire_value v)
{
    struct list_params p;
    return list_params_get(v, &p);
}
static bool list_same(struct wire_value v)
{
    struct list_params p;
    return list_params_get(v, &p) && p.prefix_len == 3 && memcmp(p.prefix, "pre", 3) == 0 &&
           p.cursor && p.cursor_len == 1 && p.cursor[0] == 'c' && p.limit == LIST_LIMIT_MAX;
}

static struct slot_map slots_value(void)
{
    struct slot_map map = {.epoch = 9, .range_count = 2};
    map.ranges[0] = (struct slot_range){0, 99, 1};
    map.ranges[1] = (struct slot_range){100, SLOTS - 1, 0};
    strcpy(map.endpoints[0], "unix:/a");
    strcpy(map.endpoints[1], "b:1");
    return map;
}
static void slots_put(struct wire_buf *b)
{
    const struct slot_map map = slots_value();
    slots_result_put(b, &map, 1);
}
static bool slots_get(struct wire_value v)
{
    struct slot_map map;
    uint32_t own;
    return slots_result_get(v, &map, &own);
}
static bool slots_same(struct wire_value v)
{
    const struct slot_map want = slots_value();
    struct slot_map map;
    uint32_t own;
    return slots_result_get(v, &map, &own) && own == 1 && map.epoch == 9 && map.range_count == 2 &&
           memcmp(map.ranges, want.ranges, sizeof(map.ranges)) == 0 &&
           memcmp(map.endpoints, want.endpoints, sizeof(map.endpoints)) == 0;
}

static void entry_put(struct wire_buf *b)
{
    list_entry_put(b, "key", 3, 1234, 42);
}
static bool entry_get(struct wire_value v)
{
    const uint8_t *key;
    size_t key_len;
    uint64_t len_bytes, put_id;
    return list_entry_get(v, &key, &key_len, &len_bytes, &put_id);
}
static bool entry_same(struct wire_value v)
{
    const uint8_t *key;
    size_t key_len;
    uint64_t len_bytes, put_id;
    return list_entry_get(v, &key, &key_len, &len_bytes, &put_id) && key_len == 3 &&
           memcmp(key, "key", 3) == 0 && len_bytes == 1234 && put_id == 42;
}

/* ---- namespaces ------------------------------------------------------------------------------ */

static const struct space_item space_item_value = {
    .name = "space", .id = 7, .settings = {1, 2, 3, UINT64_MAX}, .use = {4, 5, 6}};
static bool settings_equal(const struct space_settings *a, const struct space_settings *b)
{
    return SAME(*a, *b, quota_bytes) && SAME(*a, *b, quota_objects) && SAME(*a, *b, ttl_ms) &&
           SAME(*a, *b, pin_limit_bytes);
}
static bool space_item_equal(const struct space_item *a, const struct space_item *b)
{
    return TEXT(*a, *b, name) && SAME(*a, *b, id) && settings_equal(&a->settings, &b->settings) &&
           SAME(*a, *b, use.bytes) && SAME(*a, *b, use.objects) && SAME(*a, *b, use.pinned_bytes);
}
STRUCT_SAMPLE(space_item)

static const struct space_params space_params_value = {
    .seq = 4, .name = "space", .settings = {1, 2, 3, UINT64_MAX}, .flags = SPACE_SET_CREATE};
static void space_set_put(struct wire_buf *b)
{
    space_set_params_put(b, &space_params_value);
}
static bool space_set_get(struct wire_value v)
{
    struct space_params p;
    return space_set_params_get(v, &p);
}
static bool space_set_same(struct wire_value v)
{
    struct space_params p;
    return space_set_params_get(v, &p) && p.seq == 4 && p.flags == SPACE_SET_CREATE &&
           strcmp(p.name, "space") == 0 &&
           settings_equal(&p.settings, &space_params_value.settings);
}

static void space_remove_put(struct wire_buf *b)
{
    space_remove_params_put(b, &space_params_value);
}
static bool space_remove_get(struct wire_value v)
{
    struct space_params p;
    return space_remove_params_get(v, &p);
}
static bool space_remove_same(struct wire_value v)
{
    struct space_params p;
    return space_remove_params_get(v, &p) && p.seq == 4 && strcmp(p.name, "space") == 0;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static const struct node_join_params node_join_params_value = {
    .protocol = 1,
    .name = "n1",
    .boot = 5,
    .host = "h",
    .zone = "z",
    .shm = "s",
    .rdma = "r",
    .tcp = "t",
    .grant_key = {{4, 5, 6}},
    .highest_reign = 9,
    .life = 77,
    .segment_count = 2,
    .segments = {{.len_bytes = 1 << 30, .kind = MEMORY_HOST, .incarnation = 0},
                 {.len_bytes = 1 << 20, .kind = MEMORY_HBM, .incarnation = 3, .gva = GVA(6)}}};
static bool node_join_params_equal(const struct node_join_params *a,
                                   const struct node_join_params *b)
{
    return SAME(*a, *b, protocol) && TEXT(*a, *b, name) && SAME(*a, *b, boot) &&
           TEXT(*a, *b, host) && TEXT(*a, *b, zone) && TEXT(*a, *b, shm) && TEXT(*a, *b, rdma) &&
           TEXT(*a, *b, tcp) && memcmp(&a->grant_key, &b->grant_key, HASH_KEY_BYTES) == 0 &&
           SAME(*a, *b, highest_reign) && SAME(*a, *b, life) && SAME(*a, *b, segment_count) &&
           memcmp(a->segments, b->segments, 2 * sizeof(a->segments[0])) == 0;
}
STRUCT_SAMPLE(node_join_params)

static const struct node_join_result node_join_result_value = {
    .node = 3,
    .reign = 9,
    .life = UINT64_MAX,
    .pool_key = {{7}},
    .heartbeat_ms = 1000,
    .segment_count = 1,
    .segments = {{.incarnation = 4, .gva = GVA(5)}}};
static bool node_join_result_equal(const struct node_join_result *a,
                                   const struct node_join_result *b)
{
    return SAME(*a, *b, node) && SAME(*a, *b, reign) && SAME(*a, *b, life) &&
           SAME(*a, *b, heartbeat_ms) && memcmp(&a->pool_key, &b->pool_key, HASH_KEY_BYTES) == 0 &&
           SAME(*a, *b, segment_count) && SAME(*a, *b, segments[0].incarnation) &&
           SAME(*a, *b, segments[0].gva.v);
}
STRUCT_SAMPLE(node_join_result)

static const struct node_heartbeat_params node_heartbeat_params_value = {
    .segment_count = 2,
    .populated_bytes = {1 << 20, 7},
    .holds = 3,
    .has_rdma = true,
    .rdma = {.rail_count = 2,
             .rails = {"rxe0:1", "rxe1:1"},
             .connections = 4,
             .queue_pairs = 5,
             .regions = 6,
             .errors = 7,
             .fenced = 8,
             .rails_lost = 9}};
static bool rdma_report_equal(const struct rdma_report *a, const struct rdma_report *b)
{
    return SAME(*a, *b, rail_count) && TEXT(*a, *b, rails[0]) && TEXT(*a, *b, rails[1]) &&
           SAME(*a, *b, connections) && SAME(*a, *b, queue_pairs) && SAME(*a, *b, regions) &&
           SAME(*a, *b, errors) && SAME(*a, *b, fenced) && SAME(*a, *b, rails_lost);
}
static bool node_heartbeat_params_equal(const struct node_heartbeat_params *a,
                                        const struct node_heartbeat_params *b)
{
    return SAME(*a, *b, segment_count) && SAME(*a, *b, populated_bytes[0]) &&
           SAME(*a, *b, populated_bytes[1]) && SAME(*a, *b, has_directory) && SAME(*a, *b, holds) &&
           SAME(*a, *b, has_rdma) && rdma_report_equal(&a->rdma, &b->rdma);
}
STRUCT_SAMPLE(node_heartbeat_params)

static const struct note note_value = {.kind = NOTE_NAMESPACE,
                                       .key = (const uint8_t *)"id",
                                       .value = (const uint8_t *)"\0a record",
                                       .key_len = 2,
                                       .value_len = 9};
static void notes_put(struct wire_buf *b)
{
    notes_params_put(b, 6, 1);
    note_put(b, &note_value);
}
static bool notes_get(struct wire_value v)
{
    struct notes_params p;
    struct note n;
    if (!notes_params_get(v, &p))
        return false;
    for (uint32_t i = 0; i < p.count; i++)
        if (!note_get(wire_at(p.notes, i), &n))
            return false;
    return true;
}
static bool notes_same(struct wire_value v)
{
    struct notes_params p;
    struct note n;
    return notes_params_get(v, &p) && p.reign == 6 && p.count == 1 &&
           note_get(wire_at(p.notes, 0), &n) && n.kind == NOTE_NAMESPACE && n.key_len == 2 &&
           memcmp(n.key, note_value.key, 2) == 0 && n.value_len == 9 &&
           memcmp(n.value, note_value.value, 9) == 0;
}

static const struct settle_params settle_params_value = {4, UINT64_MAX};
static bool settle_params_equal(const struct settle_params *a, const struct settle_params *b)
{
    return SAME(*a, *b, reign) && SAME(*a, *b, horizon);
}
STRUCT_SAMPLE(settle_params)

static const struct settle_result settle_result_value = {true, 5};
static bool settle_result_equal(const struct settle_result *a, const struct settle_result *b)
{
    return SAME(*a, *b, fenced) && SAME(*a, *b, strays);
}
STRUCT_SAMPLE(settle_result)

static const struct fence_params fence_params_value = {1, 2, UINT64_MAX};
static bool fence_params_equal(const struct fence_params *a, const struct fence_params *b)
{
    return SAME(*a, *b, reign) && SAME(*a, *b, session) && SAME(*a, *b, horizon);
}
STRUCT_SAMPLE(fence_params)

static void damaged_put(struct wire_buf *b)
{
    extent_damaged_params_put(b, 8, stripe_value.gva[1]);
}
static bool damaged_get(struct wire_value v)
{
    uint64_t put_id;
    struct gva gva;
    return extent_damaged_params_get(v, &put_id, &gva);
}
static bool damaged_same(struct wire_value v)
{
    uint64_t put_id;
    struct gva gva;
    return extent_damaged_params_get(v, &put_id, &gva) && put_id == 8 &&
           gva.v == stripe_value.gva[1].v;
}

static void void_put(struct wire_buf *b)
{
    void_params_put(b, 6, 1);
    void_extent_put(b, stripe_value.gva[1], 77);
}
static bool void_get(struct wire_value v)
{
    uint64_t reign, payload_len;
    uint32_t count;
    struct wire_value extents;
    struct gva gva;
    if (!void_params_get(v, &reign, &count, &extents))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!void_extent_get(wire_at(extents, i), &gva, &payload_len))
            return false;
    return true;
}
static bool void_same(struct wire_value v)
{
    uint64_t reign, payload_len;
    uint32_t count;
    struct wire_value extents;
    struct gva gva;
    return void_params_get(v, &reign, &count, &extents) && reign == 6 && count == 1 &&
           void_extent_get(wire_at(extents, 0), &gva, &payload_len) &&
           gva.v == stripe_value.gva[1].v && payload_len == 77;
}

#define STRUCT_ROW(x)                                                                              \
    {                                                                                              \
#x, x##_sample_put, x##_sample_get, x##_sample_same                                        \
    }
#define ROW(x)                                                                                     \
    {                                                                                              \
#x, x##_put, x##_get, x##_same                                                             \
    }

const struct sample samples[] = {
    STRUCT_ROW(session_open_params),
    STRUCT_ROW(session_open_result),
    STRUCT_ROW(session_resume_params),
    STRUCT_ROW(map_node),
    STRUCT_ROW(map_range),
    ROW(put_start),
    ROW(put_item),
    ROW(put_end),
    ROW(keys),
    ROW(remove),
    ROW(lookup),
    ROW(stat),
    ROW(list),
    ROW(slots),
    ROW(entry),
    STRUCT_ROW(node_join_params),
    STRUCT_ROW(node_join_result),
    STRUCT_ROW(node_heartbeat_params),
    STRUCT_ROW(fence_params),
    ROW(void),
    ROW(damaged),
    STRUCT_ROW(directory_sum),
    STRUCT_ROW(directory_entry),
    STRUCT_ROW(directory_read_params),
    ROW(directory),
    ROW(directory_read),
    ROW(notes),
    STRUCT_ROW(settle_params),
    STRUCT_ROW(settle_result),
    ROW(start_kept),
    ROW(keep_sample),
    STRUCT_ROW(space_item),
    ROW(space_set),
    ROW(space_remove),
    ROW(directory_look),
    ROW(directory_states),
};
const size_t sample_count = sizeof(samples) / sizeof(samples[0]);
