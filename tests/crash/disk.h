/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store does to its directory, recorded: this program's pwrite(), fdatasync() and the
 * like stand before libc's, for LMDB too, which is not changed in any way.
 *
 * Two files count: data.mdb and state. An operation is a write, a change of a file's size, a sync
 * of a file (a write to a descriptor with O_DSYNC is followed by one of its own range), and for the
 * directory: a name comes, or the directory is synced. LMDB's lock.mdb is no part of the
 * record: it is made anew by whoever opens the store.
 *
 * An operation may also be made to fail, as a full disk does it.
 */
#ifndef CENOTE_TESTS_CRASH_DISK_H
#define CENOTE_TESTS_CRASH_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_PATH_MAX 96u

enum disk_file { DISK_DATA, DISK_STATE, DISK_FILES };

enum disk_kind {
    DISK_WRITE,
    DISK_SIZE,     /* at_bytes: the new size */
    DISK_SYNC,     /* of all of the file */
    DISK_COME,     /* the file's name, and it is empty; none goes while a pool lives */
    DISK_SYNC_DIR, /* the names of both */
};

struct disk_op {
    enum disk_kind kind;
    enum disk_file file;
    bool durable; /* a write: it is on stable storage when it returns */
    uint64_t at_bytes;
    size_t len_bytes;
    uint8_t *bytes; /* of a write */
};

struct disk_record {
    struct disk_op *ops;
    size_t count, room;
};

/* The directory that is watched, while nothing is recorded yet. NULL: none. */
void disk_watch(const char *dir);
/* What is done from now on goes into the record, or (NULL) doesn't. */
void disk_record_to(struct disk_record *record);
/* Operations in it so far. */
size_t disk_recorded(const struct disk_record *record);
void disk_record_free(struct disk_record *record);

/* Of the operations on a watched directory that take space (writes and sizes), and of syncs: those
 * from number first on fail, count of them, with an errno; a write that fails with ENOSPC may have
 * been cut short. Counting begins anew. */
void disk_fail(unsigned first, unsigned count, int error, bool syncs_too);
/* So many were counted. */
unsigned disk_counted(void);

#endif
