/* SPDX-License-Identifier: Apache-2.0 */
/* The samples of a node's directory: a part of samples.c, which has the macros. */
#ifndef CENOTE_TESTS_UNIT_STUB_SAMPLES_DIRECTORY_H
#define CENOTE_TESTS_UNIT_STUB_SAMPLES_DIRECTORY_H

#include "meta/stub/directory.h"

static const struct directory_sum directory_sum_value = {3, UINT64_MAX - 5};
static bool directory_sum_equal(const struct directory_sum *a, const struct directory_sum *b)
{
    return SAME(*a, *b, entries) && SAME(*a, *b, digest);
}
STRUCT_SAMPLE(directory_sum)

static const struct directory_entry directory_entry_value = {.gva = GVA(7),
                                                             .payload_len = 5,
                                                             .put_id = UINT64_C(3) << 40,
                                                             .name_space = 9,
                                                             .space_name = "space",
                                                             .key = (const uint8_t *)"k\0y",
                                                             .key_len = 3,
                                                             .key_hash = {{1, 2, 3}},
                                                             .len_bytes = 12,
                                                             .sum_kind = 1,
                                                             .created_ms = UINT64_C(1) << 41,
                                                             .flags = DIRECTORY_REPLACE,
                                                             .stripe = 1,
                                                             .stripes = 2,
                                                             .replicas = 3,
                                                             .offset = 7,
                                                             .root = UINT64_MAX,
                                                             .kept = (const uint8_t *)"kept",
                                                             .kept_len = 4};
static bool directory_entry_equal(const struct directory_entry *a, const struct directory_entry *b)
{
    return SAME(*a, *b, gva.v) && SAME(*a, *b, payload_len) && SAME(*a, *b, put_id) &&
           SAME(*a, *b, name_space) && strcmp(a->space_name, b->space_name) == 0 &&
           SAME(*a, *b, key_len) && memcmp(a->key, b->key, a->key_len) == 0 &&
           memcmp(&a->key_hash, &b->key_hash, sizeof(a->key_hash)) == 0 &&
           SAME(*a, *b, len_bytes) && SAME(*a, *b, sum_kind) && SAME(*a, *b, created_ms) &&
           SAME(*a, *b, flags) && SAME(*a, *b, stripe) && SAME(*a, *b, stripes) &&
           SAME(*a, *b, replicas) && SAME(*a, *b, offset) && SAME(*a, *b, root) &&
           SAME(*a, *b, kept_len) && memcmp(a->kept, b->kept, a->kept_len) == 0;
}
STRUCT_SAMPLE(directory_entry)

static const struct directory_read_params directory_read_params_value = {4, 1 << 20, 1000, true};
static bool directory_read_params_equal(const struct directory_read_params *a,
                                        const struct directory_read_params *b)
{
    return SAME(*a, *b, reign) && SAME(*a, *b, cursor) && SAME(*a, *b, limit) && SAME(*a, *b, live);
}
STRUCT_SAMPLE(directory_read_params)

static void directory_put(struct wire_buf *b)
{
    directory_params_put(b, 6, DIRECTORY_LAST, 1);
    directory_entry_put(b, &directory_entry_value);
}
static bool directory_get(struct wire_value v)
{
    struct directory_params p;
    struct directory_entry e;
    if (!directory_params_get(v, &p))
        return false;
    for (uint32_t i = 0; i < p.count; i++)
        if (!directory_entry_get(wire_at(p.entries, i), &e))
            return false;
    return true;
}
static bool directory_same(struct wire_value v)
{
    struct directory_params p;
    struct directory_entry e;
    return directory_params_get(v, &p) && p.reign == 6 && p.part == DIRECTORY_LAST &&
           p.count == 1 && directory_entry_get(wire_at(p.entries, 0), &e) &&
           directory_entry_equal(&e, &directory_entry_value);
}

static void directory_read_put(struct wire_buf *b)
{
    directory_read_result_begin(b, 1);
    directory_entry_put(b, &directory_entry_value);
    directory_read_result_end(b, 99, &directory_sum_value, 8);
}
static bool directory_read_get(struct wire_value v)
{
    struct directory_read_result r;
    struct directory_entry e;
    if (!directory_read_result_get(v, &r))
        return false;
    for (uint32_t i = 0; i < r.count; i++)
        if (!directory_entry_get(wire_at(r.entries, i), &e))
            return false;
    return true;
}
static bool directory_read_same(struct wire_value v)
{
    struct directory_read_result r;
    struct directory_entry e;
    return directory_read_result_get(v, &r) && r.count == 1 && r.cursor == 99 && r.left_out == 8 &&
           directory_sum_equal(&r.sum, &directory_sum_value) &&
           directory_entry_get(wire_at(r.entries, 0), &e) &&
           directory_entry_equal(&e, &directory_entry_value);
}

static const struct gva directory_gva = GVA(8);

static void directory_look_put(struct wire_buf *b)
{
    directory_look_params_put(b, 6, 2);
    directory_name_put(b, directory_entry_value.gva, 8);
    directory_name_put(b, directory_gva, UINT64_MAX);
}
static bool directory_look_get(struct wire_value v)
{
    struct directory_look_params p;
    struct gva gva;
    uint64_t put_id;
    if (!directory_look_params_get(v, &p))
        return false;
    for (uint32_t i = 0; i < p.count; i++)
        if (!directory_name_get(wire_at(p.names, i), &gva, &put_id))
            return false;
    return true;
}
static bool directory_look_same(struct wire_value v)
{
    struct directory_look_params p;
    struct gva gva;
    uint64_t put_id;
    return directory_look_params_get(v, &p) && p.reign == 6 && p.count == 2 &&
           directory_name_get(wire_at(p.names, 1), &gva, &put_id) && gva.v == directory_gva.v &&
           put_id == UINT64_MAX;
}

static void directory_states_put(struct wire_buf *b)
{
    static const uint8_t states[] = {DIRECTORY_LIVE, DIRECTORY_NO_ENTRY, DIRECTORY_NO_SEAL};
    directory_look_result_put(b, states, 3);
}
static bool directory_states_get(struct wire_value v)
{
    uint8_t states[3];
    return directory_look_result_get(v, states, 3);
}
static bool directory_states_same(struct wire_value v)
{
    uint8_t states[3];
    return directory_look_result_get(v, states, 3) && states[0] == DIRECTORY_LIVE &&
           states[1] == DIRECTORY_NO_ENTRY && states[2] == DIRECTORY_NO_SEAL;
}

#endif
