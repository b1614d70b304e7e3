/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/chunks.h"

#include <ctype.h>
#include <stdbool.h>

static bool add_digit(struct http_chunks *c, char digit)
{
    unsigned value;
    if (!isxdigit((unsigned char)digit) || c->left_bytes >> 58 != 0)
        return false;
    value = isdigit((unsigned char)digit) ? (unsigned)(digit - '0')
                                          : (unsigned)(tolower((unsigned char)digit) - 'a' + 10);
    c->left_bytes = c->left_bytes << 4 | value;
    c->state = CHUNKS_DIGITS;
    return true;
}

/* Any character of an extension or a trailer but control characters. */
static bool is_text(char c)
{
    return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

static bool expect(struct http_chunks *c, char is, char wanted, enum http_chunks_state next)
{
    c->state = next;
    return is == wanted;
}

static void end_of_size(struct http_chunks *c)
{
    c->line_bytes = 0;
    c->state = c->left_bytes > 0 ? CHUNKS_DATA : CHUNKS_TRAILER;
}

static bool in_size_line(struct http_chunks *c, char is)
{
    if (++c->line_bytes > HTTP_CHUNK_LINE_MAX)
        return false;
    switch (c->state) {
    case CHUNKS_SIZE:
        c->left_bytes = 0;
        return add_digit(c, is);
    case CHUNKS_DIGITS:
        if (is != '\r' && is != ';')
            return add_digit(c, is);
        c->state = is == '\r' ? CHUNKS_SIZE_LF : CHUNKS_EXTENSION;
        return true;
    case CHUNKS_EXTENSION:
        if (is == '\r')
            c->state = CHUNKS_SIZE_LF;
        return is == '\r' || is_text(is);
    default:
        end_of_size(c);
        return is == '\n';
    }
}

static bool in_trailers(struct http_chunks *c, char is)
{
    if (++c->line_bytes > HTTP_TRAILERS_MAX)
        return false;
    switch (c->state) {
    case CHUNKS_TRAILER:
        c->state = is == '\r' ? CHUNKS_LAST_LF : CHUNKS_TRAILER_LINE;
        return is == '\r' || is_text(is);
    case CHUNKS_TRAILER_LINE:
        if (is == '\r')
            c->state = CHUNKS_TRAILER_LF;
        return is == '\r' || is_text(is);
    case CHUNKS_TRAILER_LF:
        return expect(c, is, '\n', CHUNKS_TRAILER);
    default:
        return expect(c, is, '\n', CHUNKS_END);
    }
}

static bool step(struct http_chunks *c, char is)
{
    if (c->state < CHUNKS_DATA)
        return in_size_line(c, is);
    if (c->state == CHUNKS_DATA_CR)
        return expect(c, is, '\r', CHUNKS_DATA_LF);
    if (c->state == CHUNKS_DATA_LF)
        return expect(c, is, '\n', CHUNKS_SIZE);
    return in_trailers(c, is);
}

int http_chunks_next(struct http_chunks *c, const char *in, size_t len_bytes, size_t *used,
                     size_t *data_bytes)
{
    *used = *data_bytes = 0;
    while (*used < len_bytes && c->state != CHUNKS_END) {
        if (c->state != CHUNKS_DATA) {
            if (!step(c, in[(*used)++]))
                return -1;
            continue;
        }
        size_t rest = len_bytes - *used;
        *data_bytes = rest < c->left_bytes ? rest : (size_t)c->left_bytes;
        *used += *data_bytes;
        c->left_bytes -= *data_bytes;
        if (c->left_bytes == 0)
            c->state = CHUNKS_DATA_CR;
        return 0;
    }
    return 0;
}
