/* SPDX-License-Identifier: Apache-2.0 */
#include "client/writing.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/hash.h"
#include "transport/base/log.h"

#define MODULE "put"

void writing_begin(struct writing *w, uint32_t owner, uint16_t index, const struct stripe *s,
                   uint32_t i)
{
    *w = (struct writing){.owner = owner,
                          .stripe = index,
                          .state = EXTENT_DRAINED,
                          .status = CENOTE_NODE_DOWN,
                          .offset = s->offset,
                          .payload_len = s->payload_len,
                          .gva = s->gva[i],
                          .grant = s->grant[i]};
}

static bool place_of(const struct writing *w, const struct locate *map, struct location *out)
{
    return locate_find(map, w->gva, extent_size(w->payload_len), out);
}

bool writing_has_place(const struct writing *w, const struct locate *map)
{
    struct location at;
    return place_of(w, map, &at);
}

/* Writes the seal behind the list of sums. */
static void encode_seal(const struct writing *w)
{
    seal_encode(&(struct seal){.sum_kind = SUM_XXH3,
                               .put_id = w->value->put_id,
                               .gva = w->gva,
                               .incarnation = w->incarnation,
                               .key_hash = w->value->key_hash,
                               .name_space = w->value->name_space,
                               .stripe = w->stripe,
                               .stripes = (uint16_t)w->value->stripes,
                               .stripe_offset = w->offset,
                               .total_len = w->value->len_bytes,
                               .payload_len = w->payload_len,
                               .root = w->root,
                               .state = SEAL_STATE_LIVE},
                w->tail + extent_sums_size(w->payload_len));
}

/* Called when the payload has passed through the sums. */
static void seal_it(struct xcopy_req *req)
{
    struct writing *w = req->owner;

    if (extent_sums_size(w->payload_len) > 0)
        sums_list(w->sums, w->tail);
    w->root = sums_root(w->sums);
    encode_seal(w);
}

static bool give_up(struct writing *w, int status)
{
    w->done = true;
    w->status = status;
    return false;
}

static void release(struct writing *w)
{
    sums_free(w->sums);
    free(w->tail);
    w->sums = NULL;
    w->tail = NULL;
}

static uint64_t tail_len_of(const struct writing *w)
{
    return extent_sums_size(w->payload_len) + SEAL_BYTES;
}

/* A WRITE of nothing yet. */
static struct fabric_req request_to(const struct writing *w, const struct writing_value *v,
                                    uint64_t node)
{
    return (struct fabric_req){.node = node,
                               .x = {.op = XCOPY_WRITE,
                                     .gva = w->gva,
                                     .payload_len = w->payload_len,
                                     .put_id = v->put_id,
                                     .session = v->session,
                                     .grant = w->grant,
                                     .status = XCOPY_IN_PROGRESS}};
}

bool writing_next(struct writing *w, const struct writing_value *v, const struct locate *map,
                  struct fabric_req *copy)
{
    struct location at;

    assert(!w->done && !w->sums && !w->tail);
    if (!place_of(w, map, &at))
        return give_up(w, CENOTE_NODE_DOWN);
    w->sums = sums_new(w->payload_len);
    w->tail = malloc(tail_len_of(w));
    if (!w->sums || !w->tail) {
        release(w);
        return give_up(w, CENOTE_NO_MEMORY);
    }
    w->value = v;
    w->incarnation = at.incarnation;
    *copy = request_to(w, v, at.node);
    copy->x.len_bytes = w->payload_len;
    copy->x.local = (struct xcopy_local){.pieces = v->buffers,
                                         .count = v->buffer_count,
                                         .skip_bytes = w->offset,
                                         .kind = MEMORY_HOST};
    copy->x.sums = w->sums;
    copy->x.tail = w->tail;
    copy->x.tail_len = tail_len_of(w);
    copy->x.seal_it = seal_it;
    copy->x.owner = w;
    return true;
}

bool writing_range(const struct writing *w, const struct writing_value *v, const struct locate *map,
                   uint64_t offset, const struct cenote_buffer *piece, struct fabric_req *copy)
{
    struct location at;

    if (!place_of(w, map, &at))
        return false;
    *copy = request_to(w, v, at.node);
    copy->x.offset = offset;
    copy->x.len_bytes = piece->len_bytes;
    copy->x.local = (struct xcopy_local){.pieces = piece, .count = 1, .kind = MEMORY_HOST};
    return true;
}

bool writing_seal(struct writing *w, const struct writing_value *v, const struct locate *map,
                  const uint64_t *sums_le, struct fabric_req *copy)
{
    struct location at;

    assert(!w->done && !w->tail);
    if (!place_of(w, map, &at))
        return give_up(w, CENOTE_NODE_DOWN);
    w->tail = malloc(tail_len_of(w));
    if (!w->tail)
        return give_up(w, CENOTE_NO_MEMORY);
    w->value = v;
    w->incarnation = at.incarnation;
    w->root = hash_xxh3(sums_le, (size_t)sums_chunks(w->payload_len) * sizeof *sums_le);
    memcpy(w->tail, sums_le, (size_t)extent_sums_size(w->payload_len));
    encode_seal(w);
    *copy = request_to(w, v, at.node);
    copy->x.tail = w->tail;
    copy->x.tail_len = tail_len_of(w);
    copy->x.owner = w;
    return true;
}

void writing_end(struct writing *w, const struct fabric_req *copy)
{
    assert(copy->x.status != XCOPY_IN_PROGRESS && !w->done);
    w->done = true;
    w->status = copy->x.status;
    if (copy->x.status == CENOTE_OK)
        w->state = EXTENT_VISIBLE;
    else
        w->state = copy->x.may_land ? EXTENT_UNKNOWN : EXTENT_DRAINED;
    if (copy->x.status != CENOTE_OK)
        log_info(MODULE, "put %" PRIu64 " stripe %u at %#" PRIx64 ": not written: %s",
                 w->value->put_id, w->stripe, w->gva.v, cenote_status_text(copy->x.status));
    release(w);
}
