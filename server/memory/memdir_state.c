/* SPDX-License-Identifier: Apache-2.0 */
#include "server/memory/memdir_state.h"

#include <assert.h>

#include "transport/base/bytes.h"

#define MAGIC UINT32_C(0x444d4e43) /* "CNMD" in memory */

static_assert(NODE_NAME_MAX < sizeof((struct memdir_owner *)0)->node, "a node's name fits");

static void put_segments(struct bytes *b, const struct memdir_state *state)
{
    for (uint32_t i = 0; i < SEGMENTS_MAX; i++) {
        const struct memdir_segment none = {0};
        const struct memdir_segment *s = i < state->segment_count ? &state->segments[i] : &none;
        bytes_put_u64(b, s->len_bytes);
        bytes_put_u64(b, s->populated_bytes);
        bytes_put_u64(b, s->incarnation);
        bytes_put_u64(b, s->gva.v);
        bytes_put_u64(b, s->file);
    }
}

void memdir_state_encode(const struct memdir_owner *owner, const struct memdir_state *state,
                         uint8_t out[MEMDIR_STATE_BYTES])
{
    struct bytes b = bytes_over(out, MEMDIR_STATE_BYTES);
    bytes_put_u32(&b, MAGIC);
    bytes_put_u32(&b, MEMDIR_FORMAT);
    bytes_put_u32(&b, state->segment_count);
    bytes_put_u32(&b, 0);
    bytes_put(&b, owner->host, sizeof owner->host);
    bytes_put(&b, owner->node, sizeof owner->node);
    bytes_put(&b, state->pool, sizeof state->pool);
    bytes_put_u64(&b, state->highest_reign);
    bytes_put_u64(&b, state->service_life);
    put_segments(&b, state);
    bytes_put_u64(&b, hash_xxh3(out, MEMDIR_STATE_BYTES - 8));
    assert(!b.failed && b.at == b.end);
}

static bool segment_is_good(const struct memdir_segment *s)
{
    return s->len_bytes > 0 && s->populated_bytes <= s->len_bytes && s->incarnation != 0 &&
           gva_valid(s->gva) && s->len_bytes <= GVA_END - s->gva.v;
}

static bool get_segments(struct bytes *b, struct memdir_state *state)
{
    bool good = true;
    for (uint32_t i = 0; i < state->segment_count; i++) {
        struct memdir_segment *s = &state->segments[i];
        s->len_bytes = bytes_get_u64(b);
        s->populated_bytes = bytes_get_u64(b);
        s->incarnation = bytes_get_u64(b);
        s->gva = gva_make(bytes_get_u64(b));
        s->file = bytes_get_u64(b);
        good = good && segment_is_good(s);
    }
    return good;
}

int memdir_state_decode(const uint8_t in[MEMDIR_STATE_BYTES], struct memdir_owner *owner,
                        struct memdir_state *state)
{
    struct bytes b = bytes_over_const(in, MEMDIR_STATE_BYTES);
    struct bytes end = bytes_over_const(in + MEMDIR_STATE_BYTES - 8, 8);
    if (bytes_get_u32(&b) != MAGIC)
        return CENOTE_CORRUPT;
    if (bytes_get_u32(&b) != MEMDIR_FORMAT)
        return CENOTE_VERSION;
    if (bytes_get_u64(&end) != hash_xxh3(in, MEMDIR_STATE_BYTES - 8))
        return CENOTE_CORRUPT;
    state->segment_count = bytes_get_u32(&b);
    (void)bytes_get_u32(&b);
    bytes_get(&b, owner->host, sizeof owner->host);
    bytes_get(&b, owner->node, sizeof owner->node);
    bytes_get(&b, state->pool, sizeof state->pool);
    state->highest_reign = bytes_get_u64(&b);
    state->service_life = bytes_get_u64(&b);
    if (state->segment_count == 0 || state->segment_count > SEGMENTS_MAX ||
        owner->host[sizeof owner->host - 1] != '\0' || owner->node[sizeof owner->node - 1] != '\0')
        return CENOTE_CORRUPT;
    return get_segments(&b, state) ? CENOTE_OK : CENOTE_CORRUPT;
}
