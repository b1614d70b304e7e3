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
    uint8_t shape;      /* enum shape */
    uint8_t size_bytes; /* big-endian bytes of a length or count that follow the first byte */
    uint8_t fixed;      /* the length or count itself where size_bytes is 0 */
};

/* What the head of a value says. */
struct head {
    size_t head_bytes;
    uint64_t body_bytes; /* that follow the head */
    uint64_t children;   /* values that follow the head */
    bool container;
};

#define TAG_ARRAY(n) [0x90 + (n)] = {SHAPE_ARRAY, 0, n}, [0x80 + (n)] = {SHAPE_MAP, 0, n}
#define TAG_TEXT(n)  [0xa0 + (n)] = {SHAPE_BYTES, 0, n}, [0xb0 + (n)] = {SHAPE_BYTES, 0, 16 + (n)}
#define TAGS_16(tag)                                                                               \
    tag(0), tag(1), tag(2), tag(3), tag(4), tag(5), tag(6), tag(7), tag(8), tag(9), tag(10),       \
        tag(11), tag(12), tag(13), tag(14), tag(15)

static const struct tag tags[256] = {
    [0x00 ... 0x7f] = {SHAPE_SCALAR, 0, 0},
    TAGS_16(TAG_ARRAY),
    TAGS_16(TAG_TEXT),
    [0xc0] = {SHAPE_SCALAR, 0, 0},          /* nil */
    [0xc1] = {SHAPE_REFUSED, 0, 0},         /* never used */
    [0xc2 ... 0xc3] = {SHAPE_SCALAR, 0, 0}, /* false, true */
    [0xc4] = {SHAPE_BYTES, 1, 0},           /* bin */
    [0xc5] = {SHAPE_BYTES, 2, 0},
    [0xc6] = {SHAPE_BYTES, 4, 0},
    [0xc7 ... 0xca] = {SHAPE_REFUSED, 0, 0}, /* ext, float32 */
    [0xcb] = {SHAPE_SCALAR, 0, 8},           /* float64 */
    [0xcc] = {SHAPE_SCALAR, 0, 1},           /* unsigned */
    [0xcd] = {SHAPE_SCALAR, 0, 2},
    [0xce] = {SHAPE_SCALAR, 0, 4},
    [0xcf] = {SHAPE_SCALAR, 0, 8},
    [0xd0] = {SHAPE_SCALAR, 0, 1}, /* signed */
    [0xd1] = {SHAPE_SCALAR, 0, 2},
    [0xd2] = {SHAPE_SCALAR, 0, 4},
    [0xd3] = {SHAPE_SCALAR, 0, 8},
    [0xd4 ... 0xd8] = {SHAPE_REFUSED, 0, 0}, /* fixext */
    [0xd9] = {SHAPE_BYTES, 1, 0},            /* str */
    [0xda] = {SHAPE_BYTES, 2, 0},
    [0xdb] = {SHAPE_BYTES, 4, 0},
    [0xdc] = {SHAPE_ARRAY, 2, 0},
    [0xdd] = {SHAPE_ARRAY, 4, 0},
    [0xde] = {SHAPE_MAP, 2, 0},
    [0xdf] = {SHAPE_MAP, 4, 0},
    [0xe0 ... 0xff] = {SHAPE_SCALAR, 0, 0},
};

/* 1, 0 (the head is incomplete) or CENOTE_MALFORMED. */
static int head_read(const uint8_t *at, size_t len_bytes, struct head *out)
{
    if (len_bytes == 0)
        return 0;
    struct tag tag = tags[at[0]];
    if (tag.shape == SHAPE_REFUSED)
        return CENOTE_MALFORMED;
    if (len_bytes - 1 < tag.size_bytes)
        return 0;
    uint64_t size = tag.fixed;
    for (uint32_t i = 0; i < tag.size_bytes; i++)
        size = size << 8 | at[1 + i];
    *out = (struct head){.head_bytes = 1u + tag.size_bytes};
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

/* Closes the containers that a value has filled. True: it was the frame's last one. */
static inline bool leave(struct wire_progress *p)
{
    while (p->depth > 0 && p->left[p->depth] == 0)
        p->depth--;
    return p->left[p->depth] == 0;
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
    return leave(p);
}

/* The same for most values: numbers, whose length their first byte tells. The number of values was
 * checked with their container. False: it is none, or not all there, or too much. */
static inline bool step_scalar(struct wire_progress *p, const uint8_t *at, size_t len_bytes,
                               size_t frame_max, bool *last)
{
    if (len_bytes == 0 || tags[*at].shape != SHAPE_SCALAR)
        return false;
    size_t size = 1u + tags[*at].fixed;
    if (size > len_bytes || p->scanned + size + p->missing - 1 > frame_max)
        return false;
    p->scanned += size;
    p->values++;
    p->missing--;
    p->left[p->depth]--;
    *last = leave(p);
    return true;
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
        bool last;
        if (step_scalar(p, data + p->scanned, len_bytes - p->scanned, frame_max, &last)) {
            if (last)
                return (int64_t)p->scanned;
            continue;
        }
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
