/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file async.h
 * Operations in the background: submit, go on, and fetch completions.
 *
 * Concepts
 *   submission  one batch of gets or puts, as of cenote_get_batch() and cenote_put_batch(), with
 *               one id and one completion. A batch of one is the normal case.
 *   in-flight   from the submission to the fetching of its completion. Up to CENOTE_FLIGHTS_MAX
 *               submissions of a client; they don't take a thread each. The first submission starts
 *               a thread in the background, and some that connect, at most four; they end with the
 *               client. They take no signals. In a pool with several services each has such threads
 *               of its own, and two more find the services; a submission may have keys of all.
 *   completion  tells the id, the submitter's own number, and a status. Before it is visible every
 *               item has its status, and nothing touches the items or their buffers any more.
 *   descriptor  cenote_completion_fd() is readable while completions wait: put it into poll(2),
 *               epoll(7) or an event loop, and fetch when it says so.
 *
 * Caveats
 *   - Items, keys, the lists of buffers and the buffers are used until the completion, not until
 *     the submission returns. Fix: keep them where the completion finds them (user_data).
 *   - Completions come in no particular order, and operations on one key are not ordered among each
 *     other by their submission. Fix: submit the second when the first has completed.
 *   - A submission counts until its completion was fetched. Fix: fetch, also what was cancelled.
 *   - With a deadline that is over, or cancelled, a put that was just about to become visible ends
 *     with CENOTE_UNKNOWN. Fix: ask, or put again.
 *
 * Threads: all functions may be called from any thread at once, beside all others of the client.
 * Each completion is fetched by exactly one thread. In a forked child they answer CENOTE_FORKED.
 */
#ifndef CENOTE_ASYNC_H
#define CENOTE_ASYNC_H

#include <cenote/cenote.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most submissions of a client in flight. */
#define CENOTE_FLIGHTS_MAX 65536u

struct cenote_policy;

/** How a submission is carried out; zero-fill, then set what differs. */
struct cenote_submit {
    uint32_t deadline_ms; /**< from now on; then it completes with CENOTE_TIMED_OUT. 0: when the
                               call that waits would end, see cenote_options.timeout_ms */
    uint64_t user_data;   /**< comes back in the completion */
    /** Of puts: how the values are kept, see policy.h; copied. NULL: like those of
     * cenote_put_batch(). */
    const struct cenote_policy *policy;
};

/** The end of a submission. */
struct cenote_completion {
    uint64_t id;
    uint64_t user_data;
    int status; /**< as the batch call returns it */
};

/**
 * Submits a batch of gets. An error of the call means that nothing was submitted, and no status is
 * set.
 * @param items   stay the client's until the completion, with all that they point at.
 * @param count   1 to CENOTE_BATCH_MAX.
 * @param options NULL for the defaults; copied.
 * @param[out] id names the submission; never 0, never used again. May be NULL.
 * @return CENOTE_OK: a completion follows. CENOTE_LIMIT (CENOTE_FLIGHTS_MAX are in flight),
 *         CENOTE_INVALID, CENOTE_KEY_SIZE, CENOTE_VALUE_SIZE, CENOTE_NO_MEMORY.
 */
CENOTE_API int cenote_submit_get(struct cenote *client, struct cenote_get_item *items, size_t count,
                                 const struct cenote_submit *options, uint64_t *id);

/**
 * Submits a batch of puts, like cenote_submit_get().
 * @param flags  as of cenote_put_batch().
 * @return as cenote_submit_get().
 */
CENOTE_API int cenote_submit_put(struct cenote *client, struct cenote_put_item *items, size_t count,
                                 unsigned flags, const struct cenote_submit *options, uint64_t *id);

/**
 * Asks that a submission ends soon. Its completion comes as ever, with CENOTE_CANCELLED for items
 * that had not ended by then: a get has fetched nothing that counts, a put is taken back, or ends
 * with CENOTE_UNKNOWN if it was just about to become visible.
 * @return CENOTE_OK; CENOTE_NOT_FOUND: there is no such submission, or it has completed already.
 */
CENOTE_API int cenote_cancel(struct cenote *client, uint64_t id);

/**
 * The descriptor that is readable (POLLIN) while completions wait. It is the client's: don't read
 * from it, and don't close it. It is the same for the whole life of the client.
 * @return a descriptor, or a negative status: CENOTE_NO_MEMORY.
 */
CENOTE_API int cenote_completion_fd(struct cenote *client);

/**
 * Fetches completions.
 * @param[out] out  has room for max.
 * @param wait_ms   waits so long for the first one; 0: not at all.
 * @return how many were fetched, 0 to max, or a negative status: CENOTE_INVALID.
 */
CENOTE_API int cenote_completions(struct cenote *client, struct cenote_completion *out, size_t max,
                                  uint32_t wait_ms);

#ifdef __cplusplus
}
#endif
#endif
