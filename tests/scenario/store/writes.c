/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB's calls of the writer fail, one or two in a row, wherever they stand in a transaction of
 * many changes. Each change says what became of it: what was acknowledged is there, whole, now and
 * after the next start; what wasn't has left nothing. Linked with --wrap.
 */
#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <string.h>

#include <cenote/status.h>

#include "tests/scenario/store/kit.h"

#define CHANGES 8u
#define PAIR    1000u /* the second record of a change */
#define OLD     4u    /* which the changes remove or replace */

static pthread_t owner;
static unsigned fail_at, fail_count, calls; /* the writer's; the owner sets them while it rests */

/* Only of the writer: a read of the owner fails by itself. */
static bool is_refused(void)
{
    if (fail_at == 0 || pthread_equal(pthread_self(), owner))
        return false;
    calls++;
    return calls >= fail_at && calls < fail_at + fail_count;
}

#define REFUSED(name, parameters, arguments)                                                       \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters                                                                   \
    {                                                                                              \
        return is_refused() ? ENOMEM : __real_##name arguments;                                    \
    }
REFUSED(mdb_cursor_open, (MDB_txn * txn, MDB_dbi tree, MDB_cursor **out), (txn, tree, out))
REFUSED(mdb_cursor_put, (MDB_cursor * at, MDB_val *key, MDB_val *value, unsigned flags),
        (at, key, value, flags))
REFUSED(mdb_cursor_get, (MDB_cursor * at, MDB_val *key, MDB_val *value, MDB_cursor_op what),
        (at, key, value, what))
REFUSED(mdb_cursor_del, (MDB_cursor * at, unsigned flags), (at, flags))
REFUSED(mdb_txn_begin, (MDB_env * env, MDB_txn *parent, unsigned flags, MDB_txn **out),
        (env, parent, flags, out))

int __real_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn)
{
    if (!is_refused())
        return __real_mdb_txn_commit(txn);
    mdb_txn_abort(txn); /* it is over either way */
    return ENOMEM;
}

static struct store_lmdb_options options = {.map_size_bytes = 16 << 20, .gathers = true};
static int status_of[CHANGES];

static void note(void *arg, int status)
{
    *(int *)arg = status;
}

/* Two records, and every third one removes an old one. */
static void submit(struct store *s, unsigned i)
{
    struct kit_key key = kit_key_of(i), pair = kit_key_of(PAIR + i), old = kit_key_of(2 * PAIR + i);
    unsigned char values[2][64];
    kit_value_fill(i, values[0], sizeof values[0]);
    kit_value_fill(PAIR + i, values[1], sizeof values[1]);
    struct store_write writes[] = {
        {.tree = STORE_OBJECTS, .key = key.b, .key_len = 8, .value = values[0], .value_len = 64},
        {.tree = STORE_NAMES, .key = pair.b, .key_len = 8, .value = values[1], .value_len = 64},
        {.tree = STORE_NAMES, .key = old.b, .key_len = 8, .remove = true}};
    status_of[i] = 1;
    s->ops->submit(s, &(struct store_change){.writes = writes,
                                             .count = i < OLD ? 3 : 2,
                                             .frees = i % 2 == 0,
                                             .done = note,
                                             .arg = &status_of[i]});
}

static void wait_for_all(struct store *s)
{
    store_lmdb_hand_over(s);
    store_lmdb_drain(s);
}

static void check(struct store *s)
{
    for (unsigned i = 0; i < CHANGES; i++) {
        bool done = status_of[i] == CENOTE_OK;
        CHECK(done || status_of[i] == CENOTE_IO);
        CHECK(kit_has(s, STORE_OBJECTS, i) == done);
        CHECK(kit_has(s, STORE_NAMES, PAIR + i) == done);
        CHECK(kit_has(s, STORE_NAMES, 2 * PAIR + i) == (i < OLD && !done));
    }
}

/* Were all calls passed by? Then there was no such. */
static bool play(unsigned at, unsigned count, unsigned *lost)
{
    char dir[64];
    kit_dir_make(dir);
    struct store *s = kit_open(dir, &options);
    struct kit_tally before = {0}, after = {0};
    for (unsigned i = 0; i < OLD; i++)
        kit_submit(s, STORE_NAMES, 2 * PAIR + i, 64, 0, &before);
    wait_for_all(s);
    for (unsigned i = 0; i < CHANGES; i++)
        submit(s, i);
    calls = 0;
    fail_count = count;
    fail_at = at;
    wait_for_all(s);
    fail_at = 0;
    check(s);
    for (unsigned i = 0; i < CHANGES; i++)
        *lost += status_of[i] != CENOTE_OK;
    bool over = calls < at;
    kit_submit(s, STORE_META, 1, 64, 0, &after);
    wait_for_all(s);
    CHECK(before.ok == OLD && after.ok == 1); /* it goes on */
    store_lmdb_close(s);
    s = kit_open(dir, &options);
    check(s);
    store_lmdb_close(s);
    kit_dir_remove(dir);
    return over;
}

int main(void)
{
    owner = pthread_self();
    kit_log_keep();
    for (unsigned count = 1; count <= 2; count++) {
        unsigned at = 1, lost = 0;
        while (!play(at, count, &lost))
            at += count > 1 ? 1 : 3; /* one alone is done again and succeeds */
        printf("up to call %u, %u in a row: %u changes were refused\n", at, count, lost);
        CHECK(at > 3 * CHANGES && (lost > 0) == (count > 1));
    }
    return 0;
}
