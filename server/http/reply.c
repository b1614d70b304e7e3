/* SPDX-License-Identifier: Apache-2.0 */
/* Answers. To a request whose client has gone, or was refused meanwhile, they do nothing. */
#include <assert.h>
#include <cenote/status.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/http/conn.h"
#include "transport/base/clock.h"

#define HTTP_ERROR_TEXT_MAX 512

static const struct code {
    int code;
    const char *text;
    int status; /* with which a refusal is explained */
} codes[] = {
    {200, "OK", CENOTE_OK},
    {201, "Created", CENOTE_OK},
    {202, "Accepted", CENOTE_OK},
    {204, "No Content", CENOTE_OK},
    {206, "Partial Content", CENOTE_OK},
    {304, "Not Modified", CENOTE_OK},
    {400, "Bad Request", CENOTE_INVALID},
    {403, "Forbidden", CENOTE_DENIED},
    {404, "Not Found", CENOTE_NOT_FOUND},
    {405, "Method Not Allowed", CENOTE_NOT_SUPPORTED},
    {408, "Request Timeout", CENOTE_TIMED_OUT},
    {409, "Conflict", CENOTE_EXISTS},
    {411, "Length Required", CENOTE_INVALID},
    {412, "Precondition Failed", CENOTE_EXISTS},
    {413, "Content Too Large", CENOTE_LIMIT},
    {414, "URI Too Long", CENOTE_KEY_SIZE},
    {415, "Unsupported Media Type", CENOTE_NOT_SUPPORTED},
    {416, "Range Not Satisfiable", CENOTE_BAD_RANGE},
    {429, "Too Many Requests", CENOTE_LIMIT},
    {431, "Request Header Fields Too Large", CENOTE_LIMIT},
    {500, "Internal Server Error", CENOTE_INTERNAL},
    {501, "Not Implemented", CENOTE_NOT_SUPPORTED},
    {502, "Bad Gateway", CENOTE_CORRUPT},
    {503, "Service Unavailable", CENOTE_UNAVAILABLE},
    {504, "Gateway Timeout", CENOTE_TIMED_OUT},
    {505, "HTTP Version Not Supported", CENOTE_VERSION},
    {507, "Insufficient Storage", CENOTE_NO_SPACE},
};

static const struct code *find_code(int code)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].code == code)
            return &codes[i];
    }
    assert(!"a status code of the table");
    return NULL;
}

static bool is_deaf(const struct http_request *r)
{
    return !r->conn || r->ended || r->broken;
}

/* ---- headers --------------------------------------------------------------------------------- */

void http_reply_header(struct http_request *r, const char *name, const char *value)
{
    size_t room = sizeof r->extra - r->extra_len;
    if (is_deaf(r) || r->begun)
        return;
    char *line = r->extra + r->extra_len;
    int len = snprintf(line, room, "%s: %s", name, value);
    if (len < 0 || (size_t)len + 3 > room)
        return;
    for (int i = 0; i < len; i++) {
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    }
    memcpy(line + len, "\r\n", 2);
    r->extra_len += (size_t)len + 2;
}

/* Can the connection be kept, although the client may still be sending? */
static bool outlives(const struct http_request *r)
{
    if (r->closes || r->server->stopping)
        return false;
    if (r->body_over)
        return true;
    return !r->continue_owed && !r->head.chunked && r->body_left_bytes <= HTTP_DISCARD_MAX;
}

/* There is no memory for a piece. Who writes doesn't know, so his watch stays and is told. */
static void lose_rest(struct http_request *r)
{
    r->broken = true;
    http_conn_turn(r->conn);
}

/* Something that the client must not miss. After a part that there was no memory for nothing more
 * is sent: what is left must not look like a whole answer. */
static void add_text(struct http_request *r, const char *text, size_t len_bytes)
{
    if (!r->broken && evbuffer_add(r->conn->out, text, len_bytes) != 0)
        lose_rest(r);
}

__attribute__((format(printf, 2, 3))) static void add(struct http_request *r, const char *format,
                                                      ...)
{
    va_list args;
    va_start(args, format);
    if (!r->broken && evbuffer_add_vprintf(r->conn->out, format, args) < 0)
        lose_rest(r);
    va_end(args);
}

static void add_date(struct http_request *r)
{
    char text[64];
    struct tm tm;
    time_t now = (time_t)(clock_wall_ms() / 1000);
    gmtime_r(&now, &tm);
    add_text(r, text, strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm));
}

void http_reply_begin(struct http_request *r, int code, const char *type, uint64_t len_bytes)
{
    if (is_deaf(r))
        return;
    assert(!r->begun);
    bool is_open = len_bytes == HTTP_LENGTH_UNKNOWN;
    r->closes = !outlives(r) || (is_open && r->head.http10);
    r->no_body = r->head.method == HTTP_HEAD || code == 204 || code == 304;
    r->chunked = is_open && !r->head.http10 && !r->no_body;
    r->reply_left_bytes = len_bytes;
    r->begun = true;
    add(r, "HTTP/1.1 %d %s\r\n", code, find_code(code)->text);
    add_date(r);
    if (type)
        add(r, "Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\n", type);
    if (!is_open && code != 204 && code != 304)
        add(r, "Content-Length: %" PRIu64 "\r\n", len_bytes);
    if (r->chunked)
        add(r, "Transfer-Encoding: chunked\r\n");
    if (r->closes)
        add(r, "Connection: close\r\n");
    add_text(r, r->extra, r->extra_len);
    add_text(r, "\r\n", 2);
    count_one(&r->server->counters.answers[code / 100]);
    http_conn_turn(r->conn);
}

/* ---- the content ----------------------------------------------------------------------------- */

size_t http_reply_room(const struct http_request *r)
{
    if (is_deaf(r))
        return 0;
    size_t waiting = evbuffer_get_length(r->conn->out);
    return waiting < HTTP_OUTPUT_MAX ? HTTP_OUTPUT_MAX - waiting : 0;
}

/* Before len_bytes of content. */
static void open_piece(struct http_request *r, size_t len_bytes)
{
    assert(r->begun && (r->reply_left_bytes >= len_bytes));
    if (r->chunked)
        add(r, "%zx\r\n", len_bytes);
    else if (r->reply_left_bytes != HTTP_LENGTH_UNKNOWN)
        r->reply_left_bytes -= len_bytes;
}

static void close_piece(struct http_request *r)
{
    if (r->chunked)
        add_text(r, "\r\n", 2);
    r->was_full = r->was_full || evbuffer_get_length(r->conn->out) >= HTTP_OUTPUT_MAX;
    http_conn_turn(r->conn);
}

void http_reply_write(struct http_request *r, const void *data, size_t len_bytes)
{
    if (is_deaf(r) || r->no_body || len_bytes == 0)
        return;
    open_piece(r, len_bytes);
    add_text(r, data, len_bytes);
    if (!r->broken)
        close_piece(r);
}

struct loan {
    void (*done)(void *arg);
    void *arg;
};

static void on_given_back(const void *data, size_t len_bytes, void *arg)
{
    struct loan loan = *(struct loan *)arg;
    (void)data;
    (void)len_bytes;
    free(arg);
    loan.done(loan.arg);
}

void http_reply_lend(struct http_request *r, const void *data, size_t len_bytes,
                     void (*done)(void *arg), void *arg)
{
    struct loan *loan;
    if (is_deaf(r) || r->no_body || len_bytes == 0) {
        done(arg);
        return;
    }
    loan = malloc(sizeof *loan);
    if (!loan) {
        lose_rest(r);
        done(arg);
        return;
    }
    *loan = (struct loan){done, arg};
    open_piece(r, len_bytes);
    if (r->broken ||
        evbuffer_add_reference(r->conn->out, data, len_bytes, on_given_back, loan) != 0) {
        free(loan);
        lose_rest(r);
        done(arg);
        return;
    }
    close_piece(r);
}

void http_reply_end(struct http_request *r)
{
    r->watch = NULL;
    if (is_deaf(r))
        return;
    assert(r->begun);
    assert(r->no_body || r->reply_left_bytes == 0 || r->reply_left_bytes == HTTP_LENGTH_UNKNOWN);
    if (r->chunked)
        add_text(r, "0\r\n\r\n", 5);
    r->ended = true;
    http_conn_turn(r->conn);
}

bool http_reply_is_sent(const struct http_request *r)
{
    return !r->conn || evbuffer_get_length(r->conn->out) == 0;
}

void http_reply_tell_sent(struct http_request *r)
{
    r->wants_sent = true;
}

void http_reply_break(struct http_request *r)
{
    r->watch = NULL;
    if (is_deaf(r))
        return;
    r->begun = r->broken = true;
    http_conn_turn(r->conn);
}

/* ---- whole answers --------------------------------------------------------------------------- */

void http_reply(struct http_request *r, int code, const char *type, const void *body,
                size_t len_bytes)
{
    http_reply_begin(r, code, type, len_bytes);
    http_reply_write(r, body, len_bytes);
    http_reply_end(r);
}

void http_reply_text(struct http_request *r, int code, const char *text)
{
    http_reply(r, code, "text/plain; charset=utf-8", text, strlen(text));
}

void http_reply_json(struct http_request *r, int code, const char *json)
{
    http_reply(r, code, "application/json", json, strlen(json));
}

/* As a JSON string takes it; what isn't ASCII becomes '?'. */
static void escape(const char *text, char *out, size_t size)
{
    size_t used = 0;
    for (; *text != '\0' && used + 3 < size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            out[used++] = '\\';
        out[used++] = c >= ' ' && c < 0x7f ? (char)c : '?';
    }
    out[used] = '\0';
}

void http_reply_error(struct http_request *r, int code, int status, const char *format, ...)
{
    char text[HTTP_ERROR_TEXT_MAX], escaped[2 * HTTP_ERROR_TEXT_MAX];
    char json[2 * HTTP_ERROR_TEXT_MAX + 64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    escape(text, escaped, sizeof escaped);
    snprintf(json, sizeof json, "{\"error\": \"%s\", \"status\": \"%s\"}\n", escaped,
             cenote_status_name(status));
    http_reply_json(r, code, json);
}

void http_reply_refuse(struct http_request *r, int code, const char *why)
{
    const struct http_watch *watch = r->watch;
    void *arg = r->watch_arg;
    if (r->begun)
        http_reply_break(r);
    else
        http_reply_error(r, code, find_code(code)->status, "%s", why);
    r->watch = NULL;
    if (watch && watch->gone)
        watch->gone(arg);
}
