/* SPDX-License-Identifier: Apache-2.0 */
/* Changes and reads, as the service makes them. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cenote/status.h>

#include "tests/scenario/store/kit.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"

#define LOAD 5000u

/* Completions come in the order of the changes, which group, and reads go on meanwhile. */
struct order {
    struct store *s;
    struct kit_tally tally;
    unsigned next;
};
struct ordered {
    struct order *order;
    unsigned number;
};

static void order_done(void *arg, int status)
{
    struct ordered *o = arg;
    CHECK(o->number == o->order->next++);
    CHECK(kit_has(o->order->s, STORE_OBJECTS, o->number));
    kit_done(&o->order->tally, status);
}

static void run_load(const char *dir, enum store_durability durability, unsigned count)
{
    static struct ordered ordered[LOAD];
    struct store_usage usage;
    struct store *s = kit_open(dir, &(struct store_lmdb_options){
                                        .map_size_bytes = 64 << 20,
                                        .durability = durability,
                                        .flush_ms = 5,
                                    });
    struct order order = {.s = s};
    for (unsigned i = 0; i < count; i++) {
        struct kit_key key = kit_key_of(i);
        unsigned char value[100];
        kit_value_fill(i, value, sizeof(value));
        ordered[i] = (struct ordered){&order, i};
        struct store_write w = {.tree = STORE_OBJECTS,
                                .key = key.b,
                                .key_len = sizeof(key.b),
                                .value = value,
                                .value_len = sizeof(value)};
        s->ops->submit(s, &(struct store_change){.writes = &w,
                                                 .count = 1,
                                                 .sync = i % 1000 == 0,
                                                 .done = order_done,
                                                 .arg = &ordered[i]});
        if (i % 500 == 0)
            kit_count(s, STORE_OBJECTS);
    }
    kit_wait(s, &order.tally, count);
    CHECK(order.tally.ok == count && kit_count(s, STORE_OBJECTS) == count);
    s->ops->usage(s, &usage);
    CHECK(usage.changes == count && usage.commits > 0 && usage.commits < count);
    CHECK(usage.used_bytes > count * 100 && usage.limit_bytes == 64 << 20);
    store_lmdb_close(s);
    s = kit_open(dir, &(struct store_lmdb_options){.map_size_bytes = 64 << 20});
    CHECK(kit_count(s, STORE_OBJECTS) == count);
    store_lmdb_close(s);
}

/* Several writes of one change in several trees; a removal of a key that is missing is no error. */
static void run_atomic(struct store *s)
{
    struct kit_tally t = {0};
    struct kit_key a = kit_key_of(1), b = kit_key_of(2);
    unsigned char value[16];
    kit_value_fill(1, value, sizeof(value));
    struct store_write writes[] = {
        {.tree = STORE_META, .key = a.b, .key_len = 8, .value = value, .value_len = 16},
        {.tree = STORE_NAMES, .key = a.b, .key_len = 8, .value = value, .value_len = 0},
        {.tree = STORE_NAMES, .key = b.b, .key_len = 8, .remove = true},
    };
    s->ops->submit(
        s, &(struct store_change){.writes = writes, .count = 3, .done = kit_done, .arg = &t});
    s->ops->submit(s, &(struct store_change){.done = kit_done, .arg = &t});
    kit_wait(s, &t, 2);
    CHECK(t.ok == 2 && kit_has(s, STORE_META, 1) && kit_has(s, STORE_NAMES, 1));
    CHECK(!kit_has(s, STORE_META, 2) && !kit_has(s, STORE_OBJECTS, 1));
}

struct walk {
    struct store *s;
    uint64_t next, last;
};

/* Reads inside a scan are what a listing does. */
static bool walk_one(void *arg, const void *key, uint32_t key_len, const void *value,
                     uint32_t value_len)
{
    struct walk *w = arg;
    (void)value, (void)value_len;
    CHECK(kit_key_number(key, key_len) == w->next++);
    CHECK(kit_has(w->s, STORE_MEMBERS, w->next - 1));
    return w->next <= w->last;
}

static void run_scans(struct store *s)
{
    for (uint64_t n = 10; n < 20; n++)
        CHECK(kit_put(s, STORE_MEMBERS, n, 8, 0) == CENOTE_OK);
    struct walk w = {.s = s, .next = 13, .last = 16};
    struct kit_key from = kit_key_of(13);
    CHECK(s->ops->scan(s, STORE_MEMBERS, from.b, 8, walk_one, &w) == CENOTE_OK);
    CHECK(w.next == 17);
    w = (struct walk){.s = s, .next = 10, .last = 100};
    from = kit_key_of(9);
    CHECK(s->ops->scan(s, STORE_MEMBERS, from.b, 8, walk_one, &w) == CENOTE_OK);
    CHECK(w.next == 20);
    from = kit_key_of(20);
    CHECK(s->ops->scan(s, STORE_MEMBERS, from.b, 8, walk_one, &w) == CENOTE_OK);
    CHECK(w.next == 20 && kit_count(s, STORE_SESSIONS) == 0);
}

/* A done() may submit; closing waits for that too. */
struct chain {
    struct store *s;
    unsigned left;
};

static void chain_done(void *arg, int status)
{
    struct chain *c = arg;
    CHECK(status == CENOTE_OK);
    if (c->left == 0)
        return;
    c->left--;
    struct kit_key key = kit_key_of(c->left);
    struct store_write w = {
        .tree = STORE_SESSIONS, .key = key.b, .key_len = 8, .value = key.b, .value_len = 8};
    c->s->ops->submit(
        c->s, &(struct store_change){.writes = &w, .count = 1, .done = chain_done, .arg = c});
}

/* Copies that wait are bounded: what can be refused is refused, in its turn. */
static void run_queue_limit(struct store *s)
{
    static unsigned char value[32 << 20];
    struct kit_tally t = {0};
    struct kit_key key = kit_key_of(7);
    struct store_write w = {
        .tree = STORE_META, .key = key.b, .key_len = 8, .value = value, .value_len = sizeof(value)};
    struct store_change c = {.writes = &w, .count = 1, .done = kit_done, .arg = &t};
    unsigned count = 0;
    struct store_write many[9];
    for (unsigned i = 0; i < 9; i++)
        many[i] = w;
    c.writes = many;
    c.count = 9; /* 288 MiB: more than the queue, refused without a copy */
    s->ops->submit(s, &c);
    count++;
    c.count = 1; /* too large for the map: refused by the writer */
    s->ops->submit(s, &c);
    count++;
    kit_wait(s, &t, count);
    CHECK(t.full == count);
    CHECK(kit_put(s, STORE_META, 8, 8, 0) == CENOTE_OK);
}

/* An owner that gathers: nothing is done before it hands over, or has gathered many. */
static void run_gathering(const char *dir)
{
    struct kit_tally t = {0};
    struct store_usage usage;
    struct store *s =
        kit_open(dir, &(struct store_lmdb_options){.map_size_bytes = 16 << 20, .gathers = true});
    for (unsigned i = 0; i < STORE_GATHER_MAX - 1; i++)
        kit_submit(s, STORE_OBJECTS, i, 100, 0, &t);
    usleep(20000);
    store_lmdb_dispatch(s);
    CHECK(t.done == 0);
    kit_submit(s, STORE_OBJECTS, 1000, 100, 0, &t);
    kit_wait(s, &t, STORE_GATHER_MAX);
    s->ops->usage(s, &usage);
    CHECK(usage.commits == 1 && usage.changes == STORE_GATHER_MAX);
    kit_submit(s, STORE_OBJECTS, 500, 100, 0, &t); /* before one that is there */
    store_lmdb_hand_over(s);
    store_lmdb_hand_over(s);
    kit_wait(s, &t, STORE_GATHER_MAX + 1);
    kit_submit(s, STORE_OBJECTS, 2000, 100, 0, &t);
    store_lmdb_close(s);
    CHECK(t.ok == STORE_GATHER_MAX + 2);
    s = kit_open(dir, &(struct store_lmdb_options){.map_size_bytes = 16 << 20});
    CHECK(kit_count(s, STORE_OBJECTS) == STORE_GATHER_MAX + 2);
    store_lmdb_close(s);
}

int main(void)
{
    char dir[64];
    kit_log_keep();
    kit_dir_make(dir);
    run_load(dir, STORE_PROCESS, LOAD);
    kit_dir_remove(dir);
    kit_dir_make(dir);
    run_load(dir, STORE_SYNC, LOAD / 10);
    kit_dir_remove(dir);

    kit_dir_make(dir);
    run_gathering(dir);
    kit_dir_remove(dir);

    kit_dir_make(dir);
    struct store *s = kit_open(dir, &(struct store_lmdb_options){.map_size_bytes = 16 << 20});
    struct stat st;
    CHECK(stat(dir, &st) == 0 && (st.st_mode & 0777) == 0700);
    run_atomic(s);
    run_scans(s);
    run_queue_limit(s);
    struct chain chain = {.s = s, .left = 50};
    s->ops->submit(s, &(struct store_change){.done = chain_done, .arg = &chain});
    store_lmdb_close(s);
    CHECK(chain.left == 0);
    store_lmdb_close(NULL);
    kit_dir_remove(dir);
    return 0;
}
