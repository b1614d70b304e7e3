/* SPDX-License-Identifier: Apache-2.0 */
/* Reading values: every accessor accepts any value and says whether it was of its type. */
#include <msgpack.h>
#include <string.h>

#include "transport/wire/wire.h"

static const msgpack_object *object_of(struct wire_value v, msgpack_object_type type)
{
    const msgpack_object *o = v.node;
    return o && o->type == type ? o : NULL;
}

bool wire_is_nil(struct wire_value v)
{
    return object_of(v, MSGPACK_OBJECT_NIL) != NULL;
}

bool wire_bool(struct wire_value v, bool *out)
{
    const msgpack_object *o = object_of(v, MSGPACK_OBJECT_BOOLEAN);
    if (!o)
        return false;
    *out = o->via.boolean;
    return true;
}

bool wire_uint(struct wire_value v, uint64_t *out)
{
    const msgpack_object *o = object_of(v, MSGPACK_OBJECT_POSITIVE_INTEGER);
    if (!o)
        return false;
    *out = o->via.u64;
    return true;
}

bool wire_u32(struct wire_value v, uint32_t *out)
{
    uint64_t wide;
    if (!wire_uint(v, &wide) || wide > UINT32_MAX)
        return false;
    *out = (uint32_t)wide;
    return true;
}

bool wire_u16(struct wire_value v, uint16_t *out)
{
    uint64_t wide;
    if (!wire_uint(v, &wide) || wide > UINT16_MAX)
        return false;
    *out = (uint16_t)wide;
    return true;
}

bool wire_i32(struct wire_value v, int32_t *out)
{
    const msgpack_object *o = object_of(v, MSGPACK_OBJECT_NEGATIVE_INTEGER);
    uint64_t wide;
    if (o && o->via.i64 >= INT32_MIN) {
        *out = (int32_t)o->via.i64;
        return true;
    }
    if (wire_uint(v, &wide) && wide <= INT32_MAX) {
        *out = (int32_t)wide;
        return true;
    }
    return false;
}

bool wire_bin(struct wire_value v, const uint8_t **data, size_t *len_bytes)
{
    const msgpack_object *bin = object_of(v, MSGPACK_OBJECT_BIN);
    const msgpack_object *str = object_of(v, MSGPACK_OBJECT_STR);
    if (bin) {
        *data = (const uint8_t *)bin->via.bin.ptr;
        *len_bytes = bin->via.bin.size;
    } else if (str) {
        *data = (const uint8_t *)str->via.str.ptr;
        *len_bytes = str->via.str.size;
    }
    return bin || str;
}

bool wire_str(struct wire_value v, char *out, size_t size)
{
    const msgpack_object *o = object_of(v, MSGPACK_OBJECT_STR);
    if (!o || o->via.str.size >= size)
        return false;
    size_t len_bytes = o->via.str.size;
    if (len_bytes > 0 && memchr(o->via.str.ptr, 0, len_bytes))
        return false;
    if (len_bytes > 0)
        memcpy(out, o->via.str.ptr, len_bytes);
    out[len_bytes] = 0;
    return true;
}

bool wire_fixed(struct wire_value v, void *out, size_t len_bytes)
{
    const msgpack_object *o = object_of(v, MSGPACK_OBJECT_BIN);
    if (!o || o->via.bin.size != len_bytes)
        return false;
    if (len_bytes > 0)
        memcpy(out, o->via.bin.ptr, len_bytes);
    return true;
}

bool wire_array(struct wire_value v, uint32_t *count)
{
    const msgpack_object *o = object_of(v, MSGPACK_OBJECT_ARRAY);
    if (!o)
        return false;
    *count = o->via.array.size;
    return true;
}

struct wire_value wire_at(struct wire_value array, uint32_t i)
{
    const msgpack_object *o = object_of(array, MSGPACK_OBJECT_ARRAY);
    if (!o || i >= o->via.array.size)
        return (struct wire_value){NULL};
    return (struct wire_value){&o->via.array.ptr[i]};
}

struct wire_value wire_member(struct wire_value map, const char *name)
{
    const msgpack_object *o = object_of(map, MSGPACK_OBJECT_MAP);
    size_t len = strlen(name);
    for (uint32_t i = 0; o && i < o->via.map.size; i++) {
        const msgpack_object *key = &o->via.map.ptr[i].key;
        if (key->type == MSGPACK_OBJECT_STR && key->via.str.size == len &&
            memcmp(key->via.str.ptr, name, len) == 0)
            return (struct wire_value){&o->via.map.ptr[i].val};
    }
    return (struct wire_value){NULL};
}
