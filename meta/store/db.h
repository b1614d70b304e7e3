/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB behind the few operations that the store needs: commit a list of changes, get, scan, sync.
 *
 * Space. LMDB copies every page that it changes, and pages that a transaction gave up are only
 * reused two transactions later: a full map couldn't even remove anything. So a part of the map is
 * kept in reserve, and only changes with "frees" may go into it; the same with blocks of the disk,
 * which are allocated ahead of the end of the data. A change that doesn't fit is refused before it
 * touches anything. Should a transaction of many changes run out of space all the same, or fail in
 * another way, its changes are tried again one by one: none fails because of another.
 */
#ifndef CENOTE_META_STORE_DB_H
#define CENOTE_META_STORE_DB_H

#include "meta/store/change.h"

struct db;

/* create: make the trees, in a directory without LMDB's files; otherwise they must be there. What
 * was written before is on stable storage when it returns. Codes: those of store_lmdb_open(). */
int db_open(const char *path, uint64_t map_size_bytes, bool create, struct db **out);
/* After all other calls have ended. */
void db_close(struct db *db);

/* ---- the writer's thread -------------------------------------------------------------------- */

struct db_counts {
    uint64_t commits, changes; /* transactions; changes that they did */
};

/* Does the changes in their order and sets the status of each that wasn't refused before. synced:
 * they and all before them are on stable storage afterwards. */
void db_commit(struct db *db, struct change *first, bool synced, struct db_counts *counts);
/* Has LMDB given up, because it couldn't make a commit valid or undo that? Then every later change
 * fails, until the store is opened anew. */
bool db_broken(const struct db *db);
/* Pages in use after the last commit. */
uint64_t db_used_bytes(const struct db *db);

/* ---- any thread ----------------------------------------------------------------------------- */

/* Everything committed goes to stable storage. CENOTE_OK or CENOTE_IO; then what the disk holds
 * is not known any more. */
int db_sync(struct db *db);
uint64_t db_limit_bytes(const struct db *db);

/* ---- the owner's thread: as in store_ops ---------------------------------------------------- */

/* What was committed last before the first of several gets, until db_forget(). */
int db_get(struct db *db, enum store_tree tree, const void *key, uint32_t key_len,
           const void **value, uint32_t *value_len);
/* The next get sees what is committed by then; until then old pages may not be used again. */
void db_forget(struct db *db);
int db_scan(struct db *db, enum store_tree tree, const void *from, uint32_t from_len,
            bool (*each)(void *arg, const void *key, uint32_t key_len, const void *value,
                         uint32_t value_len),
            void *arg);

#endif
