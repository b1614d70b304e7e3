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
 *   writer  a value of known length that is put range by range, in any order and from any threads,
 *           each byte once, and that becomes visible as a whole when it is committed: a block of
 *           an attention cache, say, of which one layer after the other is computed. Every range
 *           goes to all replicas at once.
 *
 * Caveats
 *   - A range that begins or ends inside a chunk costs the transfer of the whole chunk. Fix: cut
 *     values so that what is read alone begins at multiples of 64 KiB, or open the client with
 *     CENOTE_VERIFY_SEAL, which reads the wanted bytes only.
 *   - Two calls on one key may see two values if somebody replaces it in between. Fix: compare
 *     cenote_range_item.put_id.
 *   - From cenote_writer_open() to its commit a writer has the service's put time-out: 60 s, unless
 *     the service was started with another. Then the service ends the put, and commit answers
 *     CENOTE_ABORTED. It does so too when it must fence another put of this client that began
 *     later and didn't end well. Fix: put the value again.
 *   - A node that fails takes what was written to it along. With replicas the put goes on while
 *     each part of the value has one left. Fix: CENOTE_PUT_REPLICAS(), or put the value again.
 *   - Ranges that end inside a chunk of 64 KiB leave a part of it behind in memory of the writer
 *     until the rest of the chunk has come, CENOTE_WRITER_SCRATCH_MAX at most. Fix: where layers
 *     don't end at multiples of 64 KiB, write neighbours after each other.
 *
 * Threads: all functions may be called from any thread at once on one client, and
 * cenote_writer_write() on one writer; cenote_writer_commit() and cenote_writer_close() when no
 * other call on the writer is running.
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

/** A value that is being put range by range. Opaque; made by cenote_writer_open(), ended by
 *  cenote_writer_close(). */
struct cenote_writer;

/** Memory that one writer keeps for chunks of which only a part has come. */
#define CENOTE_WRITER_SCRATCH_MAX 67108864

/**
 * Begins to put a value: finds place for all of it.
 * @param len_bytes  of the whole value.
 * @param flags      enum cenote_put_flags, CENOTE_PUT_REPLICAS(), as in cenote_put().
 * @param[out] out   the writer; not touched on failure.
 * @return CENOTE_OK; CENOTE_EXISTS (the key is there: nothing needs to be written), and the errors
 *         of cenote_put().
 * Ownership: the caller's; end it with cenote_writer_close(), before the client is closed.
 */
CENOTE_API int cenote_writer_open(struct cenote *client, const void *key, size_t key_len_bytes,
                                  uint64_t len_bytes, unsigned flags, struct cenote_writer **out);

struct cenote_policy;

/**
 * The same of a value that is kept in its own way.
 * @param policy  see policy.h; copied. NULL: as cenote_writer_open() does.
 * @return as cenote_writer_open(), and the errors of cenote_put_with().
 */
CENOTE_API int cenote_writer_open_with(struct cenote *client, const void *key, size_t key_len_bytes,
                                       uint64_t len_bytes, unsigned flags,
                                       const struct cenote_policy *policy,
                                       struct cenote_writer **out);

/**
 * Writes some bytes of the value. Nobody sees them before the commit.
 * @param offset  of the first one in the value.
 * @return CENOTE_OK; CENOTE_INVALID (beyond the value's end, or some of these bytes were written
 *         before), CENOTE_LIMIT (CENOTE_WRITER_SCRATCH_MAX, or too many gaps), CENOTE_NO_MEMORY:
 *         nothing has changed, and the writer goes on. After any other error this put can't succeed
 *         any more: CENOTE_NODE_DOWN or CENOTE_TIMED_OUT (a part of the value has no replica left),
 *         CENOTE_ABORTED (the service has ended the put), CENOTE_FORKED.
 * The buffer is the caller's again when the call returns.
 */
CENOTE_API int cenote_writer_write(struct cenote_writer *writer, uint64_t offset, const void *data,
                                   size_t len_bytes);

/**
 * Makes the value visible, all of it at once.
 * @return CENOTE_INVALID while bytes are missing; then the writer goes on. Otherwise the put has
 *         ended, as cenote_put() says: CENOTE_OK, CENOTE_EXISTS (somebody else was faster),
 *         CENOTE_ABORTED and so on; asked again it answers the same.
 * The writer still has to be closed.
 */
CENOTE_API int cenote_writer_commit(struct cenote_writer *writer);

/**
 * Frees a writer. A put that wasn't committed is aborted: nothing of it was ever visible.
 * @param writer  pointer to the handle; set to NULL. NULL and a NULL handle are accepted.
 */
CENOTE_API void cenote_writer_close(struct cenote_writer **writer);

#ifdef __cplusplus
}
#endif
#endif
