/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file policy.h
 * How long and how firmly values are kept: times to live, pins and groups.
 *
 * Concepts
 *   eviction   a pool that is full gives up what has been used least, one value after the other, so
 *              that there is always room for more. Its policy says what it gives up last, or never.
 *   ttl        time to live: a value is gone that long after its put was committed, or its ttl was
 *              set, whether it was used meanwhile or not. A namespace may have one for all values
 *              whose put doesn't say (namespace.h).
 *   soft pin   the value is evicted only when nothing else is left to evict; for some time, or as
 *              long as it is there.
 *   hard pin   the value is never evicted. What is pinned like that counts against a limit of its
 *              namespace; beyond it CENOTE_LIMIT.
 *   group      a name of up to CENOTE_GROUP_MAX bytes of any kind: values of one group in one
 *              namespace are evicted together, all or none, at most 1,024 of them.
 *
 * Caveats
 *   - Pins keep values from eviction, and from nothing else: they are removed, replaced and run out
 *     like others, and die with their node. Fix: no ttl for what is pinned; replicas.
 *   - Policies lie in the service's database. If that is lost and made anew from the nodes, values
 *     come back without. Fix: set them again, cenote_set_policy().
 *   - A put of a key that is there changes nothing, its policy neither. Fix: cenote_set_policy().
 *   - A group is kept by its firmest member, and one that is being read keeps all of it for so
 *     long. Fix: small groups of what is needed together, a prompt's blocks, say.
 *   - Times end by the service's clock, in steps of 128 ms, and never early. While the service is
 *     away they go on: what is over then is gone when it is back.
 *   - In a pool with several services each has the limit for itself, and a group's values are
 *     evicted together only as far as one service has them.
 *
 * Threads: all functions may be called from any thread at once on one client.
 */
#ifndef CENOTE_POLICY_H
#define CENOTE_POLICY_H

#include <cenote/cenote.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Longest ttl, and time of a soft pin: ten years. */
#define CENOTE_TTL_MAX_MS 315576000000
/** Longest name of a group, in bytes. */
#define CENOTE_GROUP_MAX  64

/** How firmly a value is kept. */
enum cenote_pin {
    CENOTE_PIN_NONE = 0, /**< evicted when its turn comes */
    CENOTE_PIN_SOFT = 1, /**< evicted when nothing else is left */
    CENOTE_PIN_HARD = 2  /**< never evicted */
};

/** How values are kept; zero-fill, then set what differs. */
struct cenote_policy {
    uint64_t ttl_ms;   /**< 0: none, or the namespace's; at most CENOTE_TTL_MAX_MS */
    uint32_t pin;      /**< enum cenote_pin */
    uint64_t pin_ms;   /**< of a soft pin: for so long, then it is none. 0: as long as the value is
                          there. At most CENOTE_TTL_MAX_MS */
    const void *group; /**< may be NULL with length 0: in no group */
    size_t group_len_bytes;
};

/** Parts of a policy. */
enum cenote_policy_fields {
    CENOTE_POLICY_TTL = 1,
    CENOTE_POLICY_PIN = 2, /**< pin and pin_ms */
    CENOTE_POLICY_GROUP = 4,
    CENOTE_POLICY_ALL = 7
};

/**
 * Stores many values that are kept in the same way, like cenote_put_batch().
 * @param policy  NULL: as cenote_put_batch() does.
 * @return as cenote_put_batch(), and CENOTE_INVALID for a policy that there can't be (a time beyond
 *         its limit, an unknown pin, pin_ms without a soft pin, a group that is too long). Items
 *         may have CENOTE_LIMIT: more hard pins than the namespace may have, or a full group.
 */
CENOTE_API int cenote_put_with(struct cenote *client, struct cenote_put_item *items, size_t count,
                               unsigned flags, const struct cenote_policy *policy);

/**
 * Changes how values are kept that are there. Times count from now on.
 * @param policy   not NULL.
 * @param fields   enum cenote_policy_fields: what to change; the rest stays as it is.
 * @param[out] statuses  one for each key: CENOTE_OK, CENOTE_NOT_FOUND, CENOTE_LIMIT or another
 *                       error; may be NULL.
 * @return CENOTE_OK when all were changed, otherwise the first error among them; CENOTE_INVALID as
 *         cenote_put_with(), or for unknown fields, or none. CENOTE_UNKNOWN when an answer was
 *         lost: set it again.
 */
CENOTE_API int cenote_set_policy(struct cenote *client, const struct cenote_key *keys, size_t count,
                                 const struct cenote_policy *policy, unsigned fields,
                                 int *statuses);

/** How a value is kept at present. */
struct cenote_kept {
    uint64_t ttl_left_ms; /**< 0: it has none */
    uint32_t pin;         /**< enum cenote_pin */
    uint64_t pin_left_ms; /**< of a soft pin; 0: as long as the value is there */
    size_t group_len_bytes;
    unsigned char group[CENOTE_GROUP_MAX];
};

/**
 * Tells how a value is kept.
 * @return CENOTE_OK, CENOTE_NOT_FOUND, or an error.
 */
CENOTE_API int cenote_get_policy(struct cenote *client, const void *key, size_t key_len_bytes,
                                 struct cenote_kept *out);

#ifdef __cplusplus
}
#endif
#endif
