/* SPDX-License-Identifier: Apache-2.0 */
/* Opening LMDB's environment, and the reads of its owner. */
#include "meta/store/db_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cenote/status.h>

#include "meta/store/dir.h"
#include "transport/base/log.h"

/* A get and nested scans; LMDB derives the number of its reader slots from the file's size. */
#define READERS_FILE_BYTES 8192
#define MAP_UNIT_BYTES     65536u /* a multiple of every page size */
#define PATH_BYTES         4096u

static const char *const tree_names[STORE_TREES] = {
    [STORE_META] = "meta",       [STORE_OBJECTS] = "objects",       [STORE_NAMES] = "names",
    [STORE_MEMBERS] = "members", [STORE_NAMESPACES] = "namespaces", [STORE_SESSIONS] = "sessions",
};

const char *db_tree_name(enum store_tree tree)
{
    return tree_names[tree];
}

static int status_of(int mdb_rc)
{
    switch (mdb_rc) {
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return CENOTE_META_FULL;
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_NOTFOUND: /* of a tree; get and scan look for it themselves */
    case MDB_INCOMPATIBLE:
        return CENOTE_FORMAT;
    case EAGAIN:
    case EBUSY:
        return CENOTE_LOCKED;
    default:
        return mdb_rc > 0 ? dir_status_of(mdb_rc) : CENOTE_IO;
    }
}

int db_fail(const struct db *db, const char *what, int mdb_rc)
{
    log_error("store", "%s: %s: %s", db->path, what, mdb_strerror(mdb_rc));
    return status_of(mdb_rc);
}

/* ---- opening -------------------------------------------------------------------------------- */

/* LMDB maps its lock file without allocating it: on a full disk the first touch would be a SIGBUS.
 * Closed again before LMDB opens it, because closing drops all of a process's fcntl locks. */
static int readers_allocate(const struct db *db)
{
    char name[PATH_BYTES];
    int len = snprintf(name, sizeof(name), "%s/lock.mdb", db->path);
    if (len < 0 || (size_t)len >= sizeof(name))
        return db_fail(db, "the path is too long", ENAMETOOLONG);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return db_fail(db, "cannot open lock.mdb", errno);
    int error = posix_fallocate(fd, 0, READERS_FILE_BYTES);
    close(fd);
    return error == 0 ? CENOTE_OK : db_fail(db, "cannot allocate lock.mdb", error);
}

/* A file that ends before its last page would be a SIGBUS for whoever reads there. (It may,
 * legally, when the last pages were never written.) */
static int file_extend(const struct db *db)
{
    MDB_envinfo info;
    struct stat st;
    int fd;
    mdb_env_info(db->env, &info);
    mdb_env_get_fd(db->env, &fd);
    if (fstat(fd, &st) != 0)
        return db_fail(db, "fstat of data.mdb", errno);
    off_t end = (off_t)((info.me_last_pgno + 1) * db->page_bytes);
    if (st.st_size < end && ftruncate(fd, end) != 0)
        return db_fail(db, "ftruncate of data.mdb", errno);
    return CENOTE_OK;
}

static int env_open(struct db *db, uint64_t map_size_bytes)
{
    MDB_envinfo info;
    MDB_stat st;
    int rc = mdb_env_create(&db->env);
    if (rc != 0)
        return db_fail(db, "mdb_env_create", rc);
    mdb_env_set_maxdbs(db->env, STORE_TREES);
    rc = mdb_env_set_mapsize(db->env, map_size_bytes / MAP_UNIT_BYTES * MAP_UNIT_BYTES);
    if (rc != 0)
        return db_fail(db, "mdb_env_set_mapsize", rc);
    rc = mdb_env_open(db->env, db->path, MDB_NOTLS, 0600);
    if (rc != 0)
        return db_fail(db, "cannot open data.mdb", rc);
    assert(mdb_env_get_maxkeysize(db->env) >= (int)STORE_KEY_MAX);
    mdb_env_info(db->env, &info);
    mdb_env_stat(db->env, &st);
    db->limit_bytes = info.me_mapsize;
    db->page_bytes = st.ms_psize;
    db->commits_synced = true;
    return file_extend(db);
}

static int trees_open(struct db *db, bool create)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (rc != 0)
        return db_fail(db, "mdb_txn_begin", rc);
    for (int i = 0; i < STORE_TREES; i++) {
        rc = mdb_dbi_open(txn, tree_names[i], create ? MDB_CREATE : 0, &db->trees[i]);
        if (rc != 0) {
            mdb_txn_abort(txn);
            return db_fail(db, "data.mdb is not this program's", rc);
        }
    }
    db->used_bytes = room_used_bytes(db, txn);
    rc = mdb_txn_commit(txn);
    return rc == 0 ? CENOTE_OK : db_fail(db, "mdb_txn_commit", rc);
}

static int reader_open(struct db *db)
{
    int stale = 0;
    int rc = mdb_reader_check(db->env, &stale);
    if (rc != 0)
        return db_fail(db, "mdb_reader_check", rc);
    if (stale > 0)
        log_info("store", "%s: cleared %d stale readers", db->path, stale);
    rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &db->reader);
    if (rc != 0)
        return db_fail(db, "mdb_txn_begin", rc);
    mdb_txn_reset(db->reader);
    for (int i = 0; rc == 0 && i < STORE_TREES; i++) {
        rc = mdb_txn_renew(db->reader);
        if (rc == 0)
            rc = mdb_cursor_open(db->reader, db->trees[i], &db->read_cursors[i]);
        mdb_txn_reset(db->reader);
    }
    return rc == 0 ? CENOTE_OK : db_fail(db, "mdb_cursor_open", rc);
}

static bool go_on(void *arg, const void *key, uint32_t key_len, const void *value,
                  uint32_t value_len)
{
    (void)arg, (void)key, (void)key_len, (void)value, (void)value_len;
    return true;
}

/* Whoever looks for a record by its name, or from some key on, would not see one whose key is
 * damaged. Objects are all read at the start anyway, and names are read from the first one on by
 * who checks them. */
static int small_trees_check(struct db *db)
{
    static const enum store_tree trees[] = {STORE_META, STORE_MEMBERS, STORE_NAMESPACES,
                                            STORE_SESSIONS};
    int rc = CENOTE_OK;
    for (size_t i = 0; rc == CENOTE_OK && i < sizeof(trees) / sizeof(trees[0]); i++)
        rc = db_scan(db, trees[i], NULL, 0, go_on, NULL);
    return rc;
}

int db_open(const char *path, uint64_t map_size_bytes, bool create, struct db **out)
{
    int rc = CENOTE_NO_MEMORY;
    struct db *db = calloc(1, sizeof(*db));
    if (!db)
        return rc;
    db->path = db->path_copy = strdup(path);
    if (!db->path)
        goto close;
    rc = readers_allocate(db);
    if (rc == CENOTE_OK)
        rc = env_open(db, map_size_bytes);
    if (rc == CENOTE_OK)
        rc = trees_open(db, create);
    if (rc == CENOTE_OK)
        rc = reader_open(db);
    if (rc == CENOTE_OK)
        rc = small_trees_check(db);
    if (rc == CENOTE_OK)
        rc = db_sync(db);
    if (rc != CENOTE_OK)
        goto close;
    room_init(db);
    *out = db;
    return CENOTE_OK;
close:
    db_close(db);
    return rc;
}

void db_close(struct db *db)
{
    for (int i = 0; i < STORE_TREES; i++)
        if (db->read_cursors[i])
            mdb_cursor_close(db->read_cursors[i]);
    if (db->reader)
        mdb_txn_abort(db->reader);
    if (db->env)
        mdb_env_close(db->env);
    free(db->answer);
    free(db->path_copy);
    free(db);
}

/* ---- any thread ----------------------------------------------------------------------------- */

int db_sync(struct db *db)
{
    int rc = mdb_env_sync(db->env, 1);
    if (rc == 0)
        return CENOTE_OK;
    db_fail(db, "cannot sync data.mdb", rc);
    return CENOTE_IO;
}

uint64_t db_limit_bytes(const struct db *db)
{
    return db->limit_bytes;
}

/* ---- the owner's thread --------------------------------------------------------------------- */

/* What LMDB gave lies in the map and may be overwritten once the transaction has ended. */
static int answer_copy(struct db *db, const MDB_val *from)
{
    if (from->mv_size > db->answer_cap) {
        void *p = realloc(db->answer, from->mv_size);
        if (!p)
            return db_fail(db, "get", ENOMEM);
        db->answer = p;
        db->answer_cap = from->mv_size;
    }
    if (from->mv_size > 0)
        memcpy(db->answer, from->mv_data, from->mv_size);
    return CENOTE_OK;
}

static int reader_begin(struct db *db)
{
    if (db->reading)
        return 0;
    memset(db->read_renewed, 0, sizeof(db->read_renewed));
    int rc = mdb_txn_renew(db->reader);
    db->reading = rc == 0;
    return rc;
}

/* It stays where it is as long as the snapshot: the next record is often beside the last one. */
static int reader_cursor(struct db *db, enum store_tree tree)
{
    int rc = reader_begin(db);
    if (rc == 0 && !db->read_renewed[tree])
        rc = mdb_cursor_renew(db->reader, db->read_cursors[tree]);
    db->read_renewed[tree] = rc == 0;
    return rc;
}

void db_forget(struct db *db)
{
    if (db->reading)
        mdb_txn_reset(db->reader);
    db->reading = false;
}

int db_get(struct db *db, enum store_tree tree, const void *key, uint32_t key_len,
           const void **value, uint32_t *value_len)
{
    assert(tree < STORE_TREES && key_len > 0 && key_len <= STORE_KEY_MAX);
    MDB_val k = {.mv_size = key_len, .mv_data = (void *)(uintptr_t)key};
    MDB_val v;
    int rc = reader_cursor(db, tree);
    if (rc != 0) {
        db_forget(db);
        db_fail(db, "mdb_txn_renew", rc);
        return CENOTE_IO;
    }
    int status = CENOTE_NOT_FOUND;
    rc = mdb_cursor_get(db->read_cursors[tree], &k, &v, MDB_SET_KEY);
    if (rc == 0) {
        bool good = sum_take(db, tree, &k, &v) && answer_copy(db, &v) == CENOTE_OK;
        status = good ? CENOTE_OK : CENOTE_IO;
    } else if (rc != MDB_NOTFOUND) {
        db_fail(db, "mdb_cursor_get", rc);
        status = CENOTE_IO;
    }
    if (status == CENOTE_OK) {
        *value = db->answer;
        *value_len = (uint32_t)v.mv_size;
    }
    return status;
}

/* Gives 0, or what LMDB said; *damaged: a record was. */
static int cursor_walk(const struct db *db, enum store_tree tree, MDB_cursor *cursor, MDB_val k,
                       bool (*each)(void *arg, const void *key, uint32_t key_len, const void *value,
                                    uint32_t value_len),
                       void *arg, bool *damaged)
{
    MDB_val v;
    int rc = mdb_cursor_get(cursor, &k, &v, k.mv_size > 0 ? MDB_SET_RANGE : MDB_FIRST);
    while (rc == 0) {
        *damaged = !sum_take(db, tree, &k, &v);
        if (*damaged || !each(arg, k.mv_data, (uint32_t)k.mv_size, v.mv_data, (uint32_t)v.mv_size))
            return 0;
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int db_scan(struct db *db, enum store_tree tree, const void *from, uint32_t from_len,
            bool (*each)(void *arg, const void *key, uint32_t key_len, const void *value,
                         uint32_t value_len),
            void *arg)
{
    assert(tree < STORE_TREES && from_len <= STORE_KEY_MAX);
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val k = {.mv_size = from_len, .mv_data = (void *)(uintptr_t)from};
    bool damaged = false;
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        goto fail;
    rc = mdb_cursor_open(txn, db->trees[tree], &cursor);
    if (rc != 0)
        goto abort;
    rc = cursor_walk(db, tree, cursor, k, each, arg, &damaged);
    mdb_cursor_close(cursor);
abort:
    mdb_txn_abort(txn);
fail:
    if (rc == 0)
        return damaged ? CENOTE_IO : CENOTE_OK;
    db_fail(db, "scan", rc);
    return CENOTE_IO;
}
