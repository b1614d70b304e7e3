/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of core/store.h in a directory, on LMDB: a writer thread with group commit, completions
 * on the owner's thread.
 *
 * Durability. Every acknowledged change survives the death of the process. With STORE_SYNC it also
 * survives the death of the operating system; with STORE_PROCESS the disk is brought up to date in
 * the background, and after an OS crash the directory is refused (CENOTE_UNTRUSTED), because LMDB's
 * file may then be torn.
 *
 * Caveats:
 *   - No fork() while it is open: the child would share LMDB's locks. Fix: fork (and exec) first.
 *   - One process per directory, and not on a network file system: both are refused.
 *   - map_size_bytes is the most that the store can ever hold. It costs address space, no memory
 *     and no disk. Fix for a full store: remove objects, or start again with a larger map.
 */
#ifndef CENOTE_META_STORE_LMDB_H
#define CENOTE_META_STORE_LMDB_H

#include "meta/core/store.h"
#include "transport/base/trace.h"

#define STORE_MAP_DEFAULT_BYTES (UINT64_C(64) << 30)
#define STORE_MAP_MIN_BYTES     (UINT64_C(1) << 20)
#define STORE_FLUSH_DEFAULT_MS  1000u
/* Copies of changes that aren't over; beyond it those without "frees" are refused. */
#define STORE_QUEUE_MAX_BYTES   (UINT64_C(256) << 20)

/* Changes that are handed over without being asked: the writer shall begin while more come. */
#define STORE_GATHER_MAX 64u

enum store_durability { STORE_PROCESS = 0, STORE_SYNC = 1 };

struct store_lmdb_options {
    uint64_t map_size_bytes; /* 0: STORE_MAP_DEFAULT_BYTES */
    enum store_durability durability;
    uint32_t flush_ms;   /* STORE_PROCESS: from a change to its sync; 0: STORE_FLUSH_DEFAULT_MS */
    const char *boot_id; /* NULL: the kernel's (tests pretend a crash of the system) */
    /* Changes wait for store_lmdb_hand_over(), or until there are STORE_GATHER_MAX: an owner that
     * submits many in a row spares the writer small transactions, and both of them wake-ups. */
    bool gathers;
    /* Begins with an empty store: LMDB's file that is there, whatever it is, is set aside beside
     * the new one, in place of one that was set aside before. */
    bool anew;
    struct trace *trace; /* NULL: nobody traces */
};

/* Opens or creates the store in dir (made with mode 0700 if missing, not its parents). *out is only
 * written on success; the reason of a failure is logged (but for CENOTE_NO_MEMORY).
 *   CENOTE_INVALID    map_size_bytes is below STORE_MAP_MIN_BYTES
 *   CENOTE_LOCKED     somebody has it open, maybe this process
 *   CENOTE_READ_ONLY  the directory or its file system can't be written
 *   CENOTE_FORMAT     another format version, or data.mdb isn't this program's
 *   CENOTE_UNTRUSTED  STORE_PROCESS, no clean close, and another boot of the system since
 *   CENOTE_NOT_SUPPORTED  a network file system
 *   CENOTE_META_FULL  no space on the disk
 *   CENOTE_NO_MEMORY, CENOTE_IO */
int store_lmdb_open(const char *dir, const struct store_lmdb_options *options, struct store **out);

/* Readable when store_lmdb_dispatch() has something to do. Don't read it. */
int store_lmdb_fd(const struct store *s);

/* Calls done() of what is finished. Owner's thread. done() may submit, get and scan. */
void store_lmdb_dispatch(struct store *s);

/* With "gathers": gives the writer what was submitted. Owner's thread, when nothing more comes for
 * now. */
void store_lmdb_hand_over(struct store *s);

/* Waits until everything is finished and dispatched, also what the done()s submit meanwhile. */
void store_lmdb_drain(struct store *s);

/* Drains, makes all durable and notes that the store was closed cleanly. NULL is accepted. */
void store_lmdb_close(struct store *s);

#endif
