/* SPDX-License-Identifier: Apache-2.0 */
/* The sticky reader of arrays that all decoders are made of. */
#include "meta/stub/fields.h"

#include <cenote/status.h>

struct fields fields_of(struct wire_value v)
{
    uint32_t count;
    return (struct fields){.array = v, .failed = !wire_array(v, &count)};
}

bool fields_ok(const struct fields *f)
{
    return !f->failed;
}

void fields_require(struct fields *f, bool met)
{
    if (!met)
        f->failed = true;
}

/* {NULL}, which every accessor refuses, once failed or at the end. */
static struct wire_value next_of(struct fields *f)
{
    if (f->failed)
        return (struct wire_value){NULL};
    return wire_at(f->array, f->next++);
}

uint64_t fields_uint(struct fields *f)
{
    uint64_t v = 0;
    fields_require(f, wire_uint(next_of(f), &v));
    return v;
}

uint32_t fields_u32(struct fields *f)
{
    uint32_t v = 0;
    fields_require(f, wire_u32(next_of(f), &v));
    return v;
}

int fields_status(struct fields *f)
{
    int32_t v = 0;
    fields_require(f, wire_i32(next_of(f), &v) && v <= CENOTE_OK);
    return f->failed ? CENOTE_OK : v;
}

struct gva fields_gva(struct fields *f)
{
    struct gva gva = gva_make(fields_uint(f));
    fields_require(f, gva_valid(gva));
    return gva;
}

void fields_str(struct fields *f, char *out, size_t size)
{
    fields_require(f, wire_str(next_of(f), out, size));
}

void fields_fixed(struct fields *f, void *out, size_t len_bytes)
{
    fields_require(f, wire_fixed(next_of(f), out, len_bytes));
}

void fields_bin(struct fields *f, size_t least, size_t most, const uint8_t **data,
                size_t *len_bytes)
{
    *len_bytes = 0;
    fields_require(f, wire_bin(next_of(f), data, len_bytes));
    fields_require(f, *len_bytes >= least && *len_bytes <= most);
}

bool fields_nil(struct fields *f)
{
    if (f->failed || !wire_is_nil(wire_at(f->array, f->next)))
        return false;
    f->next++;
    return true;
}

struct wire_value fields_list(struct fields *f, uint32_t most, uint32_t *count)
{
    struct wire_value v = next_of(f);
    *count = 0;
    fields_require(f, wire_array(v, count) && *count <= most);
    return v;
}
