/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/wire.h"

#include "transport/base/bytes.h"

void tcp_request_encode(const struct tcp_request *r, uint8_t out[TCP_REQUEST_BYTES])
{
    struct bytes b = bytes_over(out, TCP_REQUEST_BYTES);
    bytes_put_u32(&b, TCP_REQUEST_MAGIC);
    bytes_put_u8(&b, r->op);
    bytes_put_u8(&b, 0);
    bytes_put_u16(&b, 0);
    bytes_put_u64(&b, r->id);
    bytes_put_u64(&b, r->put_id);
    bytes_put_u64(&b, r->gva.v);
    bytes_put_u64(&b, r->payload_len);
    bytes_put_u64(&b, r->offset);
    bytes_put_u64(&b, r->len_bytes);
    bytes_put_u64(&b, r->mac);
}

int tcp_request_decode(const uint8_t in[TCP_REQUEST_BYTES], struct tcp_request *out)
{
    struct bytes b = bytes_over_const(in, TCP_REQUEST_BYTES);
    uint32_t magic = bytes_get_u32(&b);
    out->op = bytes_get_u8(&b);
    uint8_t flags = bytes_get_u8(&b);
    uint16_t reserved = bytes_get_u16(&b);
    out->id = bytes_get_u64(&b);
    out->put_id = bytes_get_u64(&b);
    out->gva = gva_make(bytes_get_u64(&b));
    out->payload_len = bytes_get_u64(&b);
    out->offset = bytes_get_u64(&b);
    out->len_bytes = bytes_get_u64(&b);
    out->mac = bytes_get_u64(&b);
    bool known = out->op == TCP_READ || out->op == TCP_WRITE;
    return magic == TCP_REQUEST_MAGIC && known && flags == 0 && reserved == 0 ? CENOTE_OK
                                                                              : CENOTE_PROTOCOL;
}

bool tcp_request_in_extent(const struct tcp_request *r)
{
    if (r->payload_len > EXTENT_PAYLOAD_MAX)
        return false;
    uint64_t size = extent_size(r->payload_len);
    return r->offset <= size && r->len_bytes <= size - r->offset;
}

void tcp_response_encode(const struct tcp_response *r, uint8_t out[TCP_RESPONSE_BYTES])
{
    struct bytes b = bytes_over(out, TCP_RESPONSE_BYTES);
    bytes_put_u32(&b, TCP_RESPONSE_MAGIC);
    bytes_put_u32(&b, (uint32_t)r->status);
    bytes_put_u64(&b, r->id);
    bytes_put_u64(&b, r->len_bytes);
    bytes_put_u64(&b, 0);
}

int tcp_response_decode(const uint8_t in[TCP_RESPONSE_BYTES], struct tcp_response *out)
{
    struct bytes b = bytes_over_const(in, TCP_RESPONSE_BYTES);
    uint32_t magic = bytes_get_u32(&b);
    out->status = (int)(int32_t)bytes_get_u32(&b);
    out->id = bytes_get_u64(&b);
    out->len_bytes = bytes_get_u64(&b);
    return magic == TCP_RESPONSE_MAGIC && out->status <= 0 ? CENOTE_OK : CENOTE_PROTOCOL;
}
