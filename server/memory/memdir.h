/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named memory: segments that outlive the node's process, so that its next one finds the values.
 *
 *   MEMORY-DIR/segment-RANDOM    one file a segment, on tmpfs or hugetlbfs
 *   STATE-DIR/state              what the files hold, written anew as a whole and renamed
 *   STATE-DIR/directory          of the extents (node/directory.h)
 *   STATE-DIR/notes              of the service (meta/stub/rebuild.h)
 *   STATE-DIR/slots/             who may still be writing (transport/shm/keep.h)
 *
 * STATE-DIR is MEMORY-DIR unless that is a hugetlbfs, where files can't be written to.
 *
 * Contents are a set of segments with the incarnations and addresses that a pool gave them. They
 * are taken over as a whole or not at all: a state that is damaged, of another kernel, of other
 * lengths, or that misses a file, is nothing, and a new set of files is made. A file is never used
 * for a second set: its name is drawn anew, and the old one is unlinked, so that whoever has mapped
 * it can't reach the new one.
 *
 * Both directories are locked (flock) as long as the process lives. The kernel gives the lock back
 * when the last thread of the owner has given up its descriptors; by then none of them is in the
 * midst of copying to the memory.
 *
 * Thread-safe apart from opening and closing.
 */
#ifndef CENOTE_SERVER_MEMDIR_H
#define CENOTE_SERVER_MEMDIR_H

#include "meta/stub/messages.h"

#define MEMDIR_POOL_BYTES 16u

struct memdir;

struct memdir_segment {
    uint64_t len_bytes;
    uint64_t populated_bytes; /* from the start of the segment */
    uint64_t incarnation;
    struct gva gva;
    uint64_t file; /* in its name */
};

struct memdir_state {
    uint8_t pool[MEMDIR_POOL_BYTES]; /* that gave the incarnations */
    uint64_t highest_reign;
    uint64_t service_life; /* in that reign; 0: not known */
    uint32_t segment_count;
    struct memdir_segment segments[SEGMENTS_MAX];
};

/* Makes the directories where they don't exist, and locks them. state_dir "": dir. CENOTE_OK;
 * CENOTE_LOCKED (another process has them), CENOTE_INVALID (they hold another node's memory),
 * CENOTE_NOT_SUPPORTED (not in memory), CENOTE_IO, CENOTE_NO_MEMORY; logged. */
int memdir_open(const char *dir, const char *state_dir, const char *node_name, struct memdir **out);
/* Unlocks. Contents that were never part of a pool are removed. */
void memdir_close(struct memdir *d);

/* Length of the huge pages of a hugetlbfs; 0: it is a tmpfs. */
uint64_t memdir_page_bytes(const struct memdir *d);
const char *memdir_slots(const struct memdir *d);

/* The contents of an earlier life, if it had segments of exactly these lengths. CENOTE_OK;
 * CENOTE_NOT_FOUND: there is nothing to take over, and if there was something, a warning says why
 * it is none; CENOTE_IO, logged: it can't be looked at now. */
int memdir_recall(struct memdir *d, const uint64_t *lens_bytes, uint32_t count,
                  struct memdir_state *out);
/* Removes what is there and makes new files. CENOTE_OK, CENOTE_NO_SPACE, CENOTE_IO; logged. */
int memdir_renew(struct memdir *d, const uint64_t *lens_bytes, uint32_t count);
/* A descriptor of a segment's file; it is the caller's. CENOTE_IO: there is none; logged. */
int memdir_segment(const struct memdir *d, uint32_t segment);

/* A descriptor of the directory's file, which goes with the contents; it is the caller's.
 * CENOTE_IO: there is none; logged. */
int memdir_directory(const struct memdir *d);

/* What the service has asked the node to keep, in place of what there was; it goes with the
 * contents. CENOTE_OK or CENOTE_IO, logged. */
int memdir_note(struct memdir *d, const void *notes, size_t len_bytes);
/* The same of an earlier life; malloced. False: there is nothing that can be believed. */
bool memdir_notes(const struct memdir *d, void **notes, size_t *len_bytes);

/* What a pool said: from now on the contents can be taken over. CENOTE_OK or CENOTE_IO, logged. */
int memdir_name(struct memdir *d, const struct memdir_state *state);
/* Before the bytes are offered, so that the next life knows of all that a pool may use. CENOTE_OK
 * or CENOTE_IO, logged. */
int memdir_set_populated(struct memdir *d, uint32_t segment, uint64_t bytes);
/* The contents have ended: removes all files. */
void memdir_clear(struct memdir *d);

#endif
