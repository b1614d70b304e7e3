/* SPDX-License-Identifier: Apache-2.0 */
/* A pool's life over the real store in a directory: what it did to the disk, what it promised. */
#ifndef CENOTE_TESTS_CRASH_LIFE_H
#define CENOTE_TESTS_CRASH_LIFE_H

#include "meta/store/lmdb.h"
#include "tests/crash/disk.h"
#include "tests/crash/promises.h"

#define LIFE_BOOT_ID   "boot-1"
#define LIFE_MAP_BYTES (UINT64_C(1) << 20)

/* A store of LMDB for a world. */
struct lmdb_disk {
    struct world_disk disk;
    const char *dir;
    struct store_lmdb_options options;
    struct store *store;
    void (*killed)(void *arg); /* when a kill is over; NULL: the store is always closed cleanly */
    void (*ran)(void *arg);    /* after all changes were done; may be NULL */
    void *arg;
    bool dying;
};
void lmdb_disk_init(struct lmdb_disk *d, const char *dir, const struct store_lmdb_options *options);

/* The log's errors from now on, which are not printed. */
void life_log_keep(void);
/* What they are so far; a copy, until it is asked for again. */
const char *life_said(void);

struct life {
    enum store_durability durability;
    bool clean; /* how the service ends before its restart; else it is killed */
    struct disk_record record;
    struct promises promises;
    struct world *world; /* while it runs */
    struct lmdb_disk lmdb;
};

/* Runs the story of tests/scenario/service in an empty directory. */
void life_record(struct life *life, const char *dir);
void life_free(struct life *life);

#endif
