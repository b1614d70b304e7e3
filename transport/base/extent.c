/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/extent.h"

#include <assert.h>
#include <cenote/status.h>

#include "transport/base/bytes.h"
#include "transport/base/testswitch.h"

#define SEAL_SPARE_BYTES  24u  /* zeros behind the root, for later formats */
#define SEAL_SUM_OFFSET   120u /* of the seal's own checksum, */
#define SEAL_SUMMED_BYTES 112u /* over all before the state: voiding a seal leaves it whole */

static_assert(SEAL_STATE_OFFSET == SEAL_SUMMED_BYTES, "only the state is outside the checksum");
static_assert(SEAL_BYTES % EXTENT_ALIGN == 0, "an extent ends aligned when its seal begins so");

uint64_t extent_sums_size(uint64_t payload_len)
{
    uint64_t chunks = sums_chunks(payload_len);
    return chunks >= 2 ? chunks * sizeof(uint64_t) : 0;
}

uint64_t extent_seal_offset(uint64_t payload_len)
{
    assert(payload_len <= EXTENT_PAYLOAD_MAX);
    uint64_t end = payload_len + extent_sums_size(payload_len);
    return (end + EXTENT_ALIGN - 1) / EXTENT_ALIGN * EXTENT_ALIGN;
}

uint64_t extent_sums_offset(uint64_t payload_len)
{
    return extent_seal_offset(payload_len) - extent_sums_size(payload_len);
}

uint64_t extent_size(uint64_t payload_len)
{
    return extent_seal_offset(payload_len) + SEAL_BYTES;
}

void seal_encode(const struct seal *s, uint8_t out[SEAL_BYTES])
{
    static const uint8_t zeros[SEAL_SPARE_BYTES];
    struct bytes b = bytes_over(out, SEAL_BYTES);

    bytes_put_u32(&b, SEAL_MAGIC);
    bytes_put_u16(&b, SEAL_FORMAT);
    bytes_put_u8(&b, s->sum_kind);
    bytes_put_u8(&b, 0);
    bytes_put_u64(&b, s->put_id);
    bytes_put_u64(&b, s->gva.v);
    bytes_put_u64(&b, s->incarnation);
    bytes_put(&b, s->key_hash.b, sizeof s->key_hash.b);
    bytes_put_u32(&b, s->name_space);
    bytes_put_u16(&b, s->stripe);
    bytes_put_u16(&b, s->stripes);
    bytes_put_u64(&b, s->stripe_offset);
    bytes_put_u64(&b, s->total_len);
    bytes_put_u64(&b, s->payload_len);
    bytes_put_u64(&b, s->root);
    bytes_put(&b, zeros, sizeof zeros);
    assert(bytes_left(&b) == SEAL_BYTES - SEAL_STATE_OFFSET);
    bytes_put_u32(&b, s->state);
    bytes_put_u32(&b, 0);
    bytes_put_u64(&b, hash_xxh3(out, SEAL_SUMMED_BYTES));
    assert(bytes_ok(&b) && bytes_left(&b) == 0);
}

static void read_fields(const uint8_t in[SEAL_BYTES], struct seal *out)
{
    struct bytes b = bytes_over_const(in, SEAL_BYTES);
    uint8_t spare[SEAL_SPARE_BYTES];

    (void)bytes_get_u32(&b);
    (void)bytes_get_u16(&b);
    out->sum_kind = bytes_get_u8(&b);
    (void)bytes_get_u8(&b);
    out->put_id = bytes_get_u64(&b);
    out->gva = gva_make(bytes_get_u64(&b));
    out->incarnation = bytes_get_u64(&b);
    bytes_get(&b, out->key_hash.b, sizeof out->key_hash.b);
    out->name_space = bytes_get_u32(&b);
    out->stripe = bytes_get_u16(&b);
    out->stripes = bytes_get_u16(&b);
    out->stripe_offset = bytes_get_u64(&b);
    out->total_len = bytes_get_u64(&b);
    out->payload_len = bytes_get_u64(&b);
    out->root = bytes_get_u64(&b);
    bytes_get(&b, spare, sizeof spare);
    out->state = bytes_get_u32(&b);
    assert(bytes_ok(&b));
}

int seal_decode(const uint8_t in[SEAL_BYTES], struct seal *out)
{
    struct bytes head = bytes_over_const(in, SEAL_BYTES);
    struct bytes spare = bytes_over_const(in + SEAL_STATE_OFFSET + 4, 4);
    struct bytes tail = bytes_over_const(in + SEAL_SUM_OFFSET, SEAL_BYTES - SEAL_SUM_OFFSET);

    if (bytes_get_u32(&head) != SEAL_MAGIC || bytes_get_u16(&head) != SEAL_FORMAT)
        return CENOTE_STALE;
    if (bytes_get_u64(&tail) != hash_xxh3(in, SEAL_SUMMED_BYTES) || bytes_get_u32(&spare) != 0)
        return CENOTE_STALE;
    read_fields(in, out);
    return CENOTE_OK;
}

static bool seal_is(const struct seal *s, const struct seal_want *want)
{
    return s->state == SEAL_STATE_LIVE && s->put_id == want->put_id && s->gva.v == want->gva.v &&
           s->incarnation == want->incarnation && s->payload_len == want->payload_len &&
           s->stripe == want->stripe;
}

int seal_check(const uint8_t in[SEAL_BYTES], const struct seal_want *want, struct seal *out)
{
    struct seal s;

    if (test_off(TEST_SEAL)) {
        read_fields(in, out);
        return CENOTE_OK;
    }
    if (seal_decode(in, &s) != CENOTE_OK || !seal_is(&s, want))
        return CENOTE_STALE;
    *out = s;
    return CENOTE_OK;
}
