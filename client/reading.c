/* SPDX-License-Identifier: Apache-2.0 */
#include "client/reading.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define MODULE "get"

/* What the reader's clock may lose against the service's, in a lease: 1/128, and one tick. */
#define LEASE_DRIFT_PART 128u

enum reading_seen {
    SEEN_BAD = 1,       /* arrived, and failed verification */
    SEEN_DOWN = 2,      /* not reachable */
    SEEN_LATE = 4,      /* no progress in time */
    SEEN_NO_MEMORY = 8, /* this process */
    SEEN_ADDRESS = 16   /* the caller's memory isn't there */
};

uint64_t reading_lease_end(uint64_t asked_ms, uint64_t lease_ms)
{
    uint64_t margin_ms = lease_ms / LEASE_DRIFT_PART + 1;
    return asked_ms + lease_ms - (lease_ms > margin_ms ? margin_ms : lease_ms);
}

void reading_begin(struct reading *r, uint32_t owner, uint16_t index, const struct stripe *s)
{
    *r = (struct reading){.owner = owner,
                          .stripe = index,
                          .offset = s->offset,
                          .payload_len = s->payload_len,
                          .root = s->root,
                          .len_bytes = s->payload_len,
                          .skip_bytes = s->offset,
                          .replicas = s->replicas};
    memcpy(r->gva, s->gva, sizeof r->gva);
}

void reading_narrow(struct reading *r, uint64_t at, uint64_t len_bytes, uint64_t skip_bytes)
{
    assert(len_bytes > 0 && at <= r->payload_len && len_bytes <= r->payload_len - at);
    r->at = at;
    r->len_bytes = len_bytes;
    r->skip_bytes = skip_bytes;
}

static bool is_replica(const struct stripe *s, struct gva gva)
{
    for (uint32_t i = 0; i < s->replicas; i++) {
        if (s->gva[i].v == gva.v)
            return true;
    }
    return false;
}

bool reading_again(struct reading *r, const struct stripe *s)
{
    if (s->offset != r->offset || s->payload_len != r->payload_len || s->root != r->root)
        return false;
    r->accepted = r->accepted && is_replica(s, r->from);
    r->tried = r->seen = 0;
    r->replicas = s->replicas;
    memcpy(r->gva, s->gva, sizeof r->gva);
    return true;
}

static bool place_of(const struct reading *r, const struct locate *map, uint32_t i,
                     struct location *out)
{
    return !(r->tried & (1u << i)) && locate_find(map, r->gva[i], extent_size(r->payload_len), out);
}

static bool all_tried(const struct reading *r)
{
    return r->tried == (1u << r->replicas) - 1;
}

bool reading_needs_map(const struct reading *r, const struct locate *map)
{
    struct location at;

    for (uint32_t i = 0; i < r->replicas; i++) {
        if (place_of(r, map, i, &at))
            return false;
    }
    return !all_tried(r);
}

/* 0 is best: a node that lately let somebody wait comes last, one on this machine first. */
static unsigned rank_of(const struct location *at, const struct reading_choice *choice)
{
    bool slow = slow_is(choice->slow, at->node, choice->now_ms);
    return (slow ? 2u : 0u) + (at->local ? 0u : 1u);
}

/* Among equals readers of different stripes begin at different replicas. Returns an index, or
 * replicas: none is left. */
static uint32_t choose(const struct reading *r, uint64_t put_id,
                       const struct reading_choice *choice, struct location *out)
{
    uint32_t best = r->replicas;
    unsigned least = UINT32_MAX;
    struct location at;

    for (uint32_t k = 0; k < r->replicas && least > 0; k++) {
        uint32_t i = (uint32_t)((put_id + r->stripe + k) % r->replicas);
        if (!place_of(r, choice->map, i, &at))
            continue;
        unsigned rank = rank_of(&at, choice);
        if (rank >= least)
            continue;
        best = i;
        least = rank;
        *out = at;
    }
    return best;
}

static struct sums *new_sums(const struct reading_value *v, uint64_t payload_len)
{
    return v->sums_room ? sums_in(v->sums_room, v->sums_room_bytes, payload_len)
                        : sums_new(payload_len);
}

static struct part_want part_of(const struct reading *r, const struct reading_value *v)
{
    return (struct part_want){.payload_len = r->payload_len,
                              .at = r->at,
                              .len_bytes = r->len_bytes,
                              .buffers = {.pieces = v->buffers,
                                          .count = v->buffer_count,
                                          .skip_bytes = r->skip_bytes,
                                          .kind = MEMORY_HOST}};
}

static bool is_whole(const struct reading *r)
{
    return r->len_bytes == r->payload_len;
}

uint64_t reading_memory(const struct reading *r, const struct reading_value *v)
{
    struct part_want want = part_of(r, v);
    return v->sums && !is_whole(r) ? part_memory(&want) : 0;
}

/* What the bytes are verified by. */
static bool make_sums(struct reading *r, const struct reading_value *v)
{
    struct part_want want = part_of(r, v);

    if (!v->sums)
        return true;
    if (is_whole(r))
        r->sums = new_sums(v, r->payload_len);
    else
        r->part = part_new(&want);
    return r->sums || r->part;
}

static void free_sums(struct reading *r, const struct reading_value *v)
{
    if (!v->sums_room)
        sums_free(r->sums);
    part_free(r->part);
    r->sums = NULL;
    r->part = NULL;
}

int reading_next(struct reading *r, const struct reading_value *v,
                 const struct reading_choice *choice, struct fabric_req *copy)
{
    struct location at = {0};
    uint32_t i = choose(r, v->put_id, choice, &at);

    assert(!r->accepted && !r->sums && !r->part);
    if (i == r->replicas) { /* what is left is on no map */
        if (!all_tried(r))
            r->seen |= SEEN_DOWN;
        return CENOTE_NOT_FOUND;
    }
    if (!make_sums(r, v))
        return CENOTE_NO_MEMORY;

    r->tried |= (uint8_t)(1u << i);
    r->from = r->gva[i];
    r->incarnation = at.incarnation;
    *copy = (struct fabric_req){.node = at.node,
                                .x = {.op = XCOPY_READ,
                                      .gva = r->from,
                                      .payload_len = r->payload_len,
                                      .put_id = v->put_id,
                                      .offset = r->at,
                                      .len_bytes = r->len_bytes,
                                      .local = {.pieces = v->buffers,
                                                .count = v->buffer_count,
                                                .skip_bytes = r->skip_bytes,
                                                .kind = MEMORY_HOST},
                                      .sums = r->sums,
                                      .tail = r->seal,
                                      .tail_len = SEAL_BYTES,
                                      .status = XCOPY_IN_PROGRESS}};
    if (r->part)
        part_request(r->part, &copy->x);
    return CENOTE_OK;
}

static bool verified(const struct reading *r)
{
    if (test_off(TEST_SUMS))
        return true;
    if (r->part)
        return part_verified(r->part, r->root);
    return !r->sums || sums_root(r->sums) == r->root;
}

void reading_waive_sums(struct reading *r, const struct reading_value *v, struct fabric_req *copy)
{
    free_sums(r, v);
    copy->x.sums = NULL;
}

uint32_t reading_replica(const struct reading *r)
{
    uint32_t i = 0;

    while (i < r->replicas && r->gva[i].v != r->from.v)
        i++;
    assert(i < r->replicas);
    return i;
}

/* Only here bytes become a value. */
static bool acceptable(const struct reading *r, const struct reading_value *v)
{
    const struct seal_want want = {.put_id = v->put_id,
                                   .gva = r->from,
                                   .incarnation = r->incarnation,
                                   .payload_len = r->payload_len,
                                   .stripe = r->stripe};
    struct seal seal;

    if (seal_check(r->part ? part_seal(r->part) : r->seal, &want, &seal) != CENOTE_OK) {
        log_info(MODULE, "put %" PRIu64 " stripe %u at %#" PRIx64 ": seal is void or another's",
                 v->put_id, r->stripe, r->from.v);
        return false;
    }
    if (!verified(r)) {
        log_error(MODULE, "put %" PRIu64 " stripe %u at %#" PRIx64 ": bytes don't have their sum",
                  v->put_id, r->stripe, r->from.v);
        tally_checksum_failure(v->tally);
        return false;
    }
    return true;
}

static uint8_t seen_by(int status)
{
    switch (status) {
    case CENOTE_STALE:
        return SEEN_BAD;
    case CENOTE_TIMED_OUT:
        return SEEN_LATE;
    case CENOTE_NO_MEMORY:
        return SEEN_NO_MEMORY;
    case CENOTE_BAD_ADDRESS:
        return SEEN_ADDRESS;
    default:
        return SEEN_DOWN;
    }
}

void reading_end(struct reading *r, const struct reading_value *v, const struct fabric_req *copy)
{
    assert(copy->x.status != XCOPY_IN_PROGRESS);
    if (copy->x.status != CENOTE_OK)
        r->seen |= seen_by(copy->x.status);
    else if (acceptable(r, v))
        r->accepted = true;
    else
        r->seen |= SEEN_BAD;
    if (r->seen & SEEN_ADDRESS) /* no replica helps */
        r->tried = (uint8_t)((1u << r->replicas) - 1);
    free_sums(r, v);
}

int reading_failure(const struct reading *r)
{
    if (r->seen & SEEN_ADDRESS)
        return CENOTE_BAD_ADDRESS;
    if (r->seen & SEEN_NO_MEMORY)
        return CENOTE_NO_MEMORY;
    if (r->seen & SEEN_DOWN)
        return CENOTE_NODE_DOWN;
    if (r->seen & SEEN_LATE)
        return CENOTE_TIMED_OUT;
    return CENOTE_CORRUPT;
}

bool reading_is_doubtful(int failure, bool *doubted)
{
    bool before = *doubted;

    *doubted = failure == CENOTE_CORRUPT;
    return *doubted && !before && !test_off(TEST_DOUBT);
}
