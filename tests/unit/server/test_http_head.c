/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/head.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "server/http/chunks.h"
#include "server/http/origin.h"

static char text[HTTP_HEAD_MAX + 64];
static struct http_head head;

static int parse(const char *from)
{
    size_t len = strlen(from);
    memcpy(text, from, len + 1);
    return http_head_parse(text, len, &head);
}

/* With a Host. */
static int parse_with(const char *line, const char *headers)
{
    char whole[1024];
    snprintf(whole, sizeof whole, "%s\r\nHost: a\r\n%s\r\n", line, headers);
    return parse(whole);
}

static int find(const char *from)
{
    size_t looked = 0;
    return http_head_find_end(from, strlen(from), &looked);
}

Test(http_head, find_end__whole_and_in_steps)
{
    const char whole[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nmore";
    size_t looked = 0, end = sizeof whole - 5;
    cr_assert_eq(find(whole), (int)end);
    for (size_t len = 0; len < end; len++)
        cr_assert_eq(http_head_find_end(whole, len, &looked), 0, "%zu", len);
    cr_assert_eq(http_head_find_end(whole, end, &looked), (int)end);
}

Test(http_head, find_end__no_http)
{
    cr_assert_eq(find("\x16\x03\x01"), -1);
    cr_assert_eq(find("GET / HTTP/1.1\n"), -1, "a line ends with CR LF");
    cr_assert_eq(find("GET / HTTP/1.1\rHost"), -1);
    cr_assert_eq(find("GET /\x01"), -1);
    cr_assert_eq(find("GET /\x7f"), -1);
    cr_assert_eq(find("GET /\xc3\xa4\t HTTP/1.1\r"), 0, "not at its end");
}

Test(http_head, parse__parts)
{
    cr_assert_eq(parse("PUT /a%20b/../c?x=1&y HTTP/1.1\r\nHost: h\r\nX-One:  two \t\r\n\r\n"), 0);
    cr_assert_eq(head.method, HTTP_PUT);
    cr_assert_str_eq(head.path, "/a%20b/../c", "no part of it is interpreted");
    cr_assert_str_eq(head.query, "x=1&y");
    cr_assert_str_eq(http_head_value(&head, "x-oNE"), "two");
    cr_assert_null(http_head_value(&head, "X-On"));
    cr_assert(head.keep_alive && !head.has_len && !head.chunked && !head.expects_continue);
}

Test(http_head, parse__targets)
{
    cr_assert_eq(parse_with("GET http://a:1/b?c HTTP/1.1", ""), 0);
    cr_assert_str_eq(head.path, "/b");
    cr_assert_eq(parse_with("GET / HTTP/1.1", ""), 0);
    cr_assert_null(head.query);
    cr_assert_eq(parse_with("GET /? HTTP/1.1", ""), 0);
    cr_assert_str_eq(head.query, "");
    const char *const bad[] = {"GET a HTTP/1.1",
                               "GET  HTTP/1.1",
                               "GET * HTTP/1.1",
                               "GET /#x HTTP/1.1",
                               "GET http://a HTTP/1.1",
                               "GET / / HTTP/1.1",
                               "GET /\tHTTP/1.1",
                               "GET /",
                               "/ HTTP/1.1",
                               " GET / HTTP/1.1",
                               "G(T / HTTP/1.1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(parse_with(bad[i], ""), 400, "%s", bad[i]);
}

Test(http_head, parse__versions)
{
    cr_assert_eq(parse("GET / HTTP/1.0\r\n\r\n"), 0, "no Host is needed");
    cr_assert(head.http10 && !head.keep_alive);
    cr_assert_eq(parse("GET / HTTP/1.1\r\n\r\n"), 400, "one is");
    cr_assert_eq(parse_with("GET / HTTP/1.1", "Host: b\r\n"), 400);
    cr_assert_eq(parse_with("GET / HTTP/2.0", ""), 505);
    cr_assert_eq(parse_with("GET / HTTP/11", ""), 400);
    cr_assert_eq(parse_with("GET / http/1.1", ""), 400);
    cr_assert_eq(parse_with("PATCH / HTTP/1.1", ""), 0);
    cr_assert_eq(head.method, 0);
}

Test(http_head, parse__headers)
{
    char many[HTTP_HEADERS_MAX * 8 + 8] = "";
    cr_assert_eq(parse_with("GET / HTTP/1.1", "a b: c\r\n"), 400);
    cr_assert_eq(parse_with("GET / HTTP/1.1", " folded: c\r\n"), 400);
    cr_assert_eq(parse_with("GET / HTTP/1.1", "nothing\r\n"), 400);
    cr_assert_eq(parse_with("GET / HTTP/1.1", ": c\r\n"), 400);
    for (unsigned i = 1; i < HTTP_HEADERS_MAX; i++)
        strcat(many, "a: b\r\n");
    cr_assert_eq(parse_with("GET / HTTP/1.1", many), 0);
    strcat(many, "a: b\r\n");
    cr_assert_eq(parse_with("GET / HTTP/1.1", many), 431);
    cr_assert_eq(parse_with("GET / HTTP/1.1", "Connection: x, Close\r\n"), 0);
    cr_assert(!head.keep_alive);
    cr_assert_eq(parse_with("PUT / HTTP/1.1", "Expect: 100-Continue\r\n"), 0);
    cr_assert(head.expects_continue);
}

Test(http_head, parse__framing)
{
    static const struct {
        const char *headers;
        int code;
    } cases[] = {{"Content-Length: 12\r\n", 0},
                 {"Content-Length: 9223372036854775807\r\n", 0},
                 {"Content-Length: 99999999999999999999\r\n", 400},
                 {"Content-Length: -1\r\n", 400},
                 {"Content-Length: +1\r\n", 400},
                 {"Content-Length: 0x1\r\n", 400},
                 {"Content-Length:\r\n", 400},
                 {"Content-Length: 1\r\nContent-Length: 1\r\n", 400},
                 {"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400},
                 {"Transfer-Encoding: chunked\r\n", 0},
                 {"Transfer-Encoding: gzip, chunked\r\n", 501},
                 {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_assert_eq(parse_with("PUT / HTTP/1.1", cases[i].headers), cases[i].code, "%s",
                     cases[i].headers);
    cr_assert_eq(parse_with("PUT / HTTP/1.0", "Transfer-Encoding: chunked\r\n"), 400);
    cr_assert_eq(parse_with("PUT / HTTP/1.1", "Content-Length: 5368709120\r\n"), 0);
    cr_assert(head.has_len && head.content_len_bytes == UINT64_C(5) << 30);
}

/* Is it taken by a server on loopback? */
static bool taken(const char *line, const char *headers)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s / HTTP/1.1\r\n%s\r\n", line, headers);
    cr_assert_eq(parse(whole), 0);
    return http_origin_fault(&head, true) == NULL;
}

Test(http_origin, fault__hosts)
{
    cr_assert(taken("GET", "Host: 127.0.0.1:7480\r\n"));
    cr_assert(taken("GET", "Host: [::1]:7480\r\n"));
    cr_assert(taken("GET", "Host: LocalHost\r\n"));
    cr_assert(taken("GET", "Host: pool.localhost:1\r\n"));
    cr_assert(!taken("GET", "Host: evil.example\r\n"));
    cr_assert(!taken("GET", "Host: localhost.evil.example\r\n"));
    cr_assert(!taken("GET", "Host: 127.0.0.1.evil.example\r\n"));
    cr_assert(!taken("GET", "Host: .localhost\r\n"));
    cr_assert(!taken("GET", "Host: \r\n"));
    cr_assert_null(http_origin_fault(&head, false), "elsewhere any name will do");
}

Test(http_origin, fault__origins)
{
    cr_assert(taken("PUT", "Host: 127.0.0.1:7480\r\nOrigin: http://127.0.0.1:7480\r\n"));
    cr_assert(!taken("PUT", "Host: 127.0.0.1:7480\r\nOrigin: http://127.0.0.1:7481\r\n"));
    cr_assert(!taken("DELETE", "Host: 127.0.0.1:7480\r\nOrigin: null\r\n"));
    cr_assert(!taken("POST", "Host: 127.0.0.1\r\nOrigin: http://evil.example\r\n"));
    cr_assert(taken("GET", "Host: 127.0.0.1\r\nOrigin: http://evil.example\r\n"));
}

/* ---- chunks ---------------------------------------------------------------------------------- */

/* The body, fed in steps of so many bytes; NULL: it was refused. */
static const char *unchunk(const char *in, size_t step, struct http_chunks *c)
{
    static char out[256];
    size_t len = strlen(in), used, data, total = 0;
    *c = (struct http_chunks){0};
    for (size_t at = 0; at < len && c->state != CHUNKS_END; at += used) {
        size_t part = len - at < step ? len - at : step;
        if (http_chunks_next(c, in + at, part, &used, &data) != 0)
            return NULL;
        memcpy(out + total, in + at + used - data, data);
        total += data;
    }
    out[total] = '\0';
    return out;
}

Test(http_chunks, next__bodies)
{
    static const char body[] = "5;a=\"b\"\r\nhello\r\n0A\r\n, chunked\n\r\n0\r\nX: y\r\n\r\nNEXT";
    struct http_chunks c;
    for (size_t step = 1; step < sizeof body; step++) {
        cr_assert_str_eq(unchunk(body, step, &c), "hello, chunked\n");
        cr_assert_eq(c.state, CHUNKS_END);
    }
    cr_assert_str_eq(unchunk("0\r\n\r\n", 2, &c), "");
    cr_assert_eq(c.state, CHUNKS_END);
    cr_assert_str_eq(unchunk("5\r\nhel", 2, &c), "hel");
    cr_assert_neq(c.state, CHUNKS_END);
}

Test(http_chunks, next__malformed)
{
    static const char *const bad[] = {"\r\n",
                                      "g\r\n",
                                      "5\nhello",
                                      "1\r\nab\r\n",
                                      "1\r\na\n",
                                      "-1\r\n",
                                      "1\r\na\r\n;\r\n",
                                      "0\r\nX\n\r\n",
                                      "0\r\n\rX",
                                      " 1\r\n",
                                      "0x1\r\n",
                                      "1 \r\na",
                                      "fffffffffffffffff\r\n",
                                      "1\x01\r\n"};
    struct http_chunks c;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_null(unchunk(bad[i], 3, &c), "%s", bad[i]);
}

Test(http_chunks, next__limits)
{
    char line[HTTP_TRAILERS_MAX + 64];
    struct http_chunks c;
    memset(line, 'x', sizeof line);
    memcpy(line, "1;", 2);
    line[HTTP_CHUNK_LINE_MAX + 8] = '\0';
    cr_assert_null(unchunk(line, 64, &c), "an extension is short");
    memset(line, 'x', sizeof line);
    memcpy(line, "0\r\n", 3);
    line[sizeof line - 1] = '\0';
    cr_assert_null(unchunk(line, 64, &c), "so are trailers");
}
