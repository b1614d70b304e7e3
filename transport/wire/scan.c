/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan that stands before every parser: it walks the heads of the values in a frame without
 * recursion, allocation or trust, and touches each value once, however slowly the bytes arrive.
 */
#include <assert.h>

#include "transport/wire/wire.h"
#include <cenote/status.h>

enum shape { SHAPE_SCALAR, SHAPE_BYTES, SHAPE_ARRAY, SHAPE_MAP, SHAPE_REFUSED };

/* What a value's first byte says. */
struct tag {
    enum shape shape;
    uint32_t size_bytes; /* big-endian bytes of a length or count that follow the first byte */
    uint32_t fixed;      /* the length or count itself where size_bytes is 0 */
};

/* What the head of a value says. */
struct head {
    size_t head_bytes;
    uint64_t body_bytes; /* that follow the head */
    uint64_t children;   /* values that follow the head */
    bool container;
};

static struct tag tag_above_c0(uint8_t byte)
{
    static const struct tag tags[32] = {
        [0x00] = {SHAPE_SCALAR, 0, 0},                                /* nil */
        [0x01] = {SHAPE_REFUSED, 0, 0},                               /* never used */
        [0x02] = {SHAPE_SCALAR, 0, 0},                                /* false, true */
        [0x03] = {SHAPE_SCALAR, 0, 0},  [0x04] = {SHAPE_BYTES, 1, 0}, /* bin */
        [0x05] = {SHAPE_BYTES, 2, 0},   [0x06] = {SHAPE_BYTES, 4, 0},
        [0x07] = {SHAPE_REFUSED, 0, 0}, /* ext */
        [0x08] = {SHAPE_REFUSED, 0, 0}, [0x09] = {SHAPE_REFUSED, 0, 0},
        [0x0a] = {SHAPE_REFUSED, 0, 0}, /* float32 */
        [0x0b] = {SHAPE_SCALAR, 0, 8},  /* float64 */
        [0x0c] = {SHAPE_SCALAR, 0, 1},  /* unsigned */
        [0x0d] = {SHAPE_SCALAR, 0, 2},  [0x0e] = {SHAPE_SCALAR, 0, 4},
        [0x0f] = {SHAPE_SCALAR, 0, 8},  [0x10] = {SHAPE_SCALAR, 0, 1}, /* signed */
        [0x11] = {SHAPE_SCALAR, 0, 2},  [0x12] = {SHAPE_SCALAR, 0, 4},
        [0x13] = {SHAPE_SCALAR, 0, 8},  [0x14] = {SHAPE_REFUSED, 0, 0}, /* fixext */
        [0x15] = {SHAPE_REFUSED, 0, 0}, [0x16] = {SHAPE_REFUSED, 0, 0},
        [0x17] = {SHAPE_REFUSED, 0, 0}, [0x18] = {SHAPE_REFUSED, 0, 0},
        [0x19] = {SHAPE_BYTES, 1, 0}, /* str */
        [0x1a] = {SHAPE_BYTES, 2, 0},   [0x1b] = {SHAPE_BYTES, 4, 0},
        [0x1c] = {SHAPE_ARRAY, 2, 0},   [0x1d] = {SHAPE_ARRAY, 4, 0},
        [0x1e] = {SHAPE_MAP, 2, 0},     [0x1f] = {SHAPE_MAP, 4, 0},
    };
    return tags[byte - 0xc0];
}

static struct tag tag_of(uint8_t byte)
{
    if (byte < 0x80 || byte >= 0xe0)
        return (struct tag){SHAPE_SCALAR, 0, 0};
    if (byte < 0x90)
        return (struct tag){SHAPE_MAP, 0, byte & 0x0f};
    if (byte < 0xa0)
        return (struct tag){SHAPE_ARRAY, 0, byte & 0x0f};
    if (byte < 0xc0)
        return (struct tag){SHAPE_BYTES, 0, byte & 0x1f};
    return tag_above_c0(byte);
}

/* 1, 0 (the head is incomplete) or CENOTE_MALFORMED. */
static int head_read(const uint8_t *at, size_t len_bytes, struct head *out)
{
    if (len_bytes == 0)
        return 0;
    struct tag tag = tag_of(at[0]);
    if (tag.shape == SHAPE_REFUSED)
        return CENOTE_MALFORMED;
    if (len_bytes - 1 < tag.size_bytes)
        return 0;
    uint64_t size = tag.fixed;
    for (uint32_t i = 0; i < tag.size_bytes; i++)
        size = size << 8 | at[1 + i];
    *out = (struct head){.head_bytes = 1 + tag.size_bytes};
    switch (tag.shape) {
    case SHAPE_ARRAY:
    case SHAPE_MAP:
        out->container = true;
        out->children = tag.shape == SHAPE_MAP ? 2 * size : size;
        break;
    default:
        out->body_bytes = size;
    }
    return 1;
}

/* Checks a head against the limits, before any of its body or children are waited for. */
static int head_check(const struct wire_progress *p, const struct head *h, size_t frame_max)
{
    if (h->container && p->depth == WIRE_DEPTH_MAX)
        return CENOTE_MALFORMED;
    /* Each value that is missing, the children included, takes a byte at least. */
    uint64_t least = p->scanned + h->head_bytes + h->body_bytes + (p->missing - 1) + h->children;
    if (least > frame_max || p->values + p->missing + h->children > WIRE_VALUES_MAX)
        return CENOTE_FRAME_SIZE;
    return 1;
}

/* Steps over a value whose bytes are all there. True: it was the frame's last one. */
static bool step(struct wire_progress *p, const struct head *h)
{
    p->scanned += h->head_bytes + (size_t)h->body_bytes;
    p->values++;
    p->missing += h->children;
    p->missing--;
    assert(p->left[p->depth] > 0);
    p->left[p->depth]--;
    if (h->children > 0)
        p->left[++p->depth] = h->children;
    while (p->depth > 0 && p->left[p->depth] == 0)
        p->depth--;
    return p->left[p->depth] == 0;
}

int64_t wire_scan(const uint8_t *data, size_t len_bytes, size_t frame_max,
                  struct wire_progress *progress)
{
    struct wire_progress fresh = {0};
    struct wire_progress *p = progress ? progress : &fresh;
    if (p->scanned == 0) {
        p->left[0] = 1;
        p->missing = 1;
    }
    for (;;) {
        struct head h;
        assert(p->scanned <= len_bytes && p->depth <= WIRE_DEPTH_MAX);
        int rc = head_read(data + p->scanned, len_bytes - p->scanned, &h);
        if (rc > 0)
            rc = head_check(p, &h, frame_max);
        if (rc <= 0)
            return rc;
        if (h.head_bytes + h.body_bytes > len_bytes - p->scanned)
            return 0;
        if (step(p, &h))
            return (int64_t)p->scanned;
    }
}
