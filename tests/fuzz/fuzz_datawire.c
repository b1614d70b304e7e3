/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed formats of the data wire under hostile bytes: what decodes must encode to something
 * that decodes to the same again, and an accepted range must lie inside its extent.
 */
#include <assert.h>
#include <string.h>

#include "transport/hello.h"
#include "transport/tcp/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_request(const uint8_t in[TCP_REQUEST_BYTES])
{
    struct tcp_request r;
    uint8_t again[TCP_REQUEST_BYTES];
    if (tcp_request_decode(in, &r) != CENOTE_OK)
        return;
    tcp_request_encode(&r, again);
    assert(memcmp(in, again, sizeof again) == 0);
    if (tcp_request_in_extent(&r)) {
        assert(r.payload_len <= EXTENT_PAYLOAD_MAX);
        assert(r.offset + r.len_bytes >= r.offset);
        assert(r.offset + r.len_bytes <= extent_size(r.payload_len));
    }
}

static void try_hello(const uint8_t in[HELLO_BYTES])
{
    struct hello h, back;
    uint8_t again[HELLO_BYTES];
    if (hello_decode(in, &h) != CENOTE_OK)
        return;
    hello_encode(&h, again);
    assert(hello_decode(again, &back) == CENOTE_OK);
    assert(h.who.session == back.who.session && h.who.name_space == back.who.name_space);
    assert(h.boot == back.boot && memcmp(&h.who.token, &back.who.token, TOKEN_BYTES) == 0);
}

static void try_answers(const uint8_t in[TCP_RESPONSE_BYTES])
{
    struct tcp_response r;
    struct hello_answer a;
    if (tcp_response_decode(in, &r) == CENOTE_OK)
        assert(r.status <= 0);
    if (hello_answer_decode(in, &a) == CENOTE_OK)
        assert(a.status <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t in[HELLO_BYTES] = {0};
    if (size > 0)
        memcpy(in, data, size < sizeof in ? size : sizeof in);
    try_hello(in);
    try_request(in);
    try_answers(in);
    return 0;
}
