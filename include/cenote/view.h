/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file view.h
 * Looking at values where they lie, without a copy.
 *
 * Views: a view is a pointer into the memory of a node on this machine, reached by shared memory.
 * It costs the same for any size. The bytes at it are those of one put and don't change until the
 * view is released, whatever happens meanwhile: the key may be removed or replaced, the service may
 * be away, the node may be killed. What is looked at is never given to others; its space comes back
 * to the pool when the last view of it is released.
 *
 * Caveats of views
 *   - A view that isn't released keeps its space for ever (cenote_pool_status() shows it as held).
 *     Fix: release views. The death of the process releases all of them, and so does
 *     cenote_close().
 *   - Views end with their client: after cenote_close() the memory isn't mapped any more. Fix:
 *     release first.
 *   - Nor is it mapped in a child after fork(). Fix: copy what the child needs, or open a client
 *     there.
 *   - The memory is mapped for writing, since puts go the same way; whoever writes through a view
 *     damages the value for all. Fix: leave it const.
 */
#ifndef CENOTE_VIEW_H
#define CENOTE_VIEW_H

#include <cenote/cenote.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most views of one client at a time. */
#define CENOTE_VIEWS_MAX 4096

/** A value, looked at where it lies. Zero-filled: none. */
struct cenote_view {
    const void *data; /**< never NULL, also of an empty value; aligned to 16 bytes */
    uint64_t len_bytes;
    uint64_t put_id; /**< names this value of the key; see struct cenote_stat */
    void *private_;  /**< what to release */
};

/**
 * Opens a view of a value. With CENOTE_VERIFY_FULL its bytes are summed where they lie.
 * @param[out] out  the view; it must be released. Not touched on failure.
 * @return CENOTE_OK, CENOTE_NOT_FOUND, CENOTE_NOT_SUPPORTED (no replica can be reached by shared
 *         memory, or the value is striped over several extents: get it), CENOTE_LIMIT (too many
 *         views are open), CENOTE_CORRUPT, CENOTE_NODE_DOWN, CENOTE_UNAVAILABLE, CENOTE_TIMED_OUT,
 *         CENOTE_KEY_SIZE, CENOTE_INVALID, CENOTE_NO_MEMORY.
 * Any thread.
 */
CENOTE_API int cenote_view_get(struct cenote *client, const void *key, size_t key_len_bytes,
                               struct cenote_view *out);

/**
 * Ends a view: nothing may read its bytes any more.
 * @param client  the one that opened it, or NULL when that has been closed.
 * @param view    zero-filled by this. NULL and a zero-filled one are accepted, and so is a copy of
 *                one that has been released.
 * Any thread. It may be another than the one that opened the view.
 */
CENOTE_API void cenote_view_release(struct cenote *client, struct cenote_view *view);

#ifdef __cplusplus
}
#endif
#endif
