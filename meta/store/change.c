/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/store/change.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

#define BLOCK_BYTES (64u << 10)

struct change_block {
    uint32_t live; /* changes in it */
    size_t used_bytes;
    _Alignas(max_align_t) uint8_t bytes[BLOCK_BYTES];
};

/* ---- blocks --------------------------------------------------------------------------------- */

void change_room_free(struct change_room *room)
{
    assert(!room->filling || room->filling->live == 0);
    free(room->filling);
    free(room->spare);
    *room = (struct change_room){0};
}

static bool block_next(struct change_room *room)
{
    struct change_block *b = room->spare ? room->spare : malloc(sizeof(*b));
    if (!b)
        return false;
    b->live = 0;
    b->used_bytes = 0;
    room->spare = NULL;
    room->filling = b;
    return true;
}

static void *block_take(struct change_room *room, size_t size_bytes)
{
    size_t unit = _Alignof(max_align_t);
    size_bytes = (size_bytes + unit - 1) / unit * unit;
    struct change_block *b = room->filling;
    if (b && b->live == 0)
        b->used_bytes = 0;
    if ((!b || BLOCK_BYTES - b->used_bytes < size_bytes) && !block_next(room))
        return NULL;
    b = room->filling;
    void *at = b->bytes + b->used_bytes;
    b->used_bytes += size_bytes;
    b->live++;
    return at;
}

static void block_give(struct change_room *room, struct change_block *b)
{
    assert(b->live > 0);
    if (--b->live > 0 || b == room->filling)
        return;
    if (room->spare)
        free(b);
    else
        room->spare = b;
}

void change_free(struct change_room *room, struct change *c)
{
    if (c->block)
        block_give(room, c->block);
    else
        free(c);
}

/* ---- copies --------------------------------------------------------------------------------- */

size_t change_size(const struct store_change *from)
{
    size_t size = sizeof(struct change) + from->count * sizeof(struct store_write);
    for (uint32_t i = 0; i < from->count; i++)
        size += (size_t)from->writes[i].key_len + from->writes[i].value_len;
    return size;
}

static void change_begin(struct change *c, const struct store_change *from)
{
    *c = (struct change){.done = from->done,
                         .arg = from->arg,
                         .frees = from->frees,
                         .sync = from->sync,
                         .size_bytes = sizeof(*c)};
}

static const void *copy_bytes(uint8_t **at, const void *from, uint32_t len_bytes)
{
    uint8_t *to = *at;
    if (len_bytes > 0)
        memcpy(to, from, len_bytes);
    *at += len_bytes;
    return to;
}

struct change *change_copy(struct change_room *room, const struct store_change *from)
{
    size_t size = change_size(from);
    bool small = size <= CHANGE_SMALL_MAX;
    struct change *c = small ? block_take(room, size) : malloc(size);
    if (!c)
        return NULL;
    change_begin(c, from);
    c->block = small ? room->filling : NULL;
    c->size_bytes = size;
    c->count = from->count;
    uint8_t *at = (uint8_t *)(c->writes + c->count);
    for (uint32_t i = 0; i < c->count; i++) {
        const struct store_write *w = &from->writes[i];
        assert(w->tree < STORE_TREES && w->key_len > 0 && w->key_len <= STORE_KEY_MAX);
        c->writes[i] = *w;
        c->writes[i].key = copy_bytes(&at, w->key, w->key_len);
        c->writes[i].value = copy_bytes(&at, w->value, w->value_len);
    }
    assert(at == (uint8_t *)c + size);
    return c;
}

void change_refuse(struct change *c, const struct store_change *from, int status)
{
    assert(status != CENOTE_OK);
    change_begin(c, from);
    c->refused = true;
    c->status = status;
}

void change_append(struct change_list *list, struct change *c)
{
    c->next = NULL;
    if (list->last)
        list->last->next = c;
    else
        list->first = c;
    list->last = c;
    list->size_bytes += c->size_bytes;
}

void change_splice(struct change_list *list, struct change_list *from)
{
    if (!from->first)
        return;
    if (list->last)
        list->last->next = from->first;
    else
        list->first = from->first;
    list->last = from->last;
    list->size_bytes += from->size_bytes;
    *from = (struct change_list){0};
}

struct change *change_pop(struct change_list *list)
{
    struct change *c = list->first;
    if (!c)
        return NULL;
    list->first = c->next;
    if (!list->first)
        list->last = NULL;
    list->size_bytes -= c->size_bytes;
    return c;
}
