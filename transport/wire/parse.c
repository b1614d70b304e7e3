/* SPDX-License-Identifier: Apache-2.0 */
/* Reading messages: msgpack-c's tree in a zone, with strings and bins left in the frame. */
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "transport/wire/wire.h"
#include <cenote/status.h>

/* msgpack-c's own stack is that deep, compiled into its library; the scan stays below it. */
#define MSGPACK_DEPTH_MAX 32u
_Static_assert(WIRE_DEPTH_MAX < MSGPACK_DEPTH_MAX, "msgpack-c would refuse valid frames");

/* Unpacks one value that fills data. The zone is the caller's; NULL where msgpack-c needed none. */
static int unpack(const uint8_t *data, size_t len_bytes, msgpack_zone **zone, msgpack_object *out)
{
    msgpack_unpacked u;
    msgpack_unpacked_init(&u);
    size_t used_bytes = 0;
    msgpack_unpack_return rc = msgpack_unpack_next(&u, (const char *)data, len_bytes, &used_bytes);
    if (rc == MSGPACK_UNPACK_NOMEM_ERROR) {
        msgpack_unpacked_destroy(&u);
        return CENOTE_NO_MEMORY;
    }
    if (rc != MSGPACK_UNPACK_SUCCESS || used_bytes != len_bytes) {
        msgpack_unpacked_destroy(&u);
        return CENOTE_MALFORMED;
    }
    *out = u.data;
    *zone = msgpack_unpacked_release_zone(&u);
    return CENOTE_OK;
}

static bool take_method(const msgpack_object *o, struct wire_msg *m)
{
    return wire_str((struct wire_value){o}, m->method, sizeof(m->method)) && m->method[0];
}

static bool take_params(const msgpack_object *o, struct wire_msg *m)
{
    m->params = (struct wire_value){o};
    return o->type == MSGPACK_OBJECT_ARRAY;
}

/* nil, or [status, text]; what another library's server puts there is an error all the same. */
static int take_error(const msgpack_object *o)
{
    struct wire_value v = {o};
    int32_t status;
    if (wire_is_nil(v))
        return CENOTE_OK;
    if (!wire_i32(wire_at(v, 0), &status) || status >= 0)
        return CENOTE_PROTOCOL;
    return status;
}

static bool take_message(const msgpack_object *root, struct wire_msg *m)
{
    uint32_t kind;
    if (root->type != MSGPACK_OBJECT_ARRAY || root->via.array.size < 3)
        return false;
    const msgpack_object *items = root->via.array.ptr;
    uint32_t count = root->via.array.size;
    if (!wire_u32((struct wire_value){&items[0]}, &kind))
        return false;
    switch (kind) {
    case WIRE_REQUEST:
        m->kind = WIRE_REQUEST;
        return count == 4 && wire_u32((struct wire_value){&items[1]}, &m->msgid) &&
               take_method(&items[2], m) && take_params(&items[3], m);
    case WIRE_RESPONSE:
        m->kind = WIRE_RESPONSE;
        if (count != 4 || !wire_u32((struct wire_value){&items[1]}, &m->msgid))
            return false;
        m->error = take_error(&items[2]);
        m->result = (struct wire_value){&items[3]};
        return true;
    case WIRE_NOTIFICATION:
        m->kind = WIRE_NOTIFICATION;
        return count == 3 && take_method(&items[1], m) && take_params(&items[2], m);
    default:
        return false;
    }
}

int wire_parse(const uint8_t *frame, size_t len_bytes, struct wire_msg *out)
{
    msgpack_object root;
    msgpack_zone *zone;
    int rc = unpack(frame, len_bytes, &zone, &root);
    if (rc != CENOTE_OK)
        return rc;
    struct wire_msg m = {.memory = zone};
    if (!take_message(&root, &m)) {
        msgpack_zone_free(zone);
        return CENOTE_MALFORMED;
    }
    *out = m;
    return CENOTE_OK;
}

/* ---- in an arena ----------------------------------------------------------------------------- */

/* Of the part that is kept; longer messages get more for their time. */
#define ARENA_BYTES 16384u

struct wire_arena {
    msgpack_zone *zone;
};

struct wire_arena *wire_arena_new(void)
{
    struct wire_arena *a = malloc(sizeof(*a));
    if (!a)
        return NULL;
    a->zone = msgpack_zone_new(ARENA_BYTES);
    if (a->zone)
        return a;
    free(a);
    return NULL;
}

void wire_arena_free(struct wire_arena *a)
{
    if (!a)
        return;
    msgpack_zone_free(a->zone);
    free(a);
}

int wire_parse_in(struct wire_arena *a, const uint8_t *frame, size_t len_bytes,
                  struct wire_msg *out)
{
    msgpack_object root;
    struct wire_msg m = {.memory = NULL};
    size_t used_bytes = 0;
    msgpack_zone_clear(a->zone);
    /* The scan has passed the frame, and found its end: nothing but memory can be missing. */
    if (msgpack_unpack((const char *)frame, len_bytes, &used_bytes, a->zone, &root) !=
        MSGPACK_UNPACK_SUCCESS)
        return CENOTE_NO_MEMORY;
    if (!take_message(&root, &m))
        return CENOTE_MALFORMED;
    *out = m;
    return CENOTE_OK;
}

/* ---------------------------------------------------------------------------------------------- */

void wire_msg_free(struct wire_msg *m)
{
    if (m->memory)
        msgpack_zone_free(m->memory);
    *m = (struct wire_msg){0};
}

int wire_parse_value(const uint8_t *data, size_t len_bytes, struct wire_msg *holder,
                     struct wire_value *out)
{
    msgpack_object root;
    msgpack_zone *zone;
    int rc = unpack(data, len_bytes, &zone, &root);
    if (rc != CENOTE_OK)
        return rc;
    if (!zone)
        zone = msgpack_zone_new(sizeof(root) * 2);
    msgpack_object *kept = zone ? msgpack_zone_malloc(zone, sizeof(*kept)) : NULL;
    if (!kept) {
        msgpack_zone_free(zone);
        return CENOTE_NO_MEMORY;
    }
    *kept = root;
    *holder = (struct wire_msg){.memory = zone};
    *out = (struct wire_value){kept};
    return CENOTE_OK;
}
