/* SPDX-License-Identifier: Apache-2.0 */
/* Doing changes: the writer's side of db.h. */
#include <errno.h>
#include <string.h>

#include <cenote/status.h>

#include "meta/store/db_private.h"
#include "meta/store/dir.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define LOG_PAUSE_MS 1000u

/* Logs at most once in a while: every change may meet the same full or broken disk. */
static void writer_log(struct db *db, const char *what, const char *reason)
{
    uint64_t now_ms = clock_now_ms();
    if (db->logged_ms != 0 && now_ms - db->logged_ms < LOG_PAUSE_MS)
        return;
    db->logged_ms = now_ms;
    log_error("store", "%s: %s: %s", db->path, what, reason);
}

/* LMDB closes it with the transaction. */
static int cursor_of(struct db *db, MDB_txn *txn, enum store_tree tree, MDB_cursor **out)
{
    int rc = 0;
    if (db->cursors[tree] == NULL)
        rc = mdb_cursor_open(txn, db->trees[tree], &db->cursors[tree]);
    *out = db->cursors[tree];
    return rc;
}

/* With its checksum, which LMDB gives the room for. */
static int put(const struct store_write *w, MDB_cursor *at, MDB_val *k, unsigned flags)
{
    MDB_val v = {.mv_size = w->value_len + (size_t)SUM_BYTES};
    int rc = mdb_cursor_put(at, k, &v, MDB_RESERVE | flags);
    if (rc != 0)
        return rc;
    if (w->value_len > 0)
        memcpy(v.mv_data, w->value, w->value_len);
    sum_write(w->tree, k, v.mv_data, w->value_len);
    return 0;
}

/* Put ids grow: nearly every new record goes behind the last one, where the tree needn't be
 * searched and pages are filled to the end. */
static int put_object(struct db *db, const struct store_write *w, MDB_cursor *at, MDB_val *k)
{
    bool behind = k->mv_size == sizeof(db->last_object) &&
                  memcmp(k->mv_data, db->last_object, sizeof(db->last_object)) > 0;
    if (!behind)
        return put(w, at, k, 0);
    memcpy(db->last_object, k->mv_data, sizeof(db->last_object));
    int rc = put(w, at, k, MDB_APPEND);
    return rc == MDB_KEYEXIST ? put(w, at, k, 0) : rc;
}

static int write_one(struct db *db, MDB_txn *txn, const struct store_write *w)
{
    MDB_val k = {.mv_size = w->key_len, .mv_data = (void *)(uintptr_t)w->key};
    MDB_cursor *at;
    int rc = cursor_of(db, txn, w->tree, &at);
    if (rc != 0)
        return rc;
    if (!w->remove)
        return w->tree == STORE_OBJECTS ? put_object(db, w, at, &k) : put(w, at, &k, 0);
    rc = mdb_cursor_get(at, &k, NULL, MDB_SET);
    if (rc == 0)
        rc = mdb_cursor_del(at, 0);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int write_all(struct db *db, MDB_txn *txn, const struct change *c)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < c->count; i++)
        rc = write_one(db, txn, &c->writes[i]);
    return rc;
}

/* Writes the changes from first to before end, without those that don't fit; *done counts them. On
 * an error the transaction is of no use any more. */
static int fill(struct db *db, MDB_txn *txn, struct change *first, const struct change *end,
                uint64_t *done)
{
    room_begin(db, txn);
    memset(db->cursors, 0, sizeof(db->cursors));
    for (struct change *c = first; c != end; c = c->next) {
        if (c->refused)
            continue;
        if (!room_for(db, txn, c)) {
            c->status = CENOTE_META_FULL;
            writer_log(db, "only changes that free space are taken",
                       db->disk_full ? "the disk is full" : "the map is full");
            continue;
        }
        int rc = write_all(db, txn, c);
        if (rc != 0)
            return rc;
        c->status = CENOTE_OK;
        ++*done;
    }
    return 0;
}

/* LMDB syncs the pages before it writes the page that makes them valid, or syncs nothing; which of
 * both belongs to the environment (as a flag of a transaction it is taken and ignored). */
static int sync_select(struct db *db, bool synced)
{
    if (db->commits_synced == synced)
        return 0;
    db->commits_synced = synced;
    return mdb_env_set_flags(db->env, MDB_NOSYNC, !synced);
}

/* One transaction. 0, or what LMDB said: then nothing of it was done. */
static int commit_range(struct db *db, struct change *first, const struct change *end, bool synced,
                        struct db_counts *counts)
{
    MDB_txn *txn;
    uint64_t done = 0;
    int rc = sync_select(db, synced && !test_off(TEST_SYNC));
    room_ahead(db);
    if (rc == 0)
        rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = fill(db, txn, first, end, &done);
    if (rc != 0 || done == 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    uint64_t used_bytes = room_used_bytes(db, txn);
    rc = mdb_txn_commit(txn);
    if (rc != 0)
        return rc;
    db->used_bytes = used_bytes;
    counts->commits++;
    counts->changes += done;
    return 0;
}

/* LMDB gives EIO for a write that was cut short, which is how a disk ends. */
static int full_or_io(const struct db *db, int mdb_rc)
{
    bool full = mdb_rc == MDB_MAP_FULL || mdb_rc == MDB_TXN_FULL ||
                (mdb_rc == EIO && db->disk_full) ||
                (mdb_rc > 0 && dir_status_of(mdb_rc) == CENOTE_META_FULL);
    return full ? CENOTE_META_FULL : CENOTE_IO;
}

void db_commit(struct db *db, struct change *first, bool synced, struct db_counts *counts)
{
    if (commit_range(db, first, NULL, synced, counts) == 0)
        return;
    for (struct change *c = first; c; c = c->next) {
        if (c->refused)
            continue;
        int rc = commit_range(db, c, c->next, synced, counts);
        if (rc == 0)
            continue;
        db->broken |= rc == MDB_PANIC;
        c->status = full_or_io(db, rc);
        writer_log(db, "a change failed", mdb_strerror(rc));
    }
}

bool db_broken(const struct db *db)
{
    return db->broken;
}

uint64_t db_used_bytes(const struct db *db)
{
    return db->used_bytes;
}
