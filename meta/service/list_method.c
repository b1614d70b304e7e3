/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "meta/core/names.h"
#include "meta/core/objects.h"
#include "meta/service/peer.h"
#include "meta/stub/messages.h"

/* Names looked at for one page: what isn't to be listed makes a page shorter, not slower. */
#define LIST_NAMES_MAX (4 * LIST_LIMIT_MAX)

static_assert(LIST_PLAIN_MAX == NAMES_PLAIN_MAX && LIST_CURSOR_MAX == STORE_KEY_MAX - 4,
              "as clients know it");

/* The cursor is the last name that was looked at, without its namespace. */
struct page {
    struct core *core;
    struct list_params params;
    struct names_key from; /* where to begin */
    struct names_key at;   /* the last one looked at */
    size_t match_len; /* every name has from's first match_len bytes, or it is beyond the end */
    uint32_t looked_at;
    bool more;
    bool failed;
    uint32_t count;
    uint64_t put_ids[LIST_LIMIT_MAX];
};

static bool visit(void *arg, const void *key, uint32_t key_len, const void *value,
                  uint32_t value_len)
{
    struct page *page = arg;
    uint64_t id;
    if (key_len < page->match_len || memcmp(key, page->from.data, page->match_len) != 0)
        return false;
    if (key_len > STORE_KEY_MAX || !record_key_read(value, value_len, &id)) {
        page->failed = true;
        return false;
    }
    if (page->params.cursor != NULL && key_len == page->from.len &&
        memcmp(key, page->from.data, key_len) == 0)
        return true; /* the end of the page before */
    if (page->count == page->params.limit || page->looked_at == LIST_NAMES_MAX) {
        page->more = true;
        return false;
    }
    page->looked_at++;
    memcpy(page->at.data, key, key_len);
    page->at.len = key_len;
    struct object *o = table_by_put(&page->core->table, id);
    if (o != NULL && o->visible && !objects_lost(page->core, o))
        page->put_ids[page->count++] = id;
    return true;
}

static bool has_prefix(const struct page *page, const struct record *r)
{
    return r->key_len >= page->params.prefix_len &&
           memcmp(r->key, page->params.prefix, page->params.prefix_len) == 0;
}

/* Full keys are in the records only. */
static int entries_put(struct page *page, struct wire_buf *b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < page->count; i++) {
        struct object *o = table_by_put(&page->core->table, page->put_ids[i]);
        struct record r;
        int status = objects_record(page->core, o, &r);
        if (status != CENOTE_OK)
            return status;
        if (has_prefix(page, &r))
            page->put_ids[count++] = page->put_ids[i];
    }
    wire_put_array(b, count);
    for (uint32_t i = 0; i < count; i++) {
        struct object *o = table_by_put(&page->core->table, page->put_ids[i]);
        struct record r;
        int status = objects_record(page->core, o, &r);
        if (status != CENOTE_OK)
            return status;
        list_entry_put(b, r.key, r.key_len, object_len(o), o->put_id);
    }
    return CENOTE_OK;
}

static int page_begin(struct page *page, const struct space *space)
{
    const struct list_params *p = &page->params;
    names_key_first(&page->from, space->id, p->prefix, p->prefix_len);
    page->match_len = page->from.len;
    page->at = page->from;
    if (p->cursor == NULL)
        return CENOTE_OK;
    size_t prefix = page->from.len - 4;
    if (p->cursor_len > STORE_KEY_MAX - 4 || p->cursor_len < prefix ||
        memcmp(p->cursor, page->from.data + 4, prefix) != 0)
        return CENOTE_INVALID;
    memcpy(page->from.data + 4, p->cursor, p->cursor_len);
    page->from.len = (uint32_t)(4 + p->cursor_len);
    return CENOTE_OK;
}

static int page_make(struct page *page, const struct space *space, struct wire_buf *result)
{
    struct store *store = page->core->changes.store;
    const struct shard *shard = &page->core->shard;
    int status = page_begin(page, space);
    if (status == CENOTE_OK)
        status = store->ops->scan(store, STORE_NAMES, page->from.data, page->from.len, visit, page);
    if (status != CENOTE_OK || page->failed)
        return status != CENOTE_OK ? status : CENOTE_IO;
    wire_put_array(result, shard->all ? 2 : 3);
    status = entries_put(page, result);
    if (page->more)
        wire_put_bin(result, page->at.data + 4, page->at.len - 4);
    else
        wire_put_nil(result);
    if (!shard->all)
        wire_put_uint(result, shard->map.epoch);
    return status;
}

int method_list(struct service_peer *p, uint32_t msgid, struct wire_value params,
                struct wire_buf *result)
{
    (void)msgid;
    struct page *page = calloc(1, sizeof(*page));
    if (page == NULL)
        return CENOTE_NO_MEMORY;
    page->core = &p->service->core;
    int status = CENOTE_MALFORMED;
    if (list_params_get(params, &page->params))
        status = page_make(page, p->session->space, result);
    free(page);
    return status;
}
