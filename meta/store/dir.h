/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data directory around LMDB's files: its owner's lock, and the state file that says whether
 * LMDB's file may be believed. The state lies outside LMDB because it must be judged first: after a
 * crash of the operating system an unsynced LMDB file can be torn anywhere, and reading one is not
 * safe.
 *
 *   lock       flock()ed by the owner for life
 *   state      one line: format, phase, durability, boot id; overwritten in place, so that a full
 *              disk can't keep a store from being closed cleanly (it is smaller than a sector)
 *   data.mdb   the store
 *   data.mdb.before  one that was set aside
 *   lock.mdb   LMDB's table of readers
 */
#ifndef CENOTE_META_STORE_DIR_H
#define CENOTE_META_STORE_DIR_H

#include <stdbool.h>

#include "meta/store/lmdb.h"

#define DIR_FORMAT      2u /* 1: records had no checksums */
#define DIR_BOOT_ID_MAX 63u

enum dir_phase {
    DIR_NEW,  /* nothing was ever acknowledged: data.mdb may be half made and is thrown away */
    DIR_OPEN, /* in use, or its owner died */
    DIR_CLEAN /* closed after a sync */
};

struct dir {
    char *path; /* our copy, for messages */
    int fd, lock_fd;
    enum dir_phase phase; /* as it was found */
    enum store_durability durability;
    char boot_id[DIR_BOOT_ID_MAX + 1]; /* the present one */
};

/* Makes it, locks it, reads and judges its state; a new one gets its state file. Codes: those of
 * store_lmdb_open(). */
int dir_open(struct dir *d, const char *path, const struct store_lmdb_options *options);
/* Writes the state file; on stable storage when it returns. */
int dir_note(struct dir *d, enum dir_phase phase);
void dir_close(struct dir *d);

/* A file system whose files live on another machine (f_type of statfs). */
bool dir_is_network(unsigned long fs_type);
/* The status for an errno. */
int dir_status_of(int error);

#endif
