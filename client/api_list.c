/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listing: a stream of pages from each service, merged by the bytes of the keys.
 *
 * A page of the listing ends where a stream whose service has more runs out of entries: what is
 * handed out lies in the answers of the services, and those stay until the next call. With a single
 * service its pages are the listing's.
 */
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "transport/base/log.h"

#define MODULE      "client"
#define STREAMS_MAX (SHARDS_MAX + 1)

/* The pages of one service; the entries point into the answer. */
struct stream {
    struct shard *shard;
    struct rpc_answer answer;
    bool answered;
    bool finished;   /* no page comes behind this one */
    uint8_t *cursor; /* NULL: the first page is next */
    size_t cursor_len;
    struct cenote_list_entry entries[LIST_LIMIT_MAX];
    uint32_t at, count; /* next to be handed out; all */
};

struct listing {
    struct stream *streams[STREAMS_MAX];
    uint32_t stream_count;
    struct cenote_list_entry merged[LIST_LIMIT_MAX];
    bool past_all;                  /* nothing has the prefix and comes behind it */
    size_t after_len;               /* 0: from the beginning */
    uint8_t after[LIST_CURSOR_MAX]; /* cursor of a service that has just named that key */
};

/* ---- one stream ------------------------------------------------------------------------------ */

static void forget_page(struct stream *t)
{
    if (t->answered)
        rpc_answer_free(&t->answer);
    t->answered = false;
    t->at = t->count = 0;
}

static int read_cursor(struct stream *t, struct wire_value v)
{
    const uint8_t *at;
    uint8_t *copy;
    size_t len;

    t->finished = wire_is_nil(v);
    if (t->finished)
        return CENOTE_OK;
    if (!wire_bin(v, &at, &len) || len == 0)
        return CENOTE_PROTOCOL;
    copy = realloc(t->cursor, len);
    if (!copy)
        return CENOTE_NO_MEMORY;
    memcpy(copy, at, len);
    t->cursor = copy;
    t->cursor_len = len;
    return CENOTE_OK;
}

static int read_page(struct stream *t)
{
    struct wire_value entries = wire_at(t->answer.msg.result, 0);
    uint32_t count;

    if (!wire_array(entries, &count) || count > LIST_LIMIT_MAX)
        return CENOTE_PROTOCOL;
    for (uint32_t i = 0; i < count; i++) {
        struct cenote_list_entry *e = &t->entries[i];
        const uint8_t *key;

        if (!list_entry_get(wire_at(entries, i), &key, &e->key.len_bytes, &e->len_bytes,
                            &e->put_id))
            return CENOTE_PROTOCOL;
        e->key.data = key;
    }
    t->count = count;
    return read_cursor(t, wire_at(t->answer.msg.result, 1));
}

/* The next page of a service, which also tells by which map it goes, unless it is alone. */
static int next_page(struct drive *d, const struct cenote_key *prefix, struct stream *t,
                     uint64_t *epoch)
{
    struct wire_buf request = {0};
    int status;

    forget_page(t);
    wire_put_request(&request, 0, METHOD_LIST);
    list_params_put(&request, &(struct list_params){.prefix = prefix->data,
                                                    .prefix_len = prefix->len_bytes,
                                                    .cursor = t->cursor,
                                                    .cursor_len = t->cursor_len,
                                                    .limit = LIST_LIMIT_MAX});
    status = drive_ask(d, &request, &t->answer);
    wire_buf_free(&request);
    if (status != CENOTE_OK)
        return status;
    t->answered = true;
    (void)wire_uint(wire_at(t->answer.msg.result, 2), epoch);
    status = read_page(t);
    if (status == CENOTE_OK)
        return CENOTE_OK;
    forget_page(t);
    log_error(MODULE, "list's answer not taken: %s", cenote_status_text(status));
    return status;
}

/* Its first page begins behind the key that the listing was given. */
static bool begin_behind(struct stream *t, const struct listing *l)
{
    if (l->after_len == 0)
        return true;
    t->cursor = malloc(l->after_len);
    if (!t->cursor)
        return false;
    memcpy(t->cursor, l->after, l->after_len);
    t->cursor_len = l->after_len;
    return true;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool has_stream(const struct listing *l, const struct shard *shard)
{
    for (uint32_t i = 0; i < l->stream_count; i++) {
        if (l->streams[i]->shard == shard)
            return true;
    }
    return false;
}

/* A stream for each service of the map. One that comes when the listing is under way brings its
 * keys as late as that. */
static int add_streams(struct shards *s, struct listing *l)
{
    struct shards_entry services[SHARDS_MAX + 1];
    uint64_t epoch;
    uint32_t count = shards_list(s, services, &epoch);

    for (uint32_t i = 0; i < count; i++) {
        if (has_stream(l, services[i].shard))
            continue;
        if (l->stream_count == STREAMS_MAX)
            return CENOTE_LIMIT;
        struct stream *t = calloc(1, sizeof *t);
        if (!t)
            return CENOTE_NO_MEMORY;
        t->shard = services[i].shard;
        if (!begin_behind(t, l)) {
            free(t);
            return CENOTE_NO_MEMORY;
        }
        l->streams[l->stream_count++] = t;
    }
    return CENOTE_OK;
}

/* Every stream has an entry, or is at its end for now. */
static int fill_streams(struct shards *s, const struct cenote_key *prefix, struct listing *l)
{
    int status = add_streams(s, l);

    for (uint32_t i = 0; status == CENOTE_OK && i < l->stream_count; i++) {
        struct stream *t = l->streams[i];
        uint64_t epoch = 0;
        struct drive *d;

        if (t->at < t->count || t->finished)
            continue;
        status = shards_drive(s, t->shard, &d);
        if (status == CENOTE_OK)
            status = next_page(d, prefix, t, &epoch);
        if (status != CENOTE_OK)
            break;
        shards_learn(s, d, epoch);
        status = add_streams(s, l);
    }
    return status;
}

static int compare(const struct cenote_key *a, const struct cenote_key *b)
{
    size_t shorter = a->len_bytes < b->len_bytes ? a->len_bytes : b->len_bytes;
    int order = memcmp(a->data, b->data, shorter);

    return order != 0 ? order : (a->len_bytes > b->len_bytes) - (a->len_bytes < b->len_bytes);
}

/* The stream with the smallest key; NULL: none has any, or one that has more to come must be asked
 * first. */
static struct stream *smallest(const struct listing *l)
{
    struct stream *first = NULL;

    for (uint32_t i = 0; i < l->stream_count; i++) {
        struct stream *t = l->streams[i];
        if (t->at == t->count && !t->finished)
            return NULL;
        if (t->at < t->count &&
            (!first || compare(&t->entries[t->at].key, &first->entries[first->at].key) < 0))
            first = t;
    }
    return first;
}

static void merge(struct cenote_list *list, struct listing *l)
{
    struct stream *t;

    if (l->stream_count == 1) {
        t = l->streams[0];
        list->entries = t->entries;
        list->count = t->count;
        t->at = t->count;
    } else {
        list->entries = l->merged;
        while (list->count < LIST_LIMIT_MAX && (t = smallest(l)) != NULL)
            l->merged[list->count++] = t->entries[t->at++];
    }
    for (uint32_t i = 0; i < l->stream_count; i++) {
        t = l->streams[i];
        list->more = list->more || t->at < t->count || !t->finished;
    }
}

/* A name in the service's tree is a key, or the beginning of a long one and its hash: behind all
 * that begin so. */
static void set_after(struct listing *l, const struct cenote_key *prefix,
                      const struct cenote_key *after)
{
    size_t plain = after->len_bytes < LIST_PLAIN_MAX ? after->len_bytes : LIST_PLAIN_MAX;
    size_t shorter = plain < prefix->len_bytes ? plain : prefix->len_bytes;
    int order = shorter > 0 ? memcmp(after->data, prefix->data, shorter) : 0;

    l->past_all = order > 0;
    bool is_long = after->len_bytes > LIST_PLAIN_MAX;
    if (order != 0 || (plain < prefix->len_bytes && !is_long))
        return;
    memcpy(l->after, after->data, plain);
    l->after_len = plain;
    if (!is_long)
        return;
    memset(l->after + plain, 0xff, LIST_CURSOR_MAX - plain);
    l->after_len = LIST_CURSOR_MAX;
}

int cenote_list_after(struct cenote *client, const void *prefix, size_t prefix_len_bytes,
                      const void *after, size_t after_len_bytes, struct cenote_list *list)
{
    const struct cenote_key begin = {prefix, prefix_len_bytes}, behind = {after, after_len_bytes};

    if (!list || list->private_ || (prefix_len_bytes > 0 && !prefix) ||
        (after_len_bytes > 0 && !after))
        return CENOTE_INVALID;
    if (prefix_len_bytes > CENOTE_KEY_MAX || after_len_bytes > CENOTE_KEY_MAX)
        return CENOTE_KEY_SIZE;
    struct listing *l = calloc(1, sizeof *l);
    if (!l)
        return CENOTE_NO_MEMORY;
    list->private_ = l;
    if (after_len_bytes > 0)
        set_after(l, &begin, &behind);
    return cenote_list(client, prefix, prefix_len_bytes, list);
}

int cenote_list(struct cenote *client, const void *prefix, size_t prefix_len_bytes,
                struct cenote_list *list)
{
    const struct cenote_key begin = {prefix, prefix_len_bytes};
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status != CENOTE_OK)
        return status;
    if (!list || (prefix_len_bytes > 0 && !prefix))
        return CENOTE_INVALID;
    if (prefix_len_bytes > CENOTE_KEY_MAX)
        return CENOTE_KEY_SIZE;
    if (!list->private_)
        list->private_ = calloc(1, sizeof(struct listing));
    struct listing *l = list->private_;
    if (!l)
        return CENOTE_NO_MEMORY;
    list->entries = NULL;
    list->count = 0;
    list->more = false;
    if (l->past_all)
        return CENOTE_OK;
    status = fill_streams(s, &begin, l);
    if (status == CENOTE_OK)
        merge(list, l);
    return status;
}

void cenote_list_free(struct cenote_list *list)
{
    struct listing *l = list ? list->private_ : NULL;

    if (!l)
        return;
    for (uint32_t i = 0; i < l->stream_count; i++) {
        forget_page(l->streams[i]);
        free(l->streams[i]->cursor);
        free(l->streams[i]);
    }
    free(l);
    *list = (struct cenote_list){0};
}
