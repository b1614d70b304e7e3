/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/head.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "transport/base/testswitch.h"

#define BAD_REQUEST     400
#define TOO_MANY_FIELDS 431
#define NOT_IMPLEMENTED 501
#define BAD_VERSION     505

#define VERSION_LEN 8 /* HTTP/1.1 */

/* ---- where it ends --------------------------------------------------------------------------- */

/* Text may hold anything but control characters; a line ends with CR LF, both of them. */
static bool fits(const char *text, size_t at)
{
    unsigned char c = (unsigned char)text[at], before = at > 0 ? (unsigned char)text[at - 1] : 0;
    if (before == '\r')
        return c == '\n';
    return c == '\r' || c == '\t' || (c >= ' ' && c != 0x7f);
}

int http_head_find_end(const char *text, size_t len_bytes, size_t *looked)
{
    for (size_t i = *looked; i < len_bytes; i++) {
        if (!fits(text, i))
            return -1;
        if (i >= 3 && memcmp(text + i - 3, "\r\n\r\n", 4) == 0)
            return (int)i + 1;
    }
    *looked = len_bytes;
    return 0;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static bool is_token_char(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *text)
{
    const char *at = text;
    while (is_token_char(*at))
        at++;
    return at > text && *at == '\0';
}

/* Cuts the text up to the next separator off; NULL: there is none. */
static char *cut(char **rest, const char *separator)
{
    char *begin = *rest, *end = strstr(begin, separator);
    if (!end)
        return NULL;
    *end = '\0';
    *rest = end + strlen(separator);
    return begin;
}

const char *const http_method_names[HTTP_METHODS] = {"GET", "HEAD", "PUT", "POST", "DELETE"};

static unsigned method_of(const char *name)
{
    for (unsigned i = 0; i < HTTP_METHODS; i++)
        if (strcmp(name, http_method_names[i]) == 0)
            return 1u << i;
    return 0;
}

/* ---- the request line ------------------------------------------------------------------------ */

static int read_version(const char *text, struct http_head *out)
{
    if (strcmp(text, "HTTP/1.1") == 0 || strcmp(text, "HTTP/1.0") == 0) {
        out->http10 = text[VERSION_LEN - 1] == '0';
        return 0;
    }
    bool other = strlen(text) == VERSION_LEN && strncmp(text, "HTTP/", 5) == 0 &&
                 isdigit((unsigned char)text[5]) && text[6] == '.' &&
                 isdigit((unsigned char)text[7]);
    return other ? BAD_VERSION : BAD_REQUEST;
}

/* /path?query, or the whole URL as proxies are asked. */
static int read_target(char *text, struct http_head *out)
{
    if (strncasecmp(text, "http://", 7) == 0) {
        text = strchr(text + 7, '/');
        if (!text)
            return BAD_REQUEST;
    }
    if (text[0] != '/' || strchr(text, '#'))
        return BAD_REQUEST;
    out->path = text;
    char *query = strchr(text, '?');
    if (query)
        *query++ = '\0';
    out->query = query;
    return 0;
}

static int read_request_line(char *line, struct http_head *out)
{
    char *rest = line;
    const char *method = cut(&rest, " ");
    char *target = cut(&rest, " ");
    if (!method || !target || !is_token(method) || strchr(rest, ' ') || strchr(target, '\t'))
        return BAD_REQUEST;
    out->method = method_of(method);
    int code = read_version(rest, out);
    return code == 0 ? read_target(target, out) : code;
}

/* ---- headers --------------------------------------------------------------------------------- */

static int read_header(char *line, struct http_head *out)
{
    char *value = strchr(line, ':');
    if (!value)
        return BAD_REQUEST;
    *value++ = '\0';
    if (!is_token(line)) /* also one that begins with a space: a folded line */
        return BAD_REQUEST;
    if (out->header_count == HTTP_HEADERS_MAX)
        return test_off(TEST_HTTP_LIMITS) ? 0 : TOO_MANY_FIELDS;
    value += strspn(value, " \t");
    size_t len = strlen(value);
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        value[--len] = '\0';
    out->headers[out->header_count++] = (struct http_header){line, value};
    return 0;
}

const char *http_head_value(const struct http_head *h, const char *name)
{
    for (unsigned i = 0; i < h->header_count; i++) {
        if (strcasecmp(h->headers[i].name, name) == 0)
            return h->headers[i].value;
    }
    return NULL;
}

static unsigned count_of(const struct http_head *h, const char *name)
{
    unsigned count = 0;
    for (unsigned i = 0; i < h->header_count; i++)
        count += strcasecmp(h->headers[i].name, name) == 0;
    return count;
}

/* ---- what they mean -------------------------------------------------------------------------- */

static bool read_number(const char *text, uint64_t *out)
{
    uint64_t n = 0;
    if (text[0] == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (!isdigit((unsigned char)*text) || n > (UINT64_MAX >> 1) / 10)
            return false;
        n = n * 10 + (uint64_t)(*text - '0');
    }
    *out = n;
    return true;
}

/* How long is the body? Exactly one answer may be there. */
static int read_framing(struct http_head *out)
{
    const char *length = http_head_value(out, "Content-Length");
    const char *coding = http_head_value(out, "Transfer-Encoding");
    if (count_of(out, "Content-Length") + count_of(out, "Transfer-Encoding") > 1)
        return BAD_REQUEST;
    if (coding && strcasecmp(coding, "chunked") != 0)
        return NOT_IMPLEMENTED;
    if (coding && out->http10)
        return BAD_REQUEST;
    out->chunked = coding != NULL;
    out->has_len = length != NULL;
    return !length || read_number(length, &out->content_len_bytes) ? 0 : BAD_REQUEST;
}

/* Is the word one of a list with commas? */
static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    while (list && *list != '\0') {
        list += strspn(list, ", \t");
        size_t item = strcspn(list, ", \t");
        if (item == len && strncasecmp(list, word, len) == 0)
            return true;
        list += item;
    }
    return false;
}

static int read_meaning(struct http_head *out)
{
    const char *connection = http_head_value(out, "Connection");
    const char *expect = http_head_value(out, "Expect");
    unsigned hosts = count_of(out, "Host");
    if (hosts > 1 || (hosts == 0 && !out->http10))
        return BAD_REQUEST;
    out->keep_alive = !out->http10 && !has_word(connection, "close");
    out->expects_continue = !out->http10 && expect && strcasecmp(expect, "100-continue") == 0;
    return read_framing(out);
}

int http_head_parse(char *text, size_t len_bytes, struct http_head *out)
{
    *out = (struct http_head){0};
    if (len_bytes < 4 || memchr(text, '\0', len_bytes))
        return BAD_REQUEST;
    text[len_bytes - 2] = '\0'; /* the last line keeps its own end */
    char *rest = text;
    char *line = cut(&rest, "\r\n");
    int code = line ? read_request_line(line, out) : BAD_REQUEST;
    while (code == 0 && (line = cut(&rest, "\r\n")) != NULL)
        code = read_header(line, out);
    return code == 0 ? read_meaning(out) : code;
}
