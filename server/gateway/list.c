/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET of a namespace: its keys, page by page. The answer is written as it is read from the service,
 * some entries at a time, each time behind the last key; so nothing is kept of a listing but that
 * key, however slow its client is.
 *
 * Keys are bytes: they stand in the answer percent-encoded, as a path or a parameter takes them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/gateway/transfer.h"

#define LIMIT_DEFAULT 1000u
#define LIMIT_MAX     1000000u
#define PLAIN_BYTES   491u /* keys that agree in so many come in no particular order */
/* Text of one job. Keys that agree like that come in one, which may be longer. */
#define TEXT_BYTES    (64u << 10)
#define TEXT_MAX      (4u << 20)
#define ENTRY_MAX     (3u * CENOTE_KEY_MAX + 128u)
#define HEAD          "{\"objects\": ["

struct listing {
    struct transfer t; /* first */
    bool head;
    bool begun;    /* the answer */
    uint64_t left; /* entries still wanted */
    bool more;     /* behind those that are wanted */
    bool at_end;
    size_t prefix_len_bytes, after_len_bytes;
    char prefix[CENOTE_KEY_MAX + 1], after[CENOTE_KEY_MAX + 1];
    const char *separator;
    char *text; /* of the last job */
    size_t text_len_bytes, text_size;
};

/* ---- on a worker ----------------------------------------------------------------------------- */

static size_t encode(const struct cenote_key *key, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    const unsigned char *at = key->data;
    size_t used = 0;
    for (size_t i = 0; i < key->len_bytes; i++) {
        unsigned char c = at[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            out[used++] = (char)c;
        } else {
            out[used++] = '%';
            out[used++] = digits[c >> 4];
            out[used++] = digits[c & 15];
        }
    }
    out[used] = '\0';
    return used;
}

static bool make_room(struct listing *l, size_t bytes)
{
    if (l->text_size - l->text_len_bytes >= bytes)
        return true;
    size_t size = l->text_size + TEXT_BYTES;
    char *text = size <= TEXT_MAX ? realloc(l->text, size) : NULL;
    if (!text)
        return false;
    l->text = text;
    l->text_size = size;
    return true;
}

static int add_entry(struct listing *l, const struct cenote_list_entry *e)
{
    char key[3 * CENOTE_KEY_MAX + 1], etag[ETAG_MAX];
    if (!make_room(l, ENTRY_MAX))
        return CENOTE_NO_MEMORY;
    encode(&e->key, key);
    etag_format(e->put_id, etag);
    etag[strlen(etag) - 1] = '\0';
    l->text_len_bytes +=
        (size_t)snprintf(l->text + l->text_len_bytes, ENTRY_MAX,
                         "%s\n{\"key\": \"%s\", \"length\": %" PRIu64 ", \"etag\": \"%s\"}",
                         l->separator, key, e->len_bytes, etag + 1);
    l->separator = ",";
    memcpy(l->after, e->key.data, e->key.len_bytes);
    l->after_len_bytes = e->key.len_bytes;
    return CENOTE_OK;
}

/* Would a listing behind the last key leave this one out? */
static bool hangs_together(const struct listing *l, const struct cenote_key *key)
{
    return key->len_bytes > PLAIN_BYTES && l->after_len_bytes > PLAIN_BYTES &&
           memcmp(l->after, key->data, PLAIN_BYTES) == 0;
}

static bool is_full(const struct listing *l)
{
    return l->left == 0 || l->text_len_bytes + ENTRY_MAX > TEXT_BYTES;
}

/* Those of a page that still belong to this job. False: it is done. */
static bool add_page(struct listing *l, const struct cenote_list *list, bool *fresh)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct cenote_list_entry *e = &list->entries[i];
        if (is_full(l) && (*fresh || !hangs_together(l, &e->key))) {
            l->more = true;
            return false;
        }
        *fresh = false;
        l->t.status = add_entry(l, e);
        if (l->t.status != CENOTE_OK)
            return false;
        l->left -= l->left > 0;
    }
    return true;
}

static void work(struct job *job)
{
    struct listing *l = (struct listing *)job;
    struct cenote_list list = {0};
    bool fresh = true, on;
    l->text_len_bytes = 0;
    l->more = false;
    l->t.status = transfer_open(&l->t);
    if (l->t.status != CENOTE_OK)
        return;
    struct cenote *client = gateway_space_client(l->t.space);
    l->t.status = cenote_list_after(client, l->prefix, l->prefix_len_bytes, l->after,
                                    l->after_len_bytes, &list);
    do {
        on = l->t.status == CENOTE_OK && add_page(l, &list, &fresh) && list.more;
        if (on)
            l->t.status = cenote_list(client, l->prefix, l->prefix_len_bytes, &list);
    } while (on);
    cenote_list_free(&list);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void done(struct job *job);

static void end(struct listing *l)
{
    free(l->text);
    transfer_end(&l->t);
}

static void write_tail(struct listing *l)
{
    const struct cenote_key last = {l->after, l->after_len_bytes};
    char key[3 * CENOTE_KEY_MAX + 1], text[sizeof key + 32];
    encode(&last, key);
    int len = l->more ? snprintf(text, sizeof text, "\n], \"next\": \"%s\"}\n", key)
                      : snprintf(text, sizeof text, "\n], \"next\": null}\n");
    http_reply_write(l->t.request, text, (size_t)len);
    http_reply_end(l->t.request);
}

static void done(struct job *job)
{
    struct listing *l = (struct listing *)job;
    struct http_request *r = l->t.request;
    l->t.running = false;
    if (l->t.gone) {
        end(l);
        return;
    }
    if (l->t.status != CENOTE_OK) {
        if (l->begun)
            http_reply_break(r);
        else
            transfer_fail(&l->t);
        end(l);
        return;
    }
    if (!l->begun) {
        l->begun = true;
        http_reply_header(r, "Cache-Control", "no-store");
        http_reply_begin(r, 200, "application/json", HTTP_LENGTH_UNKNOWN);
        http_reply_write(r, HEAD, sizeof HEAD - 1);
    }
    http_reply_write(r, l->text, l->text_len_bytes);
    free(l->text); /* the client may take its time */
    l->text = NULL;
    l->text_size = 0;
    if (l->more && l->left > 0 && !l->head) {
        http_reply_tell_sent(r);
    } else {
        write_tail(l);
        end(l);
    }
}

static void on_writable(void *arg)
{
    struct listing *l = arg;
    if (!l->t.running && http_reply_is_sent(l->t.request))
        transfer_run(&l->t, work, done, false);
}

static void on_gone(void *arg)
{
    struct listing *l = arg;
    l->t.gone = true;
    if (!l->t.running)
        end(l);
}

/* ---- the query ------------------------------------------------------------------------------- */

static bool read_limit(struct http_request *r, uint64_t *out)
{
    char text[16], *rest;
    int status = http_request_query(r, "limit", text, sizeof text, NULL);
    *out = LIMIT_DEFAULT;
    if (status == CENOTE_NOT_FOUND)
        return true;
    if (status == CENOTE_OK && text[0] >= '0' && text[0] <= '9') {
        *out = strtoull(text, &rest, 10);
        if (*rest == '\0' && *out >= 1 && *out <= LIMIT_MAX)
            return true;
    }
    http_reply_error(r, 400, CENOTE_INVALID, "limit=: 1 to %u", LIMIT_MAX);
    return false;
}

static bool read_key(struct http_request *r, const char *name, char *out, size_t *len_bytes)
{
    int status = http_request_query(r, name, out, CENOTE_KEY_MAX + 1, len_bytes);
    if (status == CENOTE_OK || status == CENOTE_NOT_FOUND)
        return true;
    http_reply_error(r, 400, CENOTE_INVALID, "%s=: at most %d bytes, percent-encoded", name,
                     CENOTE_KEY_MAX);
    return false;
}

void gateway_list(struct gateway *g, struct http_request *r)
{
    static const struct http_watch watch = {.writable = on_writable, .gone = on_gone};
    static const char *const names[] = {"prefix", "after", "limit", NULL};
    struct listing *l = query_has_only(r, names) ? transfer_new(g, r, sizeof *l) : NULL;
    if (!l)
        return;
    l->head = http_request_method(r) == HTTP_HEAD;
    l->separator = "";
    if (!read_limit(r, &l->left) || !read_key(r, "prefix", l->prefix, &l->prefix_len_bytes) ||
        !read_key(r, "after", l->after, &l->after_len_bytes)) {
        end(l);
        return;
    }
    http_request_watch(r, &watch, l);
    transfer_run(&l->t, work, done, false);
}
