/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/copy.h"

#include <stdatomic.h>
#include <string.h>

int copy_check(const struct xcopy_req *req)
{
    if (req->payload_len > EXTENT_PAYLOAD_MAX || req->offset > req->payload_len ||
        req->len_bytes > req->payload_len - req->offset || req->gva.v % EXTENT_ALIGN != 0)
        return CENOTE_BAD_RANGE;
    if (req->tail_len > extent_size(req->payload_len) - req->payload_len)
        return CENOTE_BAD_RANGE;
    if (req->len_bytes > 0 && req->local.kind != MEMORY_HOST)
        return CENOTE_NOT_SUPPORTED;
    uint64_t room = 0;
    uint64_t want = req->len_bytes + req->local.skip_bytes;
    if (want < req->len_bytes)
        return CENOTE_INVALID;
    for (size_t i = 0; i < req->local.count && room < want; i++) {
        uint64_t len = req->local.pieces[i].len_bytes;
        room = len > UINT64_MAX - room ? UINT64_MAX : room + len;
    }
    return req->len_bytes > 0 && room < want ? CENOTE_INVALID : CENOTE_OK;
}

void copy_load(void *dst, const uint8_t *src, uint64_t len_bytes)
{
    uint8_t *to = dst;
    if ((uintptr_t)src % sizeof(uint32_t) != 0 || len_bytes % sizeof(uint32_t) != 0) {
        memcpy(to, src, (size_t)len_bytes);
        return;
    }
    for (uint64_t i = 0; i < len_bytes; i += sizeof(uint32_t)) {
        const void *word_at = src + i;
        uint32_t word = __atomic_load_n((const uint32_t *)word_at, __ATOMIC_RELAXED);
        memcpy(to + i, &word, sizeof word);
    }
}

void copy_read(struct xcopy_req *req, const uint8_t *extent)
{
    struct xcopy_cursor cursor = xcopy_cursor_of(&req->local);
    const uint8_t *from = extent + req->offset;
    uint64_t left = req->len_bytes;
    while (left > 0) {
        uint8_t *part;
        size_t n = xcopy_cursor_next(&cursor, (size_t)left, &part);
        if (req->sums != NULL)
            sums_copy(req->sums, part, from, n);
        else
            memcpy(part, from, n);
        from += n;
        left -= n;
    }
    atomic_thread_fence(memory_order_acquire); /* the tail's loads stay behind the payload's */
    copy_load(req->tail, extent + extent_size(req->payload_len) - req->tail_len, req->tail_len);
}

void copy_write(struct xcopy_req *req, uint8_t *extent)
{
    struct xcopy_cursor cursor = xcopy_cursor_of(&req->local);
    uint8_t *to = extent + req->offset;
    uint64_t left = req->len_bytes;
    while (left > 0) {
        uint8_t *part;
        size_t n = xcopy_cursor_next(&cursor, (size_t)left, &part);
        if (req->sums != NULL)
            sums_copy(req->sums, to, part, n);
        else
            memcpy(to, part, n);
        to += n;
        left -= n;
    }
    if (req->seal_it != NULL)
        req->seal_it(req);
    atomic_thread_fence(memory_order_release); /* the tail's stores stay behind the payload's */
    if (req->tail_len > 0)
        memcpy(extent + extent_size(req->payload_len) - req->tail_len, req->tail, req->tail_len);
    atomic_thread_fence(memory_order_seq_cst); /* visible before completion is */
}
