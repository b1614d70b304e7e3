/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies on this node: one entry for each committed extent, in memory of the node's own, where
 * no client can write. The service sends the entries some time after the commits; a void drops the
 * extent's entry with its seal. When the service has lost its database it finds the objects again
 * with what the nodes have written down here.
 *
 * The memory is a file: one beside named memory, which the next process of the node takes over with
 * it, or an anonymous one. Nothing but kill -9 has to be survived, and what a process has stored is
 * in the file at once, in the order in which it was stored. So an entry is written where nothing
 * points to it, and becomes one with a single store, of its checksum; it ends with another one,
 * which makes the checksum 0. There is no moment at which half an entry counts.
 *
 *   header   4 KiB: magic, format, a random name of the file, their checksum
 *   chunks   64 KiB each: a header of 64 bytes, then slots of one size
 *
 * A chunk gets its slot size when it is taken (its memory is reserved, and zeroed, then), and gives
 * its memory back when its last entry goes. Checksums cover the file's name and the place, so that
 * bytes which a client has chosen (keys) are never taken for an entry of another place or time.
 *
 * In the process' own memory there are an index of the addresses and a few bytes for each chunk;
 * both are made again from the file. Nothing here ever pauses for the whole, apart from the end of
 * a round. Belongs to one thread.
 */
#ifndef CENOTE_SERVER_NODE_DIRECTORY_H
#define CENOTE_SERVER_NODE_DIRECTORY_H

#include "meta/stub/directory.h"

/* The file may grow to the length of the memory that the node donates, which it reaches only if
 * that is full of the smallest values; within these bounds. */
#define DIRECTORY_BYTES_MIN (UINT64_C(64) << 20)
#define DIRECTORY_BYTES_MAX (UINT64_C(128) << 30)

struct directory;

struct directory_range {
    struct gva gva;
    uint64_t len_bytes;
};

/* fd -1: an anonymous file; else it stays the caller's. Entries that are in the file stay if they
 * lie in one of the ranges; a file that isn't a directory's becomes an empty one. CENOTE_OK,
 * CENOTE_NO_MEMORY, CENOTE_NO_SPACE, CENOTE_IO; logged. */
int directory_open(int fd, uint64_t limit_bytes, const struct directory_range *ranges,
                   uint32_t count, struct directory **out);
/* Asked before the file gets longer by so many bytes: false when the machine can't spare them. */
void directory_ask(struct directory *d, bool (*may_grow)(void *arg, uint64_t bytes), void *arg);
/* The file stays as it is. NULL is accepted. */
void directory_close(struct directory *d);

/* Adds an entry, or puts it in the place of an older one of the same address. CENOTE_OK;
 * CENOTE_NO_SPACE (the limit is reached, or the system has no more), CENOTE_NO_MEMORY: then nothing
 * has changed. */
int directory_set(struct directory *d, const struct directory_entry *e);
/* Without an entry: nothing. */
void directory_drop(struct directory *d, struct gva gva);
/* What isn't set between these two is dropped by the second. A second begin begins again. */
void directory_round_begin(struct directory *d);
void directory_round_end(struct directory *d);

struct directory_sum directory_sum(const struct directory *d);
/* Bytes of the file that are in use: whole chunks. */
uint64_t directory_bytes(const struct directory *d);
/* The entry of an address; valid until the next change. False: there is none. */
bool directory_find(const struct directory *d, struct gva gva, struct directory_entry *out);
/* The first entry at or behind the cursor, which then leads behind it; 0 to begin. False: no more.
 */
bool directory_next(const struct directory *d, uint64_t *cursor, struct directory_entry *out);

#endif
