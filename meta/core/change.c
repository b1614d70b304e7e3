/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/change.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

#include "transport/base/log.h"

void changes_free(struct changes *c)
{
    assert(c->in_flight == 0);
    free(c->writes);
    free(c->bytes);
}

static bool room_for(struct changes *c, size_t len)
{
    if (c->count == c->room) {
        uint32_t room = c->room == 0 ? 16 : c->room * 2;
        struct store_write *writes = realloc(c->writes, room * sizeof(*writes));
        if (writes == NULL)
            return false;
        c->writes = writes;
        c->room = room;
    }
    if (c->cap - c->len >= len)
        return true;
    size_t cap = (c->len + len) * 2;
    uint8_t *bytes = realloc(c->bytes, cap);
    if (bytes == NULL)
        return false;
    c->bytes = bytes;
    c->cap = cap;
    return true;
}

/* Until the draft is submitted its pointers are offsets: the bytes may still move. */
static const void *keep(struct changes *c, const void *data, size_t len)
{
    size_t at = c->len;
    if (len > 0)
        memcpy(c->bytes + at, data, len);
    c->len += len;
    return (const void *)at;
}

static void draft(struct changes *c, struct store_write w)
{
    assert(w.key_len > 0 && w.key_len <= STORE_KEY_MAX);
    if (c->no_memory || !room_for(c, (size_t)w.key_len + w.value_len)) {
        c->no_memory = true;
        return;
    }
    w.key = keep(c, w.key, w.key_len);
    w.value = keep(c, w.value, w.value_len);
    c->writes[c->count++] = w;
}

void change_put(struct changes *c, enum store_tree tree, const void *key, size_t key_len,
                const void *value, size_t value_len)
{
    draft(c, (struct store_write){.tree = tree,
                                  .key = key,
                                  .key_len = (uint32_t)key_len,
                                  .value = value,
                                  .value_len = (uint32_t)value_len});
}

void change_remove(struct changes *c, enum store_tree tree, const void *key, size_t key_len)
{
    draft(c, (struct store_write){
                 .tree = tree, .remove = true, .key = key, .key_len = (uint32_t)key_len});
}

static void finished(void *arg, int status)
{
    struct change *ch = arg;
    assert(ch->in_flight);
    ch->in_flight = false;
    ch->changes->in_flight--;
    ch->done(ch, status);
}

void change_submit(struct changes *c, struct change *ch, unsigned flags)
{
    assert(!ch->in_flight && (c->count > 0 || c->no_memory));
    ch->in_flight = true;
    ch->changes = c;
    c->in_flight++;
    struct store_change change = {.writes = c->writes,
                                  .count = c->count,
                                  .frees = (flags & CHANGE_FREES) != 0,
                                  .sync = (flags & CHANGE_SYNC) != 0,
                                  .done = finished,
                                  .arg = ch};
    bool no_memory = c->no_memory;
    for (uint32_t i = 0; i < c->count; i++) {
        c->writes[i].key = c->bytes + (size_t)c->writes[i].key;
        c->writes[i].value = c->bytes + (size_t)c->writes[i].value;
    }
    c->count = 0;
    c->len = 0;
    c->no_memory = false;
    if (no_memory) {
        log_error("meta", "no memory for a change of the store");
        list_append(&c->failed, &ch->link);
        return;
    }
    c->store->ops->submit(c->store, &change);
}

void changes_tick(struct changes *c)
{
    struct list failed = {0};
    list_move_all(&failed, &c->failed);
    struct link *l;
    while ((l = list_pop(&failed)) != NULL)
        finished(container_of(l, struct change, link), CENOTE_NO_MEMORY);
}
