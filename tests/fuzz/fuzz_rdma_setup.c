/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages about queue pairs under hostile bytes: what decodes must encode to the same bytes again,
 * and its values must be such as its users rely on.
 */
#include <assert.h>
#include <string.h>

#include "transport/rdma/setup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t again[SETUP_HEADER_BYTES + SETUP_BODY_MAX];
static struct setup_key keys[SETUP_KEYS_MAX];

static void check_same(const uint8_t *data, size_t len, size_t again_len)
{
    assert(len == again_len && memcmp(data, again, len) == 0);
}

static void try_ports(const uint8_t *data, uint32_t body_len)
{
    struct setup_ports m;
    if (setup_decode_ports(data + SETUP_HEADER_BYTES, body_len, &m) != CENOTE_OK)
        return;
    assert(m.count >= 1 && m.count <= XCOPY_RAILS_MAX);
    check_same(data, SETUP_HEADER_BYTES + body_len, setup_encode_ports(&m, again));
}

static void try_open(const uint8_t *data, uint32_t body_len)
{
    struct setup_open m;
    if (setup_decode_open(data + SETUP_HEADER_BYTES, body_len, &m) != CENOTE_OK)
        return;
    assert(m.role == RDMA_ROLE_READ || m.role == RDMA_ROLE_WRITE);
    check_same(data, SETUP_HEADER_BYTES + body_len, setup_encode_open(&m, again));
}

static void try_opened(enum setup_type type, const uint8_t *data, uint32_t body_len)
{
    struct setup_opened m = {.keys = keys};
    if (setup_decode_opened(type, data + SETUP_HEADER_BYTES, body_len, &m) != CENOTE_OK)
        return;
    assert(m.status <= 0 && m.key_count <= SETUP_KEYS_MAX);
    for (uint32_t i = 0; i < m.key_count; i++) {
        assert(gva_valid(m.keys[i].gva) && m.keys[i].len_bytes <= GVA_END - m.keys[i].gva.v);
        assert(m.keys[i].addr + m.keys[i].len_bytes >= m.keys[i].addr);
    }
    check_same(data, SETUP_HEADER_BYTES + body_len, setup_encode_opened(type, &m, again));
}

static void try_close(enum setup_type type, const uint8_t *data, uint32_t body_len)
{
    struct setup_close m;
    if (setup_decode_close(data + SETUP_HEADER_BYTES, body_len, &m) == CENOTE_OK)
        check_same(data, SETUP_HEADER_BYTES + body_len, setup_encode_close(type, &m, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum setup_type type;
    uint32_t body_len;
    if (size < SETUP_HEADER_BYTES || setup_decode_header(data, &type, &body_len) != CENOTE_OK ||
        size < SETUP_HEADER_BYTES + body_len)
        return 0;
    if (type == SETUP_PORTS)
        try_ports(data, body_len);
    else if (type == SETUP_OPEN)
        try_open(data, body_len);
    else if (type == SETUP_OPENED || type == SETUP_KEYS)
        try_opened(type, data, body_len);
    else
        try_close(type, data, body_len);
    return 0;
}
