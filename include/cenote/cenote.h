/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file cenote.h
 * The client's interface to a Cenote pool: put, get and remove of immutable values.
 *
 * Concepts
 *   pool       memory donated by many nodes, with a metadata service that knows what lies where,
 *              or several, each for some of the keys.
 *   client     struct cenote: one session with each service, and this process's data connections.
 *              It is told of one service, and finds the others when it needs them.
 *   namespace  named when a client is opened; keys of different namespaces never meet.
 *   key        1 to 1024 bytes of any kind.
 *   value      0 bytes to the size of the pool, immutable. A put of a key that is there changes
 *              nothing and answers CENOTE_EXISTS (which a cache counts as success) unless
 *              CENOTE_PUT_REPLACE is given.
 *   get        looks the key up, then copies the bytes by a one-sided read straight into the
 *              caller's buffers and checks them: generation, address and, with CENOTE_VERIFY_FULL
 *              (the default), checksums kept by the service. Bytes that fail a check are reported
 *              as CENOTE_CORRUPT, never as success.
 *
 * Caveats
 *   - A value lives in memory only. If its node dies, it is gone: a get answers CENOTE_NOT_FOUND.
 *     Fix: put replicas (CENOTE_PUT_REPLICAS), treat the pool as a cache, or keep the source.
 *   - Replicas that are lost with their node aren't made anew: each death may leave one less. Fix:
 *     watch cenote_stat(), and put again with CENOTE_PUT_REPLACE.
 *   - A get remembers where it found a value, for as long as the service has leased it (5 s by
 *     default), and the next get of the key on the same client reads there without asking. It
 *     checks what it reads as ever: a get that begins after a replace or a remove was answered
 *     never returns the older value. But it doesn't notice that the service is away, or that the
 *     session has ended, before the lease has. Fix: if every get has to ask, cache_bytes = 1.
 *   - After a failed get the caller's buffers hold undefined bytes. Fix: look at the status first.
 *   - CENOTE_UNKNOWN from a changing call means that the answer was lost, and that asking for it
 *     again within the client's time-out was in vain. Fix: ask (cenote_exists), or put again: a put
 *     of a key that is there changes nothing. Every other error means that nothing was changed.
 *   - In a pool with several services one that is away takes its keys with it: their calls answer
 *     CENOTE_UNAVAILABLE, cenote_list() and cenote_exists() as a whole. CENOTE_WRONG_SHARD means
 *     that the services don't agree on who owns a key: while the operator moves slots, or by
 *     mistake. Fix: try again later.
 *   - After fork() a handle is dead in the child: every call answers CENOTE_FORKED, except
 *     cenote_close(). Fix: open a client of its own in the child.
 *   - The shm transport maps the nodes' memory: a process that may use it is trusted like the node
 *     (same user). Fix: run strangers under other users, or with CENOTE_TRANSPORT_TCP.
 *   - RDMA is for a fabric whose machines trust each other: the node's CPU sees nothing of a copy,
 *     and the NIC checks remote keys, not namespaces and write grants. Whoever is admitted to a
 *     node by RDMA, or forges packets on its network, can read and write all that it donates. Fix:
 *     a network of its own for RDMA; cenoted --rdma none where strangers are served.
 *
 * Threads: all functions may be called from any thread at once on one client, except
 * cenote_close(), which must be the last call. A call uses the calling thread only; async.h has
 * those that go on in the background.
 *
 * Errors: functions return 0 or a negative enum cenote_status. Outputs are written on success only,
 * unless a function says otherwise.
 */
#ifndef CENOTE_CENOTE_H
#define CENOTE_CENOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cenote/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Longest key, in bytes. */
#define CENOTE_KEY_MAX       1024
/** Most keys in one batch call. */
#define CENOTE_BATCH_MAX     4096
/** Longest name of a namespace, in bytes (letters, digits, '.', '_', '-'). */
#define CENOTE_NAMESPACE_MAX 64

/** A client. Opaque; made by cenote_open(), ended by cenote_close(). */
struct cenote;

/** How bytes travel. */
enum cenote_transport {
    /** shm where the node is on this host, rdma where both sides have devices that reach each
     * other, tcp otherwise */
    CENOTE_TRANSPORT_AUTO = 0,
    CENOTE_TRANSPORT_SHM = 1, /**< shared memory only: nodes elsewhere can't be reached */
    CENOTE_TRANSPORT_TCP = 2, /**< TCP only */
    CENOTE_TRANSPORT_RDMA = 3 /**< RDMA only */
};

/** How much of a value is checked before a get succeeds. */
enum cenote_verify {
    CENOTE_VERIFY_FULL = 0, /**< seal, and checksums of all bytes against the service's root */
    CENOTE_VERIFY_SEAL = 1  /**< seal only: the right extent of the right put, alive */
};

/** Options of cenote_open(); zero-fill, then set what differs. */
struct cenote_options {
    const char *meta; /**< "host:port" or "unix:PATH"; NULL: $CENOTE_META, then 127.0.0.1:7400 */
    const char *name_space; /**< NULL: "default" */
    enum cenote_transport transport;
    enum cenote_verify verify;
    /** Of one control call, of one connect, and of one copy without progress; 0: 10,000. Keep it
     * above the service's lease (5 s): a remove or a replace waits for leases where a node is away,
     * and one that isn't answered in time ends with CENOTE_UNKNOWN. */
    uint32_t timeout_ms;
    uint32_t replicas; /**< of puts whose flags don't say; 0: one */
    /** Most memory of the lookup cache; 0: 16 MiB, for some 100,000 keys. 1: none, every get
     * asks the service. */
    uint64_t cache_bytes;
    /** Which RDMA devices to use, and how, as cenoted's --rdma takes it: "auto", "none", or
     * "mlx5_0,mlx5_1,rails=2"; NULL: $CENOTE_RDMA, then "auto". A text that can't be read makes
     * cenote_open() answer CENOTE_INVALID, and is logged; devices are looked for later, when a node
     * is there that can be reached by them. Copied. */
    const char *rdma;
};

/** A key. */
struct cenote_key {
    const void *data;
    size_t len_bytes;
};

/** One piece of a scattered buffer. For a put the memory is only read. */
struct cenote_buffer {
    void *addr;
    size_t len_bytes;
};

/** One value of a batch put: the pieces, in order, are the value. */
struct cenote_put_item {
    struct cenote_key key;
    const struct cenote_buffer *buffers;
    size_t buffer_count;
    int status; /**< out: CENOTE_OK, CENOTE_EXISTS or an error */
};

/** One value of a batch get: the pieces are filled in order. */
struct cenote_get_item {
    struct cenote_key key;
    const struct cenote_buffer *buffers;
    size_t buffer_count;
    uint64_t len_bytes; /**< out: the value's length; also set with CENOTE_BUFFER_SIZE */
    int status;         /**< out */
};

/** What is known of a value. */
struct cenote_stat {
    uint64_t len_bytes;
    uint64_t put_id;     /**< names this value of the key; never reused by its service */
    uint64_t created_ms; /**< service's wall clock at commit, since 1970; for people only */
    uint32_t stripes;
    uint32_t replicas; /**< that live, of the stripe with the fewest; see cenote_places() */
    bool has_sums; /**< false: stored without checksums, CENOTE_VERIFY_FULL checks the seal only */
};

/** Longest name of a node, and of a zone, in bytes. */
#define CENOTE_NODE_NAME_MAX 64
#define CENOTE_ZONE_MAX      127

/** One replica of one stripe of a value. */
struct cenote_place {
    uint64_t offset; /**< of the stripe in the value */
    uint64_t len_bytes;
    char node[CENOTE_NODE_NAME_MAX + 1]; /**< its name; empty: it has just left the pool */
    char zone[CENOTE_ZONE_MAX + 1];      /**< empty: it has no label */
};

/** One entry of a listing. */
struct cenote_list_entry {
    struct cenote_key key; /**< memory of the listing */
    uint64_t len_bytes;
    uint64_t put_id;
};

/** A page of a listing. Zero-fill before the first call. */
struct cenote_list {
    struct cenote_list_entry *entries;
    size_t count;
    bool more;      /**< another call brings the next page */
    void *private_; /**< cursor and memory */
};

/** Flags of puts; add CENOTE_PUT_REPLICAS(n) for a number of replicas. */
enum cenote_put_flags {
    CENOTE_PUT_REPLACE = 1,            /**< the new value takes the place of an older one */
    CENOTE_PUT_REPLICAS_MASK = 15 << 8 /**< where CENOTE_PUT_REPLICAS() lies */
};

/** So many copies of the value, on as many nodes, in different zones where there are such: 1 to
 *  CENOTE_REPLICAS_MAX; 0: as many as cenote_options.replicas says. With fewer nodes alive a put
 *  answers CENOTE_NO_NODES and stores nothing. A node that fails during the put costs its copy: the
 *  put succeeds as long as one is left. Every get takes whichever copy it can. */
#define CENOTE_PUT_REPLICAS(n) ((unsigned)(n) << 8)
/** Most replicas of a value. */
#define CENOTE_REPLICAS_MAX    8

/**
 * Opens a client: connects to the metadata service and begins a session.
 *
 * @param options  NULL for the defaults; copied.
 * @param[out] out the client; not touched on failure.
 * @return CENOTE_OK; CENOTE_INVALID (an option, or a host that isn't known), CENOTE_UNAVAILABLE
 *         (nobody answers at the endpoint), CENOTE_VERSION, CENOTE_PROTOCOL (something else answers
 *         there), CENOTE_DENIED, CENOTE_LIMIT (too many sessions), CENOTE_NO_MEMORY,
 *         CENOTE_NOT_SUPPORTED (a kernel before 4.14).
 * Ownership: the caller's; end it with cenote_close(). Any thread.
 */
CENOTE_API int cenote_open(const struct cenote_options *options, struct cenote **out);

/**
 * Ends the session, closes the connections and frees the client. Operations in the background are
 * cancelled before it returns; their completions are lost, their items have a status, and nothing
 * touches their buffers any more.
 * @param client  pointer to the handle; set to NULL. NULL and a NULL handle are accepted.
 * No other call on the client may be running or follow.
 */
CENOTE_API void cenote_close(struct cenote **client);

/**
 * Stores one contiguous value.
 * @param flags  enum cenote_put_flags, CENOTE_PUT_REPLICAS().
 * @return CENOTE_OK (stored and visible to all), CENOTE_EXISTS (key was there, nothing changed),
 *         CENOTE_NO_SPACE, CENOTE_VALUE_SIZE, CENOTE_KEY_SIZE, CENOTE_NO_NODES (fewer than
 *         replicas), CENOTE_UNAVAILABLE,
 *         CENOTE_UNKNOWN, CENOTE_TIMED_OUT, CENOTE_NODE_DOWN (no node took the bytes),
 *         CENOTE_ABORTED (the put, or the client's session, ended meanwhile: put again),
 *         CENOTE_LIMIT (too many puts are pending), CENOTE_INVALID, CENOTE_NO_MEMORY.
 * The buffer is the caller's again when the call returns.
 */
CENOTE_API int cenote_put(struct cenote *client, const void *key, size_t key_len_bytes,
                          const void *data, size_t len_bytes, unsigned flags);

/**
 * Copies one value into one contiguous buffer.
 * @param[out] len_bytes  the value's length, set with CENOTE_OK and CENOTE_BUFFER_SIZE; may be
 *                        NULL.
 * @return CENOTE_OK, CENOTE_NOT_FOUND, CENOTE_BUFFER_SIZE, CENOTE_CORRUPT, CENOTE_NODE_DOWN,
 *         CENOTE_UNAVAILABLE, CENOTE_TIMED_OUT. On failure the buffer's content is undefined.
 */
CENOTE_API int cenote_get(struct cenote *client, const void *key, size_t key_len_bytes,
                          void *buffer, size_t size_bytes, uint64_t *len_bytes);

/**
 * Stores many values; items[i].status tells of each.
 * @param count  at most CENOTE_BATCH_MAX.
 * @return CENOTE_OK when every item is CENOTE_OK or CENOTE_EXISTS, otherwise the first error among
 *         the items, or an error of the whole call (then every status is set to it).
 */
CENOTE_API int cenote_put_batch(struct cenote *client, struct cenote_put_item *items, size_t count,
                                unsigned flags);

/**
 * Fetches many values; items[i].status and items[i].len_bytes tell of each.
 * @return as cenote_put_batch(); a missing key is an error of its item.
 */
CENOTE_API int cenote_get_batch(struct cenote *client, struct cenote_get_item *items, size_t count);

/**
 * Removes keys. After CENOTE_OK no get that begins later finds the value that was removed. Waits
 * until readers that looked it up before can't be reading it any more: for an answer of its node,
 * or for the lease. CENOTE_UNKNOWN when the answer is lost or late: ask, or remove again.
 * @param[out] statuses  one for each key: CENOTE_OK, CENOTE_NOT_FOUND or an error; may be NULL.
 * @return CENOTE_OK when every key was removed, otherwise the first error among them.
 */
CENOTE_API int cenote_remove(struct cenote *client, const struct cenote_key *keys, size_t count,
                             int *statuses);

/**
 * Tells which keys are there, in one call to the service for each 512 keys. Takes no lease.
 * @param[out] present  one for each key; may be NULL.
 * @param[out] prefix   how many leading keys are there without a gap; may be NULL.
 * @return CENOTE_OK, also when none is there, or an error.
 */
CENOTE_API int cenote_exists(struct cenote *client, const struct cenote_key *keys, size_t count,
                             bool *present, size_t *prefix);

/**
 * Tells what is known of a value.
 * @return CENOTE_OK, CENOTE_NOT_FOUND, or an error.
 */
CENOTE_API int cenote_stat(struct cenote *client, const void *key, size_t key_len_bytes,
                           struct cenote_stat *out);

/**
 * Tells where the replicas of a value lie, stripe by stripe.
 * @param[out] places  the list; the caller frees it with free().
 * @param[out] count   of places.
 * @return CENOTE_OK, CENOTE_NOT_FOUND, or an error.
 */
CENOTE_API int cenote_places(struct cenote *client, const void *key, size_t key_len_bytes,
                             struct cenote_place **places, size_t *count);

/**
 * Fetches the next page of the keys that begin with a prefix, in the order of their bytes (keys
 * that agree in their first 491 bytes come in no particular order among themselves; so do, among
 * the others, keys of a service that comes into the pool meanwhile).
 * @param prefix  may be NULL with length 0; the same at every call on one listing.
 * @param list    zero-filled before the first call; afterwards this call's to reuse.
 * @return CENOTE_OK; list->more says whether to call again.
 * Ownership: entries are valid until the next call on the listing or cenote_list_free().
 */
CENOTE_API int cenote_list(struct cenote *client, const void *prefix, size_t prefix_len_bytes,
                           struct cenote_list *list);

/**
 * Begins a listing behind a key: fetches its first page; cenote_list() the others. So a listing can
 * be gone on with that was freed, or that another process began. Keys of more than 491 bytes that
 * agree with it in the first 491 of them are left out, all.
 * @param after  the key, which need not be there; may be NULL with length 0: from the beginning.
 * @param list   zero-filled.
 * @return as cenote_list(); CENOTE_INVALID also for a listing that has begun.
 */
CENOTE_API int cenote_list_after(struct cenote *client, const void *prefix, size_t prefix_len_bytes,
                                 const void *after, size_t after_len_bytes,
                                 struct cenote_list *list);

/** Frees what a listing holds; a zero-filled one is accepted. Any thread. */
CENOTE_API void cenote_list_free(struct cenote_list *list);

/**
 * The state of the pool as a JSON text: service, nodes, segments, transports, capacity, quarantine.
 * With several services: epoch, capacity of all, and "shards" with such an object for each, its
 * number, slots and endpoint, and an "error" instead where it doesn't answer. "client" tells how
 * many views this client has open, and how many it may have.
 * @param[out] json  the text, NUL-terminated; the caller frees it with free().
 * @return CENOTE_OK or an error.
 */
CENOTE_API int cenote_pool_status(struct cenote *client, char **json);

/** What cenote_pool_fsck() does. */
enum cenote_fsck {
    CENOTE_FSCK_LOOK = 0,  /**< tells how far the check is that was begun last */
    CENOTE_FSCK_BEGIN = 1, /**< begins one, unless one is under way */
    CENOTE_FSCK_REPAIR = 2 /**< likewise, and what can be mended safely will be */
};

/**
 * Checks the pool: do the records of the metadata services agree with their tables and allocators,
 * and with the nodes' directories and seals? The services do it in small steps beside their work;
 * ask again, with CENOTE_FSCK_LOOK, until "over" is true in each element of the answer. Each
 * difference has a kind, a number, the first few, and how many were mended; "more" counts what
 * seemed odd, beyond the 1,024 of a kind that one check looks at again: repeat it.
 * @param what  one of enum cenote_fsck.
 * @param[out] json  an array with an object for each service, NUL-terminated; the caller frees it
 *                   with free().
 * @return CENOTE_OK or an error.
 */
CENOTE_API int cenote_pool_fsck(struct cenote *client, unsigned what, char **json);

/**
 * The library's version.
 * @return a static string, e.g. "0.1.0". Any thread.
 */
CENOTE_API const char *cenote_version(void);

#ifdef __cplusplus
}
#endif
#endif
