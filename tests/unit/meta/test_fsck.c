/* SPDX-License-Identifier: Apache-2.0 */
/* Differences that are planted: each is found, named, and mended where that is said. */
#include "meta/core/record.h"
#include "meta/service/peer.h"
#include "tests/unit/meta/meta_rig.h"

#define LIMIT (UINT64_C(64) << 20)

static struct directory *kept;

static void up(void)
{
    rig_up();
    cr_assert_eq(directory_open(-1, LIMIT, NULL, 0, &kept), CENOTE_OK);
    cr_assert_eq(node_heartbeat_with(node, 1, RIG_SEGMENT, kept), CENOTE_OK);
    for (unsigned i = 0; i < 20; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %u", i);
        cr_assert_eq(client_put(alice, key, 1000, 0), CENOTE_OK);
    }
    rig_pass(500);
}

/* Without the check that everything agrees: some differences stay. */
static void down(void)
{
    world_run(world);
    world_free(world);
    directory_close(kept);
}

TestSuite(fsck, .init = up, .fini = down);

static struct core *core_of(void)
{
    return &world->service->core;
}

static uint64_t count_of(enum fsck_kind kind)
{
    return core_of()->fsck.found[kind].count;
}

static void begin(bool repair)
{
    struct wire_buf b;
    uint32_t msgid = end_request(alice, &b, METHOD_FSCK);
    wire_put_array(&b, 1);
    wire_put_uint(&b, repair ? FSCK_BEGIN_REPAIR : FSCK_BEGIN);
    cr_assert_eq(end_ask(alice, &b, msgid, NULL), CENOTE_OK);
}

static uint64_t check(bool repair)
{
    uint64_t count = 0;
    begin(repair);
    for (unsigned i = 0; i < 200 && core_of()->fsck.phase != FSCK_DONE; i++)
        rig_pass(100);
    cr_assert_eq(core_of()->fsck.phase, FSCK_DONE);
    for (unsigned i = 0; i < FSCK_KINDS; i++)
        count += count_of((enum fsck_kind)i);
    return count;
}

/* Found once, mended, and not found again. */
static void expect_mended(enum fsck_kind kind)
{
    cr_assert_eq(check(false), 1);
    cr_assert_eq(count_of(kind), 1);
    cr_assert_eq(check(true), 1);
    cr_assert_eq(core_of()->fsck.found[kind].mended, 1);
    rig_pass(RIG_LEASE_MS * 2 + 1000);
    cr_assert_eq(check(false), 0);
}

static struct lookup_item found;
static struct stripe stripes[STRIPES_MAX];

static struct object *object_of(const char *key)
{
    cr_assert_eq(client_lookup(bob, key, &found, stripes), CENOTE_OK);
    return table_by_put(&core_of()->table, found.put_id);
}

static void write_past(enum store_tree tree, const void *key, size_t key_len, const void *value,
                       size_t value_len)
{
    const struct store_write w = {.tree = tree,
                                  .remove = value == NULL,
                                  .key = key,
                                  .key_len = (uint32_t)key_len,
                                  .value = value,
                                  .value_len = (uint32_t)value_len};
    memstore_put(world->store, &w);
}

static struct names_key name_of(const char *key)
{
    struct names_key name;
    const struct object *o = object_of(key);
    names_key_make(&name, o->name_space, key, strlen(key), &o->key_hash);
    return name;
}

Test(fsck, nothing__is_wrong)
{
    cr_assert_eq(check(false), 0);
    cr_assert_eq(core_of()->fsck.records, 20);
    cr_assert_eq(core_of()->fsck.names, 20);
    cr_assert_eq(core_of()->fsck.entries, 20);
}

Test(fsck, record_bad)
{
    struct record_key id = record_key(UINT64_C(1) << 43);
    write_past(STORE_OBJECTS, id.b, sizeof(id.b), "nonsense", 8);
    expect_mended(FSCK_RECORD_BAD);
}

Test(fsck, record_only)
{
    uint8_t value[RECORD_MAX];
    struct record_key id = record_key(UINT64_C(1) << 43);
    struct object o = {.stripes = 1, .replicas = 1, .one = {.payload_len = 5}};
    uint32_t len = record_encode(&o, OBJECT_REMOVED, false, 0, "k", 1, value);
    write_past(STORE_OBJECTS, id.b, sizeof(id.b), value, len);
    expect_mended(FSCK_RECORD_ONLY);
}

Test(fsck, object_only)
{
    struct record_key id = record_key(object_of("key 3")->put_id);
    write_past(STORE_OBJECTS, id.b, sizeof(id.b), NULL, 0);
    cr_assert_eq(check(true), 1);
    cr_assert_eq(count_of(FSCK_OBJECT_ONLY), 1);
    cr_assert_eq(core_of()->fsck.found[FSCK_OBJECT_ONLY].mended, 0);
    cr_assert_eq(core_of()->fsck.found[FSCK_OBJECT_ONLY].first[0].put_id, found.put_id);
}

Test(fsck, differs)
{
    object_of("key 4")->replace = true;
    cr_assert_eq(check(true), 1);
    cr_assert_eq(count_of(FSCK_DIFFERS), 1);
}

Test(fsck, name_wrong)
{
    struct names_key name = name_of("key 5");
    struct record_key nobody = record_key(UINT64_C(1) << 43);
    name.data[name.len++] = 'x';
    write_past(STORE_NAMES, name.data, name.len, nobody.b, sizeof(nobody.b));
    expect_mended(FSCK_NAME_WRONG);
}

Test(fsck, name_missing)
{
    struct names_key name = name_of("key 6");
    write_past(STORE_NAMES, name.data, name.len, NULL, 0);
    expect_mended(FSCK_NAME_MISSING);
}

Test(fsck, extent_free)
{
    const struct piece *p = object_piece(object_of("key 7"), 0);
    uint64_t size = alloc_rounding(p->payload_len).size;
    const struct incarnation *in = members_find(core_of(), p->gva, size);
    cr_assert_eq(alloc_give(in->alloc, p->gva.v - in->gva.v, size), CENOTE_OK);
    cr_assert_eq(check(true), 2); /* the layout as a whole says so, too */
    cr_assert_eq(count_of(FSCK_EXTENT_FREE), 1);
    cr_assert_eq(check(false), 0);
}

Test(fsck, space)
{
    uint64_t offset;
    cr_assert_eq(alloc_take(core_of()->members.ranges[0]->alloc, 4096, 16, &offset), CENOTE_OK);
    cr_assert_eq(check(true), 1);
    cr_assert_eq(count_of(FSCK_SPACE), 1);
}

Test(fsck, entry_strange)
{
    struct directory_entry e;
    uint64_t cursor = 0;
    cr_assert(directory_next(kept, &cursor, &e));
    uint8_t key[16];
    memcpy(key, e.key, e.key_len);
    e.key = key;
    e.put_id = UINT64_C(1) << 43;
    e.gva = gva_add(node->joined.segments[0].gva, RIG_SEGMENT / 2);
    core_of()->members.ranges[0]->node->directory.list_ms = UINT64_MAX; /* it would be mended */
    cr_assert_eq(directory_set(kept, &e), CENOTE_OK);
    cr_assert_eq(check(false), 1);
    cr_assert_eq(count_of(FSCK_ENTRY_STRANGE), 1);
}

static struct gva void_gva;

static bool is_live(const struct directory_entry *e)
{
    return e->gva.v != void_gva.v;
}

Test(fsck, seal)
{
    void_gva = object_piece(object_of("key 9"), 0)->gva;
    node->is_live = is_live;
    expect_mended(FSCK_SEAL);
    cr_assert_eq(client_lookup(bob, "key 9", NULL, NULL), CENOTE_NOT_FOUND);
}

/* What comes and goes meanwhile is no difference. */
Test(fsck, under_change__nothing_is_wrong)
{
    begin(false);
    for (unsigned i = 0; core_of()->fsck.phase != FSCK_DONE; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %u", i % 20);
        cr_assert_eq(client_put(alice, key, 500 + i, PUT_START_REPLACE), CENOTE_OK);
        rig_pass(100);
        cr_assert_lt(i, 200);
    }
    for (unsigned i = 0; i < FSCK_KINDS; i++)
        cr_assert_eq(count_of((enum fsck_kind)i), 0);
}

/* ---- more entries than one call tells of, and changes between the calls ---------------------- */

#define MANY (FSCK_BATCH + 90u)

static struct directory_entry early; /* one of those that come first */
static uint8_t early_key[16];

static void fill(unsigned count)
{
    uint64_t cursor = 0;
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "many %u", i);
        cr_assert_eq(client_put(alice, key, 100, 0), CENOTE_OK);
    }
    rig_pass(500);
    cr_assert_eq(directory_sum(kept).entries, count + 20);
    cr_assert(directory_next(kept, &cursor, &early));
    memcpy(early_key, early.key, early.key_len);
    early.key = early_key;
    early.kept = NULL;
    early.kept_len = 0;
    core_of()->members.ranges[0]->node->directory.list_ms = UINT64_MAX; /* the service tells none */
}

/* What the node has told of its first page isn't heard yet. */
static void set_early(void *arg, struct end *e, const struct call *call)
{
    unsigned *reads = arg;
    (void)e;
    if (strcmp(call->method, METHOD_DIRECTORY_READ) == 0 && (*reads)++ == 0)
        cr_assert_eq(directory_set(kept, &early), CENOTE_OK);
}

static void check_while_early_is_set(void)
{
    unsigned reads = 0;
    world->replied = set_early;
    world->replied_arg = &reads;
    cr_assert_eq(check(true), 0);
    world->replied = NULL;
    cr_assert_gt(reads, 1);
    for (unsigned i = 0; i < MANY; i++) {
        char key[16];
        snprintf(key, sizeof(key), "many %u", i);
        cr_assert_eq(client_lookup(bob, key, NULL, NULL), CENOTE_OK);
    }
}

/* It pushes the last ones of the page out of it. */
Test(fsck, seal__an_entry_comes_into_a_page_that_was_read)
{
    fill(MANY);
    directory_drop(kept, early.gva);
    check_while_early_is_set();
}

Test(fsck, seal__an_entry_moves_to_another_page)
{
    fill(MANY);
    early.created_ms++;
    check_while_early_is_set();
}

Test(fsck, seal__on_a_later_page)
{
    fill(MANY);
    void_gva = object_piece(object_of("many 580"), 0)->gva;
    node->is_live = is_live;
    expect_mended(FSCK_SEAL);
    cr_assert_eq(client_lookup(bob, "many 580", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(client_lookup(bob, "many 579", NULL, NULL), CENOTE_OK);
}

static unsigned looks;

static bool is_live_again(const struct directory_entry *e)
{
    return e->gva.v != void_gva.v || looks++ > 0;
}

/* The node has to say so twice. */
Test(fsck, seal__once_only)
{
    void_gva = object_piece(object_of("key 9"), 0)->gva;
    node->is_live = is_live_again;
    cr_assert_eq(check(true), 0);
    cr_assert_geq(looks, 2);
    cr_assert_eq(client_lookup(bob, "key 9", NULL, NULL), CENOTE_OK);
}

static void pass_until(enum fsck_phase phase)
{
    for (unsigned i = 0; core_of()->fsck.phase != phase; i++) {
        cr_assert_lt(i, 1000);
        world_pass(world, SERVICE_TICK_MS);
        cr_assert_eq(node_heartbeat(node, 1, RIG_SEGMENT), CENOTE_OK);
    }
}

/* Between the two looks the value goes: it was not damaged, whatever the node said. */
Test(fsck, seal__of_a_value_that_is_replaced)
{
    void_gva = object_piece(object_of("key 9"), 0)->gva;
    node->is_live = is_live;
    begin(true);
    pass_until(FSCK_WAITING);
    cr_assert_eq(core_of()->fsck.found[FSCK_SEAL].suspect_count, 1);
    cr_assert_eq(client_put(alice, "key 9", 100, PUT_START_REPLACE), CENOTE_OK);
    pass_until(FSCK_DONE);
    cr_assert_eq(count_of(FSCK_SEAL), 0);
    cr_assert_eq(client_lookup(bob, "key 9", NULL, NULL), CENOTE_OK);
}

static bool is_never_live(const struct directory_entry *e)
{
    (void)e;
    return false;
}

/* What can't be looked at again isn't counted among the differences, and isn't mended yet. */
Test(fsck, more_than_can_be_looked_at_again)
{
    fill(FSCK_SUSPECTS + 5);
    node->is_live = is_never_live;
    cr_assert_eq(check(true), FSCK_SUSPECTS);
    cr_assert_eq(count_of(FSCK_SEAL), FSCK_SUSPECTS);
    cr_assert_eq(core_of()->fsck.found[FSCK_SEAL].mended, FSCK_SUSPECTS);
    cr_assert_eq(core_of()->fsck.found[FSCK_SEAL].more, 25);
    rig_pass(RIG_LEASE_MS * 2 + 1000);
    cr_assert_eq(check(true), 25);
    cr_assert_eq(core_of()->fsck.found[FSCK_SEAL].more, 0);
}

/* The store has the commit, and the service hears of it behind its next tick. */
static void replace_around_tick(const char *key)
{
    struct put_start_item item;
    cr_assert_eq(client_put_start(alice, key, 100, PUT_START_REPLACE, &item, NULL), CENOTE_OK);
    uint32_t msgid = client_commit_send(alice, &item, EXTENT_VISIBLE);
    cr_assert(memstore_apply(world->store));
    world->now_ms += SERVICE_TICK_MS;
    service_tick(world->service);
    world_run(world);
    cr_assert_eq(client_commit_status(alice, msgid), CENOTE_OK);
}

/* At both looks its name leads to a put that the table doesn't know to be committed. */
Test(fsck, name_wrong__of_a_key_that_is_replaced_all_the_time)
{
    begin(true);
    pass_until(FSCK_NAMES);
    replace_around_tick("key 5");
    cr_assert_eq(core_of()->fsck.found[FSCK_NAME_WRONG].suspect_count, 1);
    pass_until(FSCK_CONFIRM);
    replace_around_tick("key 5");
    cr_assert_eq(core_of()->fsck.phase, FSCK_DONE);
    cr_assert_eq(count_of(FSCK_NAME_WRONG), 0);
    cr_assert_eq(check(false), 0);
}

/* What is on the way gives the key its name: a removal would come behind it. */
Test(fsck, name_wrong__while_the_key_is_put)
{
    struct put_start_item item;
    struct names_key name = name_of("key 5");
    struct record_key nobody = record_key(UINT64_C(1) << 43);
    cr_assert_eq(client_remove(alice, "key 5"), CENOTE_OK);
    write_past(STORE_NAMES, name.data, name.len, nobody.b, sizeof(nobody.b));
    begin(true);
    pass_until(FSCK_CONFIRM);
    cr_assert_eq(client_put_start(alice, "key 5", 100, 0, &item, NULL), CENOTE_OK);
    uint32_t msgid = client_commit_send(alice, &item, EXTENT_VISIBLE);
    world->now_ms += SERVICE_TICK_MS;
    service_tick(world->service);
    world_run(world);
    cr_assert_eq(client_commit_status(alice, msgid), CENOTE_OK);
    cr_assert_eq(count_of(FSCK_NAME_WRONG), 1);
    cr_assert_eq(core_of()->fsck.found[FSCK_NAME_WRONG].mended, 0);
    cr_assert_eq(check(false), 0);
}

static void answer_nonsense(void *arg, struct end *e, const struct call *call)
{
    (void)arg;
    if (strcmp(call->method, METHOD_DIRECTORY_READ) == 0)
        e->answers_garbage = true; /* from the next call on */
}

/* Neither about pages nor about what is asked by name. */
Test(fsck, nonsense__is_no_difference)
{
    node->is_live = is_never_live;
    world->replied = answer_nonsense;
    cr_assert_eq(check(true), 0);
    cr_assert_eq(core_of()->fsck.entries, 20);
    cr_assert_eq(check(true), 0);
    cr_assert_eq(core_of()->fsck.entries, 0);
    node->answers_garbage = false;
}
