/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/service/peer.h"
#include "meta/stub/messages.h"

static void put_number(struct wire_buf *b, const char *name, uint64_t value)
{
    wire_put_str(b, name);
    wire_put_uint(b, value);
}

static void put_first(const struct fsck_found *found, struct wire_buf *b)
{
    wire_put_str(b, "first");
    wire_put_array(b, found->first_count);
    for (uint32_t i = 0; i < found->first_count; i++) {
        wire_put_map(b, 2);
        put_number(b, "put", found->first[i].put_id);
        put_number(b, "gva", found->first[i].gva.v);
    }
}

static void put_kind(const struct fsck_found *found, enum fsck_kind kind, struct wire_buf *b)
{
    wire_put_map(b, 6);
    wire_put_str(b, "kind");
    wire_put_str(b, fsck_name(kind));
    wire_put_str(b, "meaning");
    wire_put_str(b, fsck_meaning(kind));
    put_number(b, "count", found->count);
    put_number(b, "mended", found->mended);
    put_number(b, "more", found->more);
    put_first(found, b);
}

static void put_result(const struct fsck *f, struct wire_buf *b)
{
    uint32_t kinds = f->found != NULL ? FSCK_KINDS : 0;
    wire_put_map(b, 7);
    wire_put_str(b, "over");
    wire_put_bool(b, f->phase == FSCK_DONE);
    wire_put_str(b, "repair");
    wire_put_bool(b, f->repair);
    put_number(b, "records", f->records);
    put_number(b, "objects", f->objects);
    put_number(b, "names", f->names);
    put_number(b, "entries", f->entries);
    wire_put_str(b, "differences");
    wire_put_array(b, kinds);
    for (uint32_t i = 0; i < kinds; i++)
        put_kind(&f->found[i], (enum fsck_kind)i, b);
}

int method_fsck(struct service_peer *p, uint32_t msgid, struct wire_value params,
                struct wire_buf *result)
{
    struct core *c = &p->service->core;
    uint32_t what, count;
    int status = CENOTE_OK;
    (void)msgid;
    if (!wire_array(params, &count) || !wire_u32(wire_at(params, 0), &what))
        return CENOTE_MALFORMED;
    if (what > FSCK_BEGIN_REPAIR)
        return CENOTE_INVALID;
    if (what != FSCK_LOOK)
        status = fsck_begin(c, what == FSCK_BEGIN_REPAIR);
    put_result(&c->fsck, result);
    return status;
}
