/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What arrives over HTTP: heads, in one go and in steps; chunks, likewise; paths, ranges and lists
 * of ETags as the gateway reads them. The first byte says which of them, the second how long a step
 * is.
 */
#include <assert.h>
#include <cenote/status.h>
#include <stdlib.h>
#include <string.h>

#include "server/gateway/target.h"
#include "server/http/chunks.h"
#include "server/http/head.h"
#include "server/http/http.h"
#include "server/http/origin.h"
#include "tests/fuzz/fuzz.h"

enum what { WHAT_HEAD, WHAT_CHUNKS, WHAT_TARGET, WHAT_RANGE, WHATS };

static char text[HTTP_HEAD_MAX + 1];

static void try_head(size_t len, size_t step)
{
    static struct http_head head;
    size_t looked = 0, none = 0;
    int end = 0;
    for (size_t at = step; end == 0 && at < len + step; at += step)
        end = http_head_find_end(text, at < len ? at : len, &looked);
    assert(http_head_find_end(text, len, &none) == end);
    if (end <= 0)
        return;
    int code = http_head_parse(text, (size_t)end, &head);
    assert(code == 0 || code == 400 || code == 431 || code == 501 || code == 505);
    if (code != 0)
        return;
    assert(head.path[0] == '/' && head.header_count <= HTTP_HEADERS_MAX);
    assert(!head.chunked || !head.has_len);
    (void)http_origin_fault(&head, true);
}

/* The body's length, and where it ends; the length is SIZE_MAX when it is refused. */
static size_t unchunk(size_t len, size_t step, size_t *end)
{
    struct http_chunks c = {0};
    size_t total = 0, used, data;
    for (*end = 0; *end < len && c.state != CHUNKS_END; *end += used) {
        size_t part = len - *end < step ? len - *end : step;
        if (http_chunks_next(&c, text + *end, part, &used, &data) != 0)
            return SIZE_MAX;
        assert(used <= part && data <= used && (used > 0 || part == 0));
        total += data;
    }
    return total;
}

static void try_chunks(size_t len, size_t step)
{
    size_t end, end_in_steps;
    size_t total = unchunk(len, len + 1, &end);
    assert(unchunk(len, step, &end_in_steps) == total);
    assert(total == SIZE_MAX || end == end_in_steps);
}

static void try_target(void)
{
    static struct target target;
    const char *why;
    char value[64];
    size_t len;
    int status = target_parse(text, &target, &why);
    assert(status == CENOTE_OK || why[0] != '\0');
    assert(status != CENOTE_OK || strlen(target.name_space) <= CENOTE_NAMESPACE_MAX);
    assert(status != CENOTE_OK || !target.has_key || target.key_len_bytes <= CENOTE_KEY_MAX);
    if (http_decode(text, strlen(text), true, value, sizeof value, &len) == CENOTE_OK)
        assert(len <= sizeof value);
}

static void try_range(uint64_t len_bytes)
{
    uint64_t from, count;
    char etag[ETAG_MAX];
    enum range_kind kind = range_read(text, len_bytes, &from, &count);
    if (kind == RANGE_PART)
        assert(count > 0 && from < len_bytes && count <= len_bytes - from);
    if (kind == RANGE_ALL)
        assert(from == 0 && count == len_bytes);
    etag_format(len_bytes, etag);
    (void)etag_is_in(text, etag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size - 2 > HTTP_HEAD_MAX)
        return 0;
    size_t len = size - 2, step = (size_t)data[1] + 1;
    memcpy(text, data + 2, len);
    text[len] = '\0';
    switch (data[0] % WHATS) {
    case WHAT_HEAD:
        try_head(len, step);
        break;
    case WHAT_CHUNKS:
        try_chunks(len, step);
        break;
    case WHAT_TARGET:
        try_target();
        break;
    default:
        try_range(data[1]);
        break;
    }
    return 0;
}
