/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extent allocator: which parts of one address range (one incarnation of a segment) are free.
 *
 * It hands out [offset, offset + size) and takes it back; offsets count from the start of the
 * range, which is aligned (GVA_ALIGN), so that an aligned offset is an aligned address. It knows
 * nothing of I/O and never touches the memory it manages, which lies on another machine. It is
 * derived: after a restart the service makes a new one, extends it to what the node offers and
 * rebuilds it from the extents that the database names.
 *
 * Only free ranges cost memory here, about 48 bytes each; used extents cost nothing. That is why
 * giving back may need memory: CENOTE_NO_MEMORY leaves everything as it was, the caller keeps the
 * extent (in quarantine) and tries again.
 *
 * One thread at a time. Errors that show a caller's or a database's mistake are logged here.
 */
#ifndef CENOTE_META_ALLOC_H
#define CENOTE_META_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

struct alloc;

struct alloc_range {
    uint64_t offset;
    uint64_t size;
};

/* Longest range. */
#define ALLOC_LENGTH_MAX (UINT64_C(1) << 59)

/* For a range of length bytes, 1 to ALLOC_LENGTH_MAX; nothing is available yet.
 * NULL: out of memory. */
struct alloc *alloc_new(uint64_t length);
/* Forgets everything, used or not; NULL is fine. */
void alloc_free_all(struct alloc *a);

/* Makes everything up to upto available (memory is offered while it is being populated); not
 * beyond the length, never backwards.
 * CENOTE_OK, CENOTE_BAD_RANGE, CENOTE_NO_MEMORY. */
int alloc_extend(struct alloc *a, uint64_t upto);

/* Takes size bytes (at least 1) at a multiple of align (a power of two): from the smallest free
 * range that holds them, of several the one with the lowest offset.
 * CENOTE_OK; CENOTE_NO_SPACE: no free range of size + align - 1 bytes, *offset is untouched (a
 * shorter range that happened to be aligned was looked for, but not for ever);
 * CENOTE_NO_MEMORY. */
int alloc_take(struct alloc *a, uint64_t size, uint64_t align, uint64_t *offset);

/* Marks all these ranges as used, where nothing is yet: the rebuild after a restart, with 10^7
 * ranges a few seconds. The array is sorted by offset on the way; 16 bytes a range are needed
 * beside it. Nothing changes unless it succeeds.
 * CENOTE_OK; CENOTE_INVALID: ranges bad - 1 and bad of the sorted array overlap (two owners), or
 * something is in use (*bad is count); CENOTE_BAD_RANGE: range bad is empty, or outside what is
 * available; CENOTE_NO_MEMORY. bad is written in the first two cases. */
int alloc_rebuild(struct alloc *a, struct alloc_range *used, uint64_t count, uint64_t *bad);

/* Marks a given range as used; a microsecond or so.
 * CENOTE_OK; CENOTE_INVALID: a part of it is in use already (two owners); CENOTE_BAD_RANGE: empty,
 * or outside what is available; CENOTE_NO_MEMORY. */
int alloc_reserve(struct alloc *a, uint64_t offset, uint64_t size);

/* The same for a range that isn't available yet: everything before it becomes available, and it
 * itself, used. Cheap where ranges follow each other. Its codes, and CENOTE_BAD_RANGE: a part of it
 * is available already. */
int alloc_reserve_behind(struct alloc *a, uint64_t offset, uint64_t size);

/* Makes a used range free. It need not be exactly one that was taken, but all of it must be used.
 * CENOTE_OK; CENOTE_INVALID: a part of it is free already (freed twice); CENOTE_BAD_RANGE: as
 * above; CENOTE_NO_MEMORY: see the top. */
int alloc_give(struct alloc *a, uint64_t offset, uint64_t size);

uint64_t alloc_length(const struct alloc *a);
/* What is available: free and used bytes together. */
uint64_t alloc_upto(const struct alloc *a);
uint64_t alloc_free_bytes(const struct alloc *a);
uint64_t alloc_used_bytes(const struct alloc *a);
/* Length of the largest free range; 0 when all is used. */
uint64_t alloc_largest_free(const struct alloc *a);
/* What the allocator itself occupies. */
uint64_t alloc_memory_bytes(const struct alloc *a);

/* The first free range that begins at or behind from; false: there is none. Going on from
 * offset + size visits all of them in order, and changes between two calls do no harm. */
bool alloc_next_free(const struct alloc *a, uint64_t from, struct alloc_range *range);

/* Is any byte of it free? */
bool alloc_any_free(const struct alloc *a, uint64_t offset, uint64_t size);

/* ---- what placement asks for ---- */

struct alloc_shape {
    uint64_t size;
    uint64_t align;
};

/* Room for an extent with this payload (at most EXTENT_PAYLOAD_MAX), seal and sums included. */
struct alloc_shape alloc_rounding(uint64_t payload_len);

/* The longest payload whose extent surely fits a free range of this length, wherever it begins:
 * with alloc_largest_free, how much of a value one more stripe can hold. 0: none. */
uint64_t alloc_payload_within(uint64_t range_len);

#endif
