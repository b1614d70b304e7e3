/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an HTTP/1.x request, without I/O: found in what has arrived, and taken apart in
 * place.
 *
 * What isn't plain is refused, not interpreted: a request that two programs could read in two ways
 * is how one is smuggled behind another.
 */
#ifndef CENOTE_HTTP_HEAD_H
#define CENOTE_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX    (16u << 10) /* request line and headers */
#define HTTP_HEADERS_MAX 64u

#define HTTP_METHODS 5u
enum http_method { HTTP_GET = 1, HTTP_HEAD = 2, HTTP_PUT = 4, HTTP_POST = 8, HTTP_DELETE = 16 };
extern const char *const http_method_names[HTTP_METHODS]; /* in the order of their bits */

struct http_header {
    const char *name, *value;
};

struct http_head {
    unsigned method;   /* enum http_method; 0: one that nobody here has */
    const char *path;  /* as it came, percent-encoded; begins with '/' */
    const char *query; /* behind the '?', as it came; NULL: there is none */
    bool http10;
    bool keep_alive;
    bool expects_continue;
    bool chunked;
    bool has_len;
    uint64_t content_len_bytes; /* has_len */
    unsigned header_count;
    struct http_header headers[HTTP_HEADERS_MAX];
};

/* Looks for the end of a head at the beginning of text. *looked: how much of it was seen by the
 * last look, 0 at first. The length of the head, end included; 0: not all of it is there; -1: this
 * is no HTTP. */
int http_head_find_end(const char *text, size_t len_bytes, size_t *looked);

/* Takes a whole head apart; *out points into text, which is changed. 0, or the HTTP status code to
 * refuse it with: 400, 431 (too many headers), 501, 505. */
int http_head_parse(char *text, size_t len_bytes, struct http_head *out);

/* The value of a header, whatever the case of its name; NULL: it isn't there. */
const char *http_head_value(const struct http_head *h, const char *name);

#endif
