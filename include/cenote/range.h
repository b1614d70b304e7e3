/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file range.h
 * Parts of values: gets of byte ranges, and puts that are written range by range.
 *
 * Concepts
 *   range   so many bytes of a value from an offset on. With CENOTE_VERIFY_FULL exactly the chunks
 *           (64 KiB each) that a range touches are read and checked against the list of checksums
 *           that lies behind the value, which is checked against the root that the service keeps.
 *           So a damaged byte fails the ranges that touch its chunk, and no others.
 *
 * Caveats
 *   - A range that begins or ends inside a chunk costs the transfer of the whole chunk. Fix: cut
 *     values so that what is read alone begins at multiples of 64 KiB, or open the client with
 *     CENOTE_VERIFY_SEAL, which reads the wanted bytes only.
 *   - Two calls on one key may see two values if somebody replaces it in between. Fix: compare
 *     cenote_range_item.put_id.
 *
 * Threads: all functions may be called from any thread at once on one client.
 */
#ifndef CENOTE_RANGE_H
#define CENOTE_RANGE_H

#include <stddef.h>
#include <stdint.h>

#include <cenote/cenote.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One range of a value: as many bytes as the pieces have together, which may be none. */
struct cenote_range_item {
    struct cenote_key key;
    uint64_t offset;
    const struct cenote_buffer *buffers; /**< filled in order */
    size_t buffer_count;
    uint64_t value_len_bytes; /**< out: of the whole value; also set with CENOTE_BAD_RANGE */
    uint64_t put_id;          /**< out: names the value that was read, as cenote_stat.put_id */
    int status;               /**< out */
};

/**
 * Fetches ranges of values: many of one value, of many values, or both. Ranges of one key that
 * follow each other share one lookup.
 * @param count  at most CENOTE_BATCH_MAX.
 * @return CENOTE_OK when every item is CENOTE_OK, otherwise the first error among the items, or an
 *         error of the whole call (then every status is set to it). An item's errors are those of
 *         cenote_get(), and CENOTE_BAD_RANGE: it reaches beyond the value's end.
 * After a failure the content of the item's buffers is undefined; other items aren't affected.
 */
CENOTE_API int cenote_get_ranges(struct cenote *client, struct cenote_range_item *items,
                                 size_t count);

#ifdef __cplusplus
}
#endif
#endif
