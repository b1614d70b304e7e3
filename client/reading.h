/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stripe, or a part of it, on its way into the caller's buffers: which replica is next, the
 * copy that fetches it, and the judgement of what arrived.
 *
 * Bytes are accepted only if the seal, read after them, is live and names what was looked up, and
 * (with sums) if what lies in the caller's buffers has the root that the service answered, or for a
 * part the sums of a list with that root (part.h). The lease is the business of get.c, since it is
 * the object's.
 */
#ifndef CENOTE_CLIENT_READING_H
#define CENOTE_CLIENT_READING_H

#include <stdbool.h>
#include <stdint.h>

#include "client/locate.h"
#include "client/part.h"
#include "client/slow.h"
#include "client/tally.h"
#include "transport/fabric.h"

/* What the stripes of one value share. */
struct reading_value {
    uint64_t put_id;
    bool sums; /* compare roots */
    const struct cenote_buffer *buffers;
    size_t buffer_count;
    void *sums_room; /* for the sums of a value of one stripe; NULL: they are allocated */
    size_t sums_room_bytes;
    struct tally *tally; /* NULL: nobody counts */
};

struct reading {
    uint32_t owner; /* the value's index in its batch */
    uint16_t stripe;
    bool accepted;
    uint8_t tried; /* bit for each replica */
    uint8_t seen;  /* enum reading_seen: why replicas were not accepted */
    uint32_t replicas;
    uint64_t offset, payload_len, root;
    uint64_t at, len_bytes; /* the part of the payload that is wanted */
    uint64_t skip_bytes;    /* of the value's buffers, before this part's */
    struct gva gva[REPLICAS_MAX];

    /* The replica being read, or the accepted one. */
    struct gva from;
    uint64_t incarnation;
    struct sums *sums; /* of a whole stripe */
    struct part *part; /* less than that, to be verified */
    uint8_t seal[SEAL_BYTES];
};

/* Until when bytes that arrive may be accepted after a lookup that was asked at this time. */
uint64_t reading_lease_end(uint64_t asked_ms, uint64_t lease_ms);

/* The service's answer names a stripe: begin it. All of it is wanted, into its place among the
 * value's buffers. */
void reading_begin(struct reading *r, uint32_t owner, uint16_t index, const struct stripe *s);
/* Only this part is wanted, which isn't empty; skip_bytes of the buffers lead to it. */
void reading_narrow(struct reading *r, uint64_t at, uint64_t len_bytes, uint64_t skip_bytes);

/* A fresh lookup names the same put again: the replicas may have changed, and all may be tried
 * again. An accepted stripe stays accepted if the replica that it came from is still the put's:
 * then that extent can't have been reused meanwhile. False: not the same stripe (broken answer). */
bool reading_again(struct reading *r, const struct stripe *s);

/* Are there replicas that haven't been tried, and are they all on no map? */
bool reading_needs_map(const struct reading *r, const struct locate *map);

/* What replicas are chosen by. */
struct reading_choice {
    const struct locate *map;
    struct slow *slow;
    uint64_t now_ms;
};

/* Chooses the next replica and fills the copy. CENOTE_OK; CENOTE_NOT_FOUND: none left, see
 * reading_failure(); CENOTE_NO_MEMORY. After CENOTE_OK the copy must be run and given to
 * reading_end(). */
int reading_next(struct reading *r, const struct reading_value *v,
                 const struct reading_choice *choice, struct fabric_req *copy);
/* Bytes of memory that the copy takes beside the caller's buffers; 0 for a whole stripe. */
uint64_t reading_memory(const struct reading *r, const struct reading_value *v);
/* After reading_next(): the bytes of this replica have been summed before, where they lie. */
void reading_waive_sums(struct reading *r, const struct reading_value *v, struct fabric_req *copy);
/* Which replica it chose. */
uint32_t reading_replica(const struct reading *r);
void reading_end(struct reading *r, const struct reading_value *v, const struct fabric_req *copy);

/* The status that tells best why no replica was accepted. */
int reading_failure(const struct reading *r);

/* Bytes are corrupt when they fail twice with a lookup between that names the same put: by right a
 * seal is void only after the last lookup that names its put. Is this failure the first of these?
 * *doubted, false for each new put, remembers it. What was read by a lookup from the cache doesn't
 * count: the service hasn't been asked yet. */
bool reading_is_doubtful(int failure, bool *doubted);

#endif
