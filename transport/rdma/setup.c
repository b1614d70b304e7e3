/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/setup.h"

#include <assert.h>

#include "transport/base/bytes.h"

/* Lengths of bodies, or of what comes before their lists. */
#define PORTS_BYTES  8u
#define PORT_BYTES   24u
#define OPEN_BYTES   48u
#define OPENED_BYTES 40u
#define KEYS_BYTES   8u
#define CLOSE_BYTES  8u

static_assert(OPENED_BYTES + SETUP_KEYS_MAX * SETUP_KEY_BYTES <= SETUP_BODY_MAX &&
                  SETUP_BODY_MAX <= UINT16_MAX,
              "the longest message fits into its buffer, and its length into the header");

#define NUMBER_MAX UINT32_C(0xffffff) /* queue pairs and packets: 24 bits */

static uint32_t body_max(unsigned type)
{
    switch (type) {
    case SETUP_PORTS:
        return PORTS_BYTES + XCOPY_RAILS_MAX * PORT_BYTES;
    case SETUP_OPEN:
        return OPEN_BYTES;
    case SETUP_OPENED:
        return OPENED_BYTES + SETUP_KEYS_MAX * SETUP_KEY_BYTES;
    case SETUP_KEYS:
        return KEYS_BYTES + SETUP_KEYS_MAX * SETUP_KEY_BYTES;
    case SETUP_CLOSE:
    case SETUP_CLOSED:
    case SETUP_ASK:
        return CLOSE_BYTES;
    default:
        return 0;
    }
}

static int judge(const struct bytes *b, bool sane)
{
    return bytes_ok(b) && bytes_left(b) == 0 && sane ? CENOTE_OK : CENOTE_PROTOCOL;
}

/* ---- headers --------------------------------------------------------------------------------- */

static struct bytes begin(uint8_t *out)
{
    struct bytes b = bytes_over(out, SETUP_HEADER_BYTES + SETUP_BODY_MAX);
    bytes_put_u64(&b, 0);
    return b;
}

static size_t finish(const struct bytes *body, enum setup_type type, uint8_t *out)
{
    struct bytes b = bytes_over(out, SETUP_HEADER_BYTES);
    size_t len = (size_t)(body->at - out);
    assert(bytes_ok(body) && len - SETUP_HEADER_BYTES <= body_max(type));
    bytes_put_u32(&b, SETUP_MAGIC);
    bytes_put_u8(&b, (uint8_t)type);
    bytes_put_u8(&b, 0);
    bytes_put_u16(&b, (uint16_t)(len - SETUP_HEADER_BYTES));
    return len;
}

int setup_decode_header(const uint8_t in[SETUP_HEADER_BYTES], enum setup_type *type,
                        uint32_t *body_len)
{
    struct bytes b = bytes_over_const(in, SETUP_HEADER_BYTES);
    uint32_t magic = bytes_get_u32(&b);
    unsigned said = bytes_get_u8(&b);
    uint8_t reserved = bytes_get_u8(&b);
    *body_len = bytes_get_u16(&b);
    *type = (enum setup_type)said;
    bool known = said >= SETUP_PORTS && said <= SETUP_ASK;
    return judge(&b, magic == SETUP_MAGIC && known && reserved == 0 && *body_len <= body_max(said));
}

/* ---- parts of messages ----------------------------------------------------------------------- */

static bool is_mtu(uint32_t mtu_bytes)
{
    return mtu_bytes == 256 || mtu_bytes == 512 || mtu_bytes == 1024 || mtu_bytes == 2048 ||
           mtu_bytes == 4096;
}

static void put_port(struct bytes *b, const struct rdma_remote_port *p)
{
    bytes_put_u8(b, (uint8_t)p->link);
    bytes_put_u8(b, 0);
    bytes_put_u16(b, p->lid);
    bytes_put_u32(b, p->mtu_bytes);
    bytes_put(b, p->gid.raw, sizeof p->gid.raw);
}

static bool get_port(struct bytes *b, struct rdma_remote_port *p)
{
    unsigned link = bytes_get_u8(b);
    uint8_t reserved = bytes_get_u8(b);
    p->link = (enum rdma_link)link;
    p->lid = bytes_get_u16(b);
    p->mtu_bytes = bytes_get_u32(b);
    bytes_get(b, p->gid.raw, sizeof p->gid.raw);
    return link >= RDMA_LINK_IB && link <= RDMA_LINK_ROCE_V2 && reserved == 0 &&
           is_mtu(p->mtu_bytes);
}

static void put_end(struct bytes *b, const struct rdma_end *e)
{
    bytes_put_u32(b, e->number);
    bytes_put_u32(b, e->psn);
    bytes_put_u32(b, e->mtu_bytes);
    bytes_put_u8(b, e->read_depth);
    bytes_put_u8(b, 0);
    bytes_put_u16(b, 0);
}

static bool get_end(struct bytes *b, struct rdma_end *e)
{
    e->number = bytes_get_u32(b);
    e->psn = bytes_get_u32(b);
    e->mtu_bytes = bytes_get_u32(b);
    e->read_depth = bytes_get_u8(b);
    uint8_t reserved = bytes_get_u8(b);
    return bytes_get_u16(b) == 0 && reserved == 0 && e->number <= NUMBER_MAX &&
           e->psn <= NUMBER_MAX;
}

static void put_keys(struct bytes *b, const struct setup_opened *m)
{
    for (uint32_t i = 0; i < m->key_count; i++) {
        const struct setup_key *k = &m->keys[i];
        bytes_put_u64(b, k->gva.v);
        bytes_put_u64(b, k->len_bytes);
        bytes_put_u64(b, k->addr);
        bytes_put_u64(b, k->incarnation);
        bytes_put_u32(b, k->rkey);
        bytes_put_u32(b, 0);
    }
}

static bool get_key(struct bytes *b, struct setup_key *k)
{
    k->gva = gva_make(bytes_get_u64(b));
    k->len_bytes = bytes_get_u64(b);
    k->addr = bytes_get_u64(b);
    k->incarnation = bytes_get_u64(b);
    k->rkey = bytes_get_u32(b);
    return bytes_get_u32(b) == 0 && k->len_bytes > 0 &&
           gva_covers(gva_make(GVA_FIRST), GVA_END - GVA_FIRST, k->gva, k->len_bytes) &&
           k->addr <= UINT64_MAX - k->len_bytes;
}

/* The count stands in a message: it is believed only as far as there are bytes. */
static bool get_keys(struct bytes *b, struct setup_opened *m)
{
    if (bytes_left(b) != (size_t)m->key_count * SETUP_KEY_BYTES || m->key_count > SETUP_KEYS_MAX)
        return false;
    bool sane = true;
    for (uint32_t i = 0; i < m->key_count; i++)
        sane &= get_key(b, &m->keys[i]);
    return sane;
}

/* ---- messages -------------------------------------------------------------------------------- */

size_t setup_encode_ports(const struct setup_ports *m, uint8_t *out)
{
    struct bytes b = begin(out);
    assert(m->count >= 1 && m->count <= XCOPY_RAILS_MAX);
    bytes_put_u32(&b, m->count);
    bytes_put_u32(&b, 0);
    for (uint32_t i = 0; i < m->count; i++)
        put_port(&b, &m->at[i]);
    return finish(&b, SETUP_PORTS, out);
}

int setup_decode_ports(const uint8_t *body, uint32_t len, struct setup_ports *out)
{
    struct bytes b = bytes_over_const(body, len);
    out->count = bytes_get_u32(&b);
    bool sane = bytes_get_u32(&b) == 0 && out->count >= 1 && out->count <= XCOPY_RAILS_MAX;
    for (uint32_t i = 0; sane && i < out->count; i++)
        sane = get_port(&b, &out->at[i]);
    return judge(&b, sane);
}

size_t setup_encode_open(const struct setup_open *m, uint8_t *out)
{
    struct bytes b = begin(out);
    assert(m->port < XCOPY_RAILS_MAX);
    bytes_put_u32(&b, m->tag);
    bytes_put_u8(&b, (uint8_t)m->port);
    bytes_put_u8(&b, (uint8_t)m->role);
    bytes_put_u16(&b, 0);
    put_end(&b, &m->end);
    put_port(&b, &m->from);
    return finish(&b, SETUP_OPEN, out);
}

int setup_decode_open(const uint8_t *body, uint32_t len, struct setup_open *out)
{
    struct bytes b = bytes_over_const(body, len);
    out->tag = bytes_get_u32(&b);
    out->port = bytes_get_u8(&b);
    unsigned role = bytes_get_u8(&b);
    out->role = (enum rdma_role)role;
    bool sane = bytes_get_u16(&b) == 0 && out->port < XCOPY_RAILS_MAX &&
                (role == RDMA_ROLE_READ || role == RDMA_ROLE_WRITE);
    sane &= get_end(&b, &out->end) && is_mtu(out->end.mtu_bytes);
    sane &= get_port(&b, &out->from);
    return judge(&b, sane);
}

size_t setup_encode_opened(enum setup_type type, const struct setup_opened *m, uint8_t *out)
{
    struct bytes b = begin(out);
    assert((type == SETUP_OPENED || type == SETUP_KEYS) && m->key_count <= SETUP_KEYS_MAX);
    bytes_put_u32(&b, m->tag);
    if (type == SETUP_KEYS) {
        bytes_put_u32(&b, m->key_count);
        put_keys(&b, m);
        return finish(&b, type, out);
    }
    static const struct rdma_end no_end;
    bool opened = m->status == CENOTE_OK;
    assert(m->status <= 0 && (opened || m->key_count == 0));
    bytes_put_u32(&b, (uint32_t)m->status);
    put_end(&b, opened ? &m->end : &no_end);
    bytes_put_u64(&b, opened ? m->horizon : 0);
    bytes_put_u32(&b, m->key_count);
    bytes_put_u32(&b, 0);
    put_keys(&b, m);
    return finish(&b, type, out);
}

/* A refusal says nothing but its reason. */
static bool is_opened_sane(const struct setup_opened *m)
{
    if (m->status == CENOTE_OK)
        return is_mtu(m->end.mtu_bytes);
    return m->status < 0 && m->end.number == 0 && m->end.psn == 0 && m->end.mtu_bytes == 0 &&
           m->end.read_depth == 0 && m->horizon == 0 && m->key_count == 0;
}

int setup_decode_opened(enum setup_type type, const uint8_t *body, uint32_t len,
                        struct setup_opened *out)
{
    struct bytes b = bytes_over_const(body, len);
    bool sane = true;
    out->tag = bytes_get_u32(&b);
    if (type == SETUP_OPENED) {
        out->status = (int)(int32_t)bytes_get_u32(&b);
        sane = get_end(&b, &out->end);
        out->horizon = bytes_get_u64(&b);
        out->key_count = bytes_get_u32(&b);
        sane &= bytes_get_u32(&b) == 0 && is_opened_sane(out);
    } else {
        out->status = CENOTE_OK;
        out->end = (struct rdma_end){0};
        out->horizon = 0;
        out->key_count = bytes_get_u32(&b);
    }
    return judge(&b, sane && get_keys(&b, out));
}

size_t setup_encode_close(enum setup_type type, const struct setup_close *m, uint8_t *out)
{
    struct bytes b = begin(out);
    assert(type == SETUP_CLOSE || type == SETUP_CLOSED || type == SETUP_ASK);
    bytes_put_u32(&b, m->tag);
    bytes_put_u32(&b, 0);
    return finish(&b, type, out);
}

int setup_decode_close(const uint8_t *body, uint32_t len, struct setup_close *out)
{
    struct bytes b = bytes_over_const(body, len);
    out->tag = bytes_get_u32(&b);
    bool sane = bytes_get_u32(&b) == 0;
    return judge(&b, sane);
}
