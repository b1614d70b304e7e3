/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/use.h"

#include <assert.h>

#include "transport/base/testswitch.h"

uint64_t use_bytes(struct object *o)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < object_extents(o); i++) {
        const struct piece *p = object_piece(o, i);
        if (piece_there(p))
            bytes += alloc_rounding(p->payload_len).size;
    }
    return bytes;
}

void use_begin(struct core *c, struct object *o)
{
    struct space *s = spaces_by_id(c, o->name_space);
    uint64_t bytes = use_bytes(o);
    if (s == NULL)
        return;
    c->evict.holding += s->use.objects++ == 0;
    s->use.bytes += bytes;
    if (o->pin == KEEP_PIN_HARD)
        s->use.pinned_bytes += bytes;
    c->evict.used_bytes += bytes;
}

static void take_off(struct core *c, struct space *s, const struct object *o, uint64_t bytes)
{
    assert(s->use.bytes >= bytes && c->evict.used_bytes >= bytes);
    s->use.bytes -= bytes;
    c->evict.used_bytes -= bytes;
    if (o->pin == KEEP_PIN_HARD)
        s->use.pinned_bytes -= bytes;
}

void use_end(struct core *c, struct object *o)
{
    struct space *s = spaces_by_id(c, o->name_space);
    groups_leave(&c->evict.groups, o);
    if (s == NULL)
        return;
    take_off(c, s, o, use_bytes(o));
    assert(s->use.objects > 0);
    c->evict.holding -= --s->use.objects == 0;
}

void use_drop(struct core *c, struct object *dropped)
{
    struct space *s = spaces_by_id(c, dropped->name_space);
    if (s != NULL)
        take_off(c, s, dropped, use_bytes(dropped));
}

static uint64_t beyond(uint64_t used, uint64_t leaving, uint64_t more, uint64_t quota)
{
    used = used > leaving ? used - leaving : 0;
    if (test_off(TEST_QUOTA))
        return 0;
    return quota > 0 && used + more > quota ? used + more - quota : 0;
}

struct evict_want use_above(const struct space *s, struct evict_want more)
{
    return (struct evict_want){
        beyond(s->use.bytes, s->evict.leaving_bytes, more.bytes, s->settings.quota_bytes),
        beyond(s->use.objects, s->evict.leaving_objects, more.objects, s->settings.quota_objects)};
}

bool use_possible(const struct space *s, struct evict_want all)
{
    return beyond(0, 0, all.bytes, s->settings.quota_bytes) == 0 &&
           beyond(0, 0, all.objects, s->settings.quota_objects) == 0;
}

static uint64_t pin_limit(const struct core *c, const struct space *s)
{
    uint64_t all = s->settings.quota_bytes != 0 ? s->settings.quota_bytes : c->capacity_bytes;
    return s->settings.pin_limit_bytes != 0 ? s->settings.pin_limit_bytes : all / 2;
}

bool use_pinnable(const struct core *c, const struct space *s, uint64_t bytes)
{
    return s->use.pinned_bytes + bytes <= pin_limit(c, s);
}

static bool fits(const struct space *s, struct evict_want more)
{
    struct evict_want above = use_above(s, more);
    return above.bytes == 0 && above.objects == 0;
}

int use_admit(struct core *c, struct space *s, const struct keep *keep, uint64_t bytes)
{
    struct evict_want more = {.bytes = bytes, .objects = 1};
    if (keep->pin == KEEP_PIN_HARD && !use_pinnable(c, s, bytes))
        return CENOTE_LIMIT;
    if (fits(s, more))
        return CENOTE_OK;
    if (!use_possible(s, more))
        return CENOTE_QUOTA;
    evict_within(c, s, use_above(s, more), EVICT_LOOKS_CALL);
    return fits(s, more) ? CENOTE_OK : CENOTE_QUOTA;
}
