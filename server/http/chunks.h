/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked transfer coding of a request's body, taken off without I/O. */
#ifndef CENOTE_HTTP_CHUNKS_H
#define CENOTE_HTTP_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

#define HTTP_CHUNK_LINE_MAX 256u       /* a chunk's length with its extensions */
#define HTTP_TRAILERS_MAX   (4u << 10) /* all of them, which nobody reads */

enum http_chunks_state {
    CHUNKS_SIZE, /* first digit of a length */
    CHUNKS_DIGITS,
    CHUNKS_EXTENSION,
    CHUNKS_SIZE_LF,
    CHUNKS_DATA,
    CHUNKS_DATA_CR,
    CHUNKS_DATA_LF,
    CHUNKS_TRAILER, /* first character of a line */
    CHUNKS_TRAILER_LINE,
    CHUNKS_TRAILER_LF,
    CHUNKS_LAST_LF,
    CHUNKS_END
};

/* Zero-fill it at the beginning of a body. */
struct http_chunks {
    enum http_chunks_state state;
    uint64_t left_bytes; /* of the chunk */
    size_t line_bytes;   /* of the line, or of the trailers */
};

/* Goes through in until there is something of the body, or no more. Bytes of in that are done with:
 * *used; those at its end that belong to the body: *data_bytes. 0, or -1: this is no such coding.
 * The body is over when state is CHUNKS_END. */
int http_chunks_next(struct http_chunks *c, const char *in, size_t len_bytes, size_t *used,
                     size_t *data_bytes);

#endif
