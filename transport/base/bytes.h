/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded cursor over bytes: fixed formats (seals, data wire, database records) are encoded field
 * by field, little-endian, through it. A cursor that ran past its end stays failed and reads zeros;
 * callers check once, at the end, with bytes_ok().
 */
#ifndef CENOTE_BASE_BYTES_H
#define CENOTE_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    uint8_t *at;        /* next byte */
    const uint8_t *end; /* one past the last */
    bool failed;
};

static inline struct bytes bytes_over(void *data, size_t len)
{
    return (struct bytes){.at = data, .end = (const uint8_t *)data + len, .failed = false};
}

/* For reading only: the cursor's writers must not be used on it. */
static inline struct bytes bytes_over_const(const void *data, size_t len)
{
    return bytes_over((void *)(uintptr_t)data, len);
}

static inline bool bytes_ok(const struct bytes *b)
{
    return !b->failed;
}

static inline size_t bytes_left(const struct bytes *b)
{
    return b->failed ? 0 : (size_t)(b->end - b->at);
}

static inline bool bytes_take(struct bytes *b, size_t len, uint8_t **at)
{
    if (b->failed || (size_t)(b->end - b->at) < len) {
        b->failed = true;
        return false;
    }
    *at = b->at;
    b->at += len;
    return true;
}

static inline void bytes_put_n(struct bytes *b, uint64_t v, size_t n)
{
    uint8_t *p;
    uint64_t le = htole64(v);
    if (bytes_take(b, n, &p))
        memcpy(p, &le, n);
}

static inline uint64_t bytes_get_n(struct bytes *b, size_t n)
{
    uint8_t *p;
    uint64_t le = 0;
    if (bytes_take(b, n, &p))
        memcpy(&le, p, n);
    return le64toh(le);
}

static inline void bytes_put_u8(struct bytes *b, uint8_t v)
{
    bytes_put_n(b, v, 1);
}
static inline void bytes_put_u16(struct bytes *b, uint16_t v)
{
    bytes_put_n(b, v, 2);
}
static inline void bytes_put_u32(struct bytes *b, uint32_t v)
{
    bytes_put_n(b, v, 4);
}
static inline void bytes_put_u64(struct bytes *b, uint64_t v)
{
    bytes_put_n(b, v, 8);
}
static inline uint8_t bytes_get_u8(struct bytes *b)
{
    return (uint8_t)bytes_get_n(b, 1);
}
static inline uint16_t bytes_get_u16(struct bytes *b)
{
    return (uint16_t)bytes_get_n(b, 2);
}
static inline uint32_t bytes_get_u32(struct bytes *b)
{
    return (uint32_t)bytes_get_n(b, 4);
}
static inline uint64_t bytes_get_u64(struct bytes *b)
{
    return bytes_get_n(b, 8);
}

static inline void bytes_put(struct bytes *b, const void *src, size_t len)
{
    uint8_t *p;
    if (len > 0 && bytes_take(b, len, &p))
        memcpy(p, src, len);
}

/* Copies len bytes out; zeros when there aren't that many. */
static inline void bytes_get(struct bytes *b, void *dst, size_t len)
{
    uint8_t *p;
    if (len == 0)
        return;
    if (bytes_take(b, len, &p))
        memcpy(dst, p, len);
    else
        memset(dst, 0, len);
}

#endif
