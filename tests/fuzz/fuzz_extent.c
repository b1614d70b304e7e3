/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extents under hostile bytes: seals, the arithmetic of their places, sums by pieces, and parts of
 * values whose list of sums comes from somebody else. A part is verified only if the root is that
 * of the list and the chunks are those in it.
 *
 * Input: a seal (128 bytes), the payload's length (8), where a part begins and how long it is (2
 * each), then payload and list of sums as they come.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/part.h"
#include "tests/fuzz/fuzz.h"
#include "transport/base/bytes.h"
#include "transport/base/extent.h"

#define PAYLOAD_MAX (3 * SUMS_CHUNK_BYTES)

static void try_seal(const uint8_t in[SEAL_BYTES])
{
    struct seal seal, back;
    uint8_t again[SEAL_BYTES];
    if (seal_decode(in, &seal) != CENOTE_OK)
        return;
    seal_encode(&seal, again);
    int status = seal_decode(again, &back);
    assert(status == CENOTE_OK && back.put_id == seal.put_id && back.root == seal.root);
    struct seal_want want = {.put_id = seal.put_id,
                             .gva = seal.gva,
                             .incarnation = seal.incarnation,
                             .payload_len = seal.payload_len,
                             .stripe = seal.stripe};
    status = seal_check(in, &want, &back);
    assert((status == CENOTE_OK) == (seal.state == SEAL_STATE_LIVE));
    want.put_id++;
    status = seal_check(in, &want, &back);
    assert(status == CENOTE_STALE);
}

static void try_arithmetic(uint64_t len)
{
    if (len > EXTENT_PAYLOAD_MAX)
        return;
    uint64_t size = extent_size(len), seal = extent_seal_offset(len);
    uint64_t sums = extent_sums_offset(len);
    assert(size % EXTENT_ALIGN == 0 && size >= len + SEAL_BYTES && seal == size - SEAL_BYTES);
    assert(sums >= len && sums + extent_sums_size(len) == seal);
    assert(size - len < SEAL_BYTES + 2 * EXTENT_ALIGN + extent_sums_size(len));
}

static uint64_t root_by_pieces(const uint8_t *payload, uint64_t len, size_t piece, uint8_t *list)
{
    struct sums *s = sums_new(len);
    assert(s != NULL);
    for (uint64_t at = 0; at < len; at += piece)
        sums_update(s, payload + at, len - at < piece ? (size_t)(len - at) : piece);
    uint64_t root = sums_root(s);
    sums_list(s, list);
    sums_free(s);
    return root;
}

/* The part as a node would send it, with a list of sums that may have been forged. */
static bool read_part(const uint8_t *payload, uint64_t len, uint64_t at, uint64_t part_len,
                      const uint8_t *list, uint64_t root)
{
    static uint8_t buffer[PAYLOAD_MAX];
    struct cenote_buffer piece = {buffer, part_len};
    struct part_want want = {.payload_len = len,
                             .at = at,
                             .len_bytes = part_len,
                             .buffers = {.pieces = &piece, .count = 1}};
    struct xcopy_req x = {.payload_len = len};
    struct part *p = part_new(&want);
    assert(p != NULL);
    part_request(p, &x);
    assert(x.offset <= at && x.offset + x.len_bytes >= at + part_len);
    assert(x.offset + x.len_bytes <= len);
    uint64_t from = x.offset, left = x.len_bytes, skip = x.local.skip_bytes;
    for (size_t i = 0; i < x.local.count && left > 0; i++) {
        const struct cenote_buffer *b = &x.local.pieces[i];
        uint64_t skipped = skip < b->len_bytes ? skip : b->len_bytes;
        uint64_t n = b->len_bytes - skipped < left ? b->len_bytes - skipped : left;
        skip -= skipped;
        if (n == 0)
            continue;
        memcpy((uint8_t *)b->addr + skipped, payload + from, n);
        sums_update(x.sums, payload + from, n);
        from += n;
        left -= n;
    }
    assert(left == 0 && x.tail_len >= SEAL_BYTES);
    uint64_t list_len = x.tail_len - SEAL_BYTES;
    assert(list_len <= extent_sums_size(len));
    memcpy(x.tail, list + extent_sums_size(len) - list_len, list_len);
    memset(x.tail + list_len, 0, SEAL_BYTES);
    bool good = part_verified(p, root);
    assert(!good || memcmp(buffer, payload + at, part_len) == 0);
    part_free(p);
    return good;
}

static void try_sums(uint64_t len, uint64_t at, uint64_t part_len, const uint8_t *rest, size_t size)
{
    static uint8_t payload[PAYLOAD_MAX], list[64], forged[64];
    memset(payload, 7, (size_t)len);
    memcpy(payload, rest, size < len ? size : (size_t)len);
    memset(list, 0, sizeof list);
    memset(forged, 0, sizeof forged);
    uint64_t root = root_by_pieces(payload, len, SUMS_CHUNK_BYTES, list);
    assert(root == root_by_pieces(payload, len, 1021, forged));
    assert(memcmp(list, forged, sizeof list) == 0);
    at %= len;
    part_len = 1 + part_len % (len - at);
    assert(read_part(payload, len, at, part_len, list, root));
    assert(!read_part(payload, len, at, part_len, list, root + 1));
    memcpy(forged, rest, size < sizeof forged ? size : sizeof forged);
    if (extent_sums_size(len) > 0 && memcmp(forged, list, extent_sums_size(len)) != 0)
        assert(!read_part(payload, len, at, part_len, forged, root));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < SEAL_BYTES + 12)
        return 0;
    struct bytes b = bytes_over_const(data + SEAL_BYTES, 12);
    uint64_t len = bytes_get_u64(&b), at = bytes_get_u16(&b), part_len = bytes_get_u16(&b);
    try_seal(data);
    try_arithmetic(len);
    /* Lengths of a few chunks have the part verified too; mostly short ones, they are quicker. */
    uint64_t short_len = 1 + len % (at % 64 == 0 ? PAYLOAD_MAX : 512);
    try_sums(short_len, at, part_len, data + SEAL_BYTES + 12, size - SEAL_BYTES - 12);
    return 0;
}
