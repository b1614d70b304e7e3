/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the fields of an array in order. A reader that met a field of another type, or ran past the
 * end, stays failed; callers check once, at the end. Fields behind those that are read are ignored:
 * later versions append to arrays.
 */
#ifndef CENOTE_META_STUB_FIELDS_H
#define CENOTE_META_STUB_FIELDS_H

#include "transport/base/gva.h"
#include "transport/wire/wire.h"

struct fields {
    struct wire_value array;
    uint32_t next;
    bool failed;
};

/* Failed at once when v is no array. */
struct fields fields_of(struct wire_value v);
bool fields_ok(const struct fields *f);

uint64_t fields_uint(struct fields *f); /* these give 0 once failed */
uint32_t fields_u32(struct fields *f);
int fields_status(struct fields *f); /* CENOTE_OK or an error */
struct gva fields_gva(struct fields *f);
void fields_str(struct fields *f, char *out, size_t size);
void fields_fixed(struct fields *f, void *out, size_t len_bytes);
/* bin of least to most bytes, left where it is. */
void fields_bin(struct fields *f, size_t least, size_t most, const uint8_t **data,
                size_t *len_bytes);
/* Steps over a nil; false, and no step, when the next field is something else. */
bool fields_nil(struct fields *f);
/* An array of at most that many elements. */
struct wire_value fields_list(struct fields *f, uint32_t most, uint32_t *count);

/* Fails the reader when a rule of the message isn't met. */
void fields_require(struct fields *f, bool met);

#endif
