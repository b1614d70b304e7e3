/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/page_route.h"

#include <assert.h>
#include <string.h>

#include "server/http/page_files.h"

/* The page needs its own files and its own status. What somebody smuggled into it could load,
 * send and frame nothing. */
#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "                    \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static const struct served {
    const char *path, *file, *type;
} served[] = {
    {"/", "status.html", "text/html; charset=utf-8"},
    {"/page/status.css", "status.css", "text/css; charset=utf-8"},
    {"/page/status.js", "status.js", "text/javascript; charset=utf-8"},
    {"/page/charts.js", "charts.js", "text/javascript; charset=utf-8"},
    {"/page/numbers.js", "numbers.js", "text/javascript; charset=utf-8"},
    {"/page/history.js", "history.js", "text/javascript; charset=utf-8"},
    {"/page/warnings.js", "warnings.js", "text/javascript; charset=utf-8"},
    {"/page/icon.svg", "icon.svg", "image/svg+xml"},
};

static const struct embedded *find_file(const char *name)
{
    for (const struct embedded *f = page_files; f->name; f++) {
        if (strcmp(f->name, name) == 0)
            return f;
    }
    assert(!"a file of the page");
    return NULL;
}

/* If-None-Match: a list of tags, each maybe weak, or a star. A tag is as long as its hash, and is
 * part of no other. */
static bool is_known(const struct http_request *r, const char *etag)
{
    const char *known = http_request_header(r, "If-None-Match");
    return known && (strstr(known, etag) || strcmp(known, "*") == 0);
}

static void on_file(void *arg, struct http_request *r)
{
    const struct served *s = arg;
    const struct embedded *f = find_file(s->file);
    http_reply_header(r, "ETag", f->etag);
    http_reply_header(r, "Cache-Control", "no-cache");
    http_reply_header(r, "Content-Security-Policy", POLICY);
    http_reply_header(r, "Referrer-Policy", "no-referrer");
    if (is_known(r, f->etag))
        http_reply(r, 304, NULL, NULL, 0);
    else
        http_reply(r, 200, s->type, f->bytes, f->len_bytes);
}

void page_route(struct http_server *s)
{
    for (size_t i = 0; i < sizeof served / sizeof served[0]; i++) {
        const struct http_route route = {.methods = HTTP_GET,
                                         .path = served[i].path,
                                         .handle = on_file,
                                         .arg = (void *)&served[i]};
        http_route(s, &route);
    }
}
