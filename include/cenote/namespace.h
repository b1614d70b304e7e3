/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file namespace.h
 * Namespaces: quotas, defaults, and their beginning and end.
 *
 * Concepts
 *   namespace  keys of different namespaces never meet. One comes into being with the first client
 *              that is opened in it, without any settings, or by cenote_namespace_create().
 *   quota      how many bytes and values a namespace may hold, replicas, checksums and puts under
 *              way included. A put beyond it evicts values of the namespace, and answers
 *              CENOTE_QUOTA when none may go. When the pool is full, a namespace that holds its
 *              fair share or more gives for its own puts first.
 *   settings   quotas, the ttl of values whose put doesn't say, and how much may be pinned hard
 *              (policy.h). They may be changed at any time; a quota below what is there evicts the
 *              namespace down to it.
 *
 * Caveats
 *   - In a pool with several services every one has all namespaces, and settings are for each: with
 *     quotas of 1 GiB and four services a namespace may hold 4 GiB. Fix: divide quotas by the
 *     number of services.
 *   - A service that comes into the pool later knows of settings only when they are set again.
 *   - Everybody who may talk to the service may change its namespaces. Fix: keep strangers away
 *     from the control port.
 *   - cenote_namespace_clear() and cenote_remove_prefix() go from the first key to the last, a few
 *     hundred at a time, and nobody waits for them: what is put meanwhile may stay.
 *
 * Threads: all functions may be called from any thread at once on one client, whatever namespace it
 * was opened in.
 */
#ifndef CENOTE_NAMESPACE_H
#define CENOTE_NAMESPACE_H

#include <cenote/cenote.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What an operator says of a namespace; of each service. Zero-fill, then set what differs. */
struct cenote_namespace_settings {
    uint64_t quota_bytes;     /**< 0: as much as there is room for */
    uint64_t quota_objects;   /**< 0: likewise */
    uint64_t ttl_ms;          /**< of values whose put doesn't say; 0: none */
    uint64_t pin_limit_bytes; /**< of hard pins; 0: half of quota_bytes, or of the pool */
};

/** A namespace. */
struct cenote_namespace {
    char name[CENOTE_NAMESPACE_MAX + 1];
    struct cenote_namespace_settings settings; /**< of the first service that has it */
    /** Of all services, in all replicas, with checksums; values that are being put count. */
    uint64_t used_bytes, used_objects;
    uint64_t pinned_bytes; /**< of these, pinned hard */
    /** Above the quotas: this is going to be evicted. */
    uint64_t excess_bytes, excess_objects;
    uint32_t services; /**< that have it */
};

/**
 * Makes a namespace, at all services.
 * @param settings  NULL: none.
 * @return CENOTE_OK; CENOTE_EXISTS (all services have it; nothing changed), CENOTE_INVALID (the
 *         name, or a ttl beyond CENOTE_TTL_MAX_MS), CENOTE_LIMIT (too many namespaces),
 *         CENOTE_UNAVAILABLE, CENOTE_UNKNOWN. After an error some services may have it: call again.
 */
CENOTE_API int cenote_namespace_create(struct cenote *client, const char *name,
                                       const struct cenote_namespace_settings *settings);

/**
 * Sets all settings of a namespace, at all services.
 * @return as cenote_namespace_create(); CENOTE_NOT_FOUND: no service has it.
 */
CENOTE_API int cenote_namespace_set(struct cenote *client, const char *name,
                                    const struct cenote_namespace_settings *settings);

/**
 * Lists the namespaces in the order of their names.
 * @param[out] list   the caller frees it with free().
 * @param[out] count  of its elements.
 * @return CENOTE_OK or an error.
 */
CENOTE_API int cenote_namespaces(struct cenote *client, struct cenote_namespace **list,
                                 size_t *count);

/**
 * Removes all values of a namespace, in steps as cenote_remove_prefix() does. The namespace and its
 * settings stay.
 * @param[out] removed  how many; also set on failure. May be NULL.
 * @return CENOTE_OK; CENOTE_NOT_FOUND: there is no such namespace; or the error that stopped it.
 */
CENOTE_API int cenote_namespace_clear(struct cenote *client, const char *name, uint64_t *removed);

/**
 * Removes a namespace of which nothing is left, at all services.
 * @return CENOTE_OK; CENOTE_NOT_FOUND; CENOTE_IN_USE: it still has values, clients, or memory in
 *         quarantine (clear it, close them, and try again a lease later); CENOTE_INVALID: the name,
 *         or "default", which stays; CENOTE_UNAVAILABLE, CENOTE_UNKNOWN.
 */
CENOTE_API int cenote_namespace_remove(struct cenote *client, const char *name);

/**
 * Removes all keys that begin with a prefix: lists them and removes them, a few hundred at a time.
 * Keys that are put meanwhile may stay.
 * @param prefix  may be NULL with length 0: every key of the client's namespace.
 * @param[out] removed  how many; also set on failure. May be NULL.
 * @return CENOTE_OK, or the error that stopped it.
 */
CENOTE_API int cenote_remove_prefix(struct cenote *client, const void *prefix,
                                    size_t prefix_len_bytes, uint64_t *removed);

#ifdef __cplusplus
}
#endif
#endif
