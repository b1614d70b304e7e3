/* SPDX-License-Identifier: Apache-2.0 */
/* Which incarnation owns an address. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "meta/core/core.h"
#include "meta/core/reuse.h"

/* Index of the first range that begins behind gva. */
static uint32_t behind(const struct members *m, struct gva gva)
{
    uint32_t low = 0, high = m->range_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (m->ranges[mid]->gva.v > gva.v)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

struct incarnation *members_find(const struct core *c, struct gva gva, uint64_t len)
{
    const struct members *m = &c->members;
    uint32_t at = behind(m, gva);
    if (at == 0)
        return NULL;
    struct incarnation *i = m->ranges[at - 1];
    return gva_covers(i->gva, i->len_bytes, gva, len) ? i : NULL;
}

bool members_overlap(const struct core *c, struct gva gva, uint64_t len)
{
    const struct members *m = &c->members;
    uint32_t at = behind(m, gva);
    if (at < m->range_count && m->ranges[at]->gva.v - gva.v < len)
        return true;
    return at > 0 && gva.v - m->ranges[at - 1]->gva.v < m->ranges[at - 1]->len_bytes;
}

static bool promise(struct members *m)
{
    if (m->range_count + m->range_promised == m->range_room) {
        uint32_t room = m->range_room == 0 ? 64 : m->range_room * 2;
        struct incarnation **ranges = realloc(m->ranges, room * sizeof(struct incarnation *));
        if (ranges == NULL)
            return false;
        m->ranges = ranges;
        m->range_room = room;
    }
    m->range_promised++;
    return true;
}

struct incarnation *incarnation_new(struct core *c, uint64_t id, struct gva gva, uint64_t len_bytes,
                                    uint32_t kind)
{
    struct incarnation *i = calloc(1, sizeof(*i));
    if (i == NULL)
        return NULL;
    *i = (struct incarnation){.id = id, .gva = gva, .len_bytes = len_bytes, .kind = kind};
    i->alloc = alloc_new(len_bytes);
    if (i->alloc == NULL)
        goto free_incarnation;
    if (!promise(&c->members))
        goto free_alloc;
    return i;

free_alloc:
    alloc_free_all(i->alloc);
free_incarnation:
    free(i);
    return NULL;
}

static void incarnation_free(struct incarnation *i)
{
    assert(list_empty(&i->voids) && list_empty(&i->voiding));
    alloc_free_all(i->alloc);
    free(i);
}

void incarnation_undo(struct core *c, struct incarnation *i)
{
    c->members.range_promised--;
    incarnation_free(i);
}

void incarnation_begin(struct core *c, struct incarnation *i, struct node *node)
{
    struct members *m = &c->members;
    assert(m->range_promised > 0 && !members_overlap(c, i->gva, i->len_bytes));
    m->range_promised--;
    uint32_t at = behind(m, i->gva);
    memmove(&m->ranges[at + 1], &m->ranges[at], (m->range_count - at) * sizeof(*m->ranges));
    m->ranges[at] = i;
    m->range_count++;
    i->node = node;
    c->capacity_bytes += i->len_bytes;
    if (i->kind == SEGMENT_HOST)
        c->evict.room_bytes += i->len_bytes;
}

void incarnation_end(struct core *c, struct incarnation *i)
{
    struct members *m = &c->members;
    uint32_t at = behind(m, i->gva);
    assert(at > 0 && m->ranges[at - 1] == i);
    m->range_count--;
    memmove(&m->ranges[at - 1], &m->ranges[at], (m->range_count - (at - 1)) * sizeof(*m->ranges));
    c->capacity_bytes -= i->len_bytes;
    if (i->kind == SEGMENT_HOST)
        c->evict.room_bytes -= i->len_bytes;
    reuse_incarnation_ended(c, i);
    m->sweeping = true;
    m->sweep_at = 0;
    incarnation_free(i);
}
