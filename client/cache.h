/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lookup cache: what the service answered about a key, until the lease on it ends.
 *
 * It spares a get the call to the service, and nothing else: whoever reads by an answer from here
 * judges what he reads as strictly as with a fresh one (the seal read after the bytes, the sums'
 * root, the lease's end by a clock read after the transfer), and where it fails drops the entry and
 * asks. So an entry may be out of date at any time and does no harm: a value that was replaced or
 * removed has a void seal, or its lease has run out, before the replace or the remove is answered.
 * An answer whose lease has ended is never given out; it leaves when a newer one comes, or by
 * eviction, and until then only what was noted of it counts.
 *
 * Looking up takes no lock. Thread-safe.
 */
#ifndef CENOTE_CLIENT_CACHE_H
#define CENOTE_CLIENT_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include <cenote/cenote.h>

#include "meta/stub/messages.h"

/* Values with more stripes are looked up each time: their copy takes longer than any call. */
#define CACHE_STRIPES_MAX   4u
#define CACHE_BYTES_DEFAULT (UINT64_C(16) << 20)

struct cache;

/* A lookup's answer. */
struct cache_found {
    uint64_t put_id;
    uint64_t len_bytes;
    uint64_t lease_end_ms; /* on this client's monotonic clock */
    uint32_t sum_kind;
    uint32_t verified; /* what cache_verify() noted */
    uint32_t stripe_count;
    struct stripe stripes[CACHE_STRIPES_MAX]; /* their grants mean nothing */
};

/* Entries and table together take limit_bytes at most; one that is too small for anything keeps
 * nothing. NULL: no memory. */
struct cache *cache_new(uint64_t limit_bytes);
/* No call may be running. In a forked child what a thread of the parent was changing stays. */
void cache_free(struct cache *c);

/* False: not known, or its lease has ended at now_ms (or earlier). */
bool cache_find(struct cache *c, const struct cenote_key *key, uint64_t now_ms,
                struct cache_found *out);
/* Remembers an answer, unless a newer one is known. It may be forgotten at any time. */
void cache_add(struct cache *c, const struct cenote_key *key, const struct cache_found *found);
/* Forgets the key: only the answer that names this put, or, with 0, whichever. */
void cache_drop(struct cache *c, const struct cenote_key *key, uint64_t put_id);
/* Forgets everything. */
void cache_clear(struct cache *c);

/* Notes of the answer that names this put, if it is known: bit i says that all bytes of the first
 * stripe have been summed by this client where replica i lies. A newer answer about the same put
 * and the same replicas keeps the notes. */
void cache_verify(struct cache *c, const struct cenote_key *key, uint64_t put_id, uint32_t bits);
/* The notes of an answer that has just come, from when the same put was known at the same places,
 * with whatever lease. */
uint32_t cache_verified(struct cache *c, const struct cenote_key *key,
                        const struct cache_found *found);

#endif
