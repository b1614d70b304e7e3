/* SPDX-License-Identifier: Apache-2.0 */
/* The listing: one call to the service for each page. */
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "transport/base/log.h"

#define MODULE "client"

/* Between two pages; the entries point into the answer. */
struct listing {
    struct rpc_answer answer;
    bool answered;
    bool finished;
    uint8_t *cursor; /* NULL: the first page is next */
    size_t cursor_len;
    struct cenote_list_entry entries[LIST_LIMIT_MAX];
};

static struct listing *listing_of(struct cenote_list *list)
{
    if (!list->private_)
        list->private_ = calloc(1, sizeof(struct listing));
    return list->private_;
}

static void forget_page(struct cenote_list *list, struct listing *l)
{
    if (l->answered)
        rpc_answer_free(&l->answer);
    l->answered = false;
    list->entries = NULL;
    list->count = 0;
    list->more = false;
}

static int read_cursor(struct listing *l, struct wire_value v)
{
    const uint8_t *at;
    uint8_t *copy;
    size_t len;

    l->finished = wire_is_nil(v);
    if (l->finished)
        return CENOTE_OK;
    if (!wire_bin(v, &at, &len) || len == 0)
        return CENOTE_PROTOCOL;
    copy = realloc(l->cursor, len);
    if (!copy)
        return CENOTE_NO_MEMORY;
    memcpy(copy, at, len);
    l->cursor = copy;
    l->cursor_len = len;
    return CENOTE_OK;
}

static int read_page(struct listing *l, uint32_t *count)
{
    struct wire_value entries = wire_at(l->answer.msg.result, 0);

    if (!wire_array(entries, count) || *count > LIST_LIMIT_MAX)
        return CENOTE_PROTOCOL;
    for (uint32_t i = 0; i < *count; i++) {
        struct cenote_list_entry *e = &l->entries[i];
        const uint8_t *key;

        if (!list_entry_get(wire_at(entries, i), &key, &e->key.len_bytes, &e->len_bytes,
                            &e->put_id))
            return CENOTE_PROTOCOL;
        e->key.data = key;
    }
    return read_cursor(l, wire_at(l->answer.msg.result, 1));
}

static int next_page(struct drive *d, const void *prefix, size_t prefix_len,
                     struct cenote_list *list, struct listing *l)
{
    struct wire_buf request = {0};
    uint32_t count;
    int status;

    wire_put_request(&request, 0, METHOD_LIST);
    list_params_put(&request, &(struct list_params){.prefix = prefix,
                                                    .prefix_len = prefix_len,
                                                    .cursor = l->cursor,
                                                    .cursor_len = l->cursor_len,
                                                    .limit = LIST_LIMIT_MAX});
    status = drive_ask(d, &request, &l->answer);
    wire_buf_free(&request);
    if (status != CENOTE_OK)
        return status;
    l->answered = true;
    status = read_page(l, &count);
    if (status != CENOTE_OK) {
        log_error(MODULE, "list's answer not taken: %s", cenote_status_text(status));
        return status;
    }
    list->entries = l->entries;
    list->count = count;
    list->more = !l->finished;
    return CENOTE_OK;
}

int cenote_list(struct cenote *client, const void *prefix, size_t prefix_len_bytes,
                struct cenote_list *list)
{
    struct drive *d;
    int status = client_enter(client, &d);

    if (status != CENOTE_OK)
        return status;
    if (!list || (prefix_len_bytes > 0 && !prefix))
        return CENOTE_INVALID;
    if (prefix_len_bytes > CENOTE_KEY_MAX)
        return CENOTE_KEY_SIZE;
    struct listing *l = listing_of(list);
    if (!l)
        return CENOTE_NO_MEMORY;
    forget_page(list, l);
    return l->finished ? CENOTE_OK : next_page(d, prefix, prefix_len_bytes, list, l);
}

void cenote_list_free(struct cenote_list *list)
{
    struct listing *l = list ? list->private_ : NULL;

    if (!l)
        return;
    forget_page(list, l);
    free(l->cursor);
    free(l);
    list->private_ = NULL;
}
