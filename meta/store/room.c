/* SPDX-License-Identifier: Apache-2.0 */
/* The space that is left in the map and on the disk; the essay is in db.h. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>

#include "meta/store/db_private.h"

#define RESERVE_PART      8u /* of the map */
#define RESERVE_MAX_BYTES (UINT64_C(256) << 20)
#define AHEAD_MAX_BYTES   (UINT64_C(16) << 20)
#define PAGES_PER_WRITE   4u /* new pages that a small write may need when its leaf splits */

/* LMDB's own two trees: the list of free pages and the directory of named trees. */
#define LMDB_TREES 2u
#define META_PAGES 2u

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void room_init(struct db *db)
{
    db->reserve_bytes = least(db->limit_bytes / RESERVE_PART, RESERVE_MAX_BYTES);
    db->ahead_bytes = least(db->reserve_bytes, AHEAD_MAX_BYTES);
}

static uint64_t tree_pages(MDB_txn *txn, MDB_dbi tree)
{
    MDB_stat st;
    int rc = mdb_stat(txn, tree, &st);
    return rc == 0 ? st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages : 0;
}

uint64_t room_used_bytes(struct db *db, MDB_txn *txn)
{
    uint64_t pages = META_PAGES;
    for (MDB_dbi i = 0; i < LMDB_TREES; i++)
        pages += tree_pages(txn, i);
    for (int i = 0; i < STORE_TREES; i++)
        pages += tree_pages(txn, db->trees[i]);
    return pages * db->page_bytes;
}

void room_begin(struct db *db, MDB_txn *txn)
{
    db->bound_bytes = room_used_bytes(db, txn);
}

/* Counting pages asks all trees: it is done only where the estimate says no. */
bool room_for(struct db *db, MDB_txn *txn, const struct change *c)
{
    uint64_t need = c->size_bytes + (uint64_t)c->count * PAGES_PER_WRITE * db->page_bytes;
    uint64_t usable = db->limit_bytes - db->reserve_bytes;
    if (db->disk_full)
        usable = least(usable, db->allocated_bytes - least(db->ahead_bytes, db->allocated_bytes));
    db->bound_bytes += need;
    if (c->frees || db->bound_bytes <= usable)
        return true;
    uint64_t used = room_used_bytes(db, txn);
    bool fits = used <= usable && need <= usable - used;
    db->bound_bytes = fits ? used + need : used;
    return fits;
}

void room_ahead(struct db *db)
{
    MDB_envinfo info;
    int fd;
    mdb_env_info(db->env, &info);
    uint64_t data = (info.me_last_pgno + 1) * db->page_bytes;
    uint64_t end = least(data + db->ahead_bytes, db->limit_bytes);
    if (end <= db->allocated_bytes)
        return;
    /* Twice as far as needed, so that not every commit asks. */
    uint64_t goal = least(end + db->ahead_bytes, db->limit_bytes);
    mdb_env_get_fd(db->env, &fd);
    db->disk_full = false;
    if (fallocate(fd, 0, 0, (off_t)goal) == 0)
        db->allocated_bytes = goal;
    else if (errno == EOPNOTSUPP) /* no reserve on such a disk; don't ask again */
        db->allocated_bytes = UINT64_MAX;
    else if (fallocate(fd, 0, 0, (off_t)end) == 0)
        db->allocated_bytes = end;
    else
        db->disk_full = true;
    if (db->allocated_bytes < data)
        db->allocated_bytes = data;
}
