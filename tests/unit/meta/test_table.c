/* SPDX-License-Identifier: Apache-2.0 */
/* The table of objects, its index, and the formats of the store. */
#include <criterion/criterion.h>

#include "meta/core/names.h"
#include "meta/core/record.h"
#include "meta/core/table.h"

#define MANY 20000u

static struct hash128 hash_of(uint64_t n)
{
    struct hash128 h = {{0}};
    uint64_t home = n / 3; /* three of them begin at the same slot */
    memcpy(h.b, &home, sizeof(home));
    memcpy(h.b + 8, &n, sizeof(n));
    return h;
}

static struct object *add(struct table *t, uint64_t n)
{
    struct object *o = table_add(t, n, 1, 1);
    cr_assert(o != NULL);
    o->key_hash = hash_of(n);
    o->state = OBJECT_COMMITTED;
    table_show(t, o);
    return o;
}

Test(table, many__come_and_go)
{
    struct table t;
    table_init(&t);
    for (uint64_t n = 1; n <= MANY; n++)
        add(&t, n);
    for (uint64_t n = 1; n <= MANY; n += 2) {
        struct object *o = table_by_put(&t, n);
        table_hide(&t, o);
        table_delete(&t, o);
    }
    for (uint64_t n = 1; n <= MANY; n++) {
        struct hash128 h = hash_of(n);
        struct object *o = table_by_key(&t, &h);
        cr_assert_eq(o != NULL, n % 2 == 0);
        cr_assert_eq(table_by_put(&t, n), o);
    }
    cr_assert_eq(t.count, MANY / 2);
    cr_assert_eq(t.visible, MANY / 2);
    uint32_t refs = table_refs(&t);
    for (uint64_t n = 1; n <= MANY; n += 2)
        add(&t, n);
    cr_assert_eq(table_refs(&t), refs); /* room is used again */
    table_free(&t);
}

Test(table, hidden__is_found_by_put_only)
{
    struct table t;
    struct hash128 h = hash_of(5);
    table_init(&t);
    cr_assert_null(table_by_key(&t, &h));
    struct object *o = add(&t, 5);
    table_hide(&t, o);
    cr_assert_null(table_by_key(&t, &h));
    cr_assert_eq(table_by_put(&t, 5), o);
    table_free(&t);
}

Test(record, round_trip)
{
    uint8_t data[RECORD_MAX];
    struct record r;
    struct piece pieces[6] = {{65536, 1, {GVA_FIRST}}, {65536, 1, {GVA_FIRST + 77}},
                              {65536, 2, {0}},         {65536, 2, {GVA_FIRST + 99}},
                              {5, 3, {GVA_FIRST + 1}}, {5, 3, {0}}};
    struct object o = {.session = 9, .name_space = 4, .stripes = 3};
    o.replicas = 2;
    o.pieces = pieces;
    o.sum_kind = 1;
    o.replace = true;
    uint32_t len = record_encode(&o, OBJECT_COMMITTED, false, 77, "key", 3, data);
    cr_assert_eq(record_decode(data, len, &r), CENOTE_OK);
    cr_assert(r.state == OBJECT_COMMITTED && r.session == 9 && r.len_bytes == 131077);
    cr_assert(r.name_space == 4 && r.created_ms == 77 && r.replace && !r.fence);
    cr_assert(r.key_len == 3 && memcmp(r.key, "key", 3) == 0);
    cr_assert(r.stripes == 3 && r.replicas == 2);
    for (uint32_t i = 0; i < 6; i++) {
        struct piece p = record_piece(&r, i);
        cr_assert_eq(memcmp(&p, &pieces[i], sizeof(p)), 0);
    }
}

static const struct kept kept_value = {
    .keep = {.ttl_ms = 5, .pin = KEEP_PIN_SOFT, .pin_ms = 6, .group_len = 2, .group = {0, 255}},
    .ttl_from_ms = 7,
    .pin_from_ms = 8};

Test(record, kept)
{
    uint8_t data[RECORD_MAX];
    struct record r;
    struct object o = {.stripes = 1, .replicas = 1};
    uint32_t bare = record_encode(&o, OBJECT_COMMITTED, false, 7, "key", 3, data);
    cr_assert_eq(record_decode(data, bare, &r), CENOTE_OK);
    cr_assert(!keep_asks(&r.kept.keep) && r.kept.keep.pin_ms == 0);
    uint32_t len = record_encode_kept(&o, OBJECT_COMMITTED, &kept_value, 7, "key", 3, data);
    cr_assert_gt(len, bare);
    cr_assert_eq(record_decode(data, len, &r), CENOTE_OK);
    cr_assert_eq(memcmp(&r.kept, &kept_value, sizeof(r.kept)), 0);
    cr_assert(r.created_ms == 7 && r.key_len == 3 && memcmp(r.key, "key", 3) == 0);
    for (uint32_t cut = 0; cut < len; cut++)
        cr_assert_eq(record_decode(data, cut, &r), CENOTE_IO);
    data[bare + 16] = 3; /* no such pin */
    cr_assert_eq(record_decode(data, len, &r), CENOTE_IO);
    data[bare + 16] = KEEP_PIN_SOFT;
    data[bare + 33] = KEEP_GROUP_MAX + 1;
    cr_assert_eq(record_decode(data, len, &r), CENOTE_IO);
    /* Nothing was asked for: nothing is said. */
    struct kept none = {.ttl_from_ms = 9};
    cr_assert_eq(record_encode_kept(&o, OBJECT_COMMITTED, &none, 7, "key", 3, data), bare);
}

/* Format 2 is the same without that. */
Test(record, of_format_2)
{
    uint8_t data[RECORD_MAX];
    struct record r;
    struct object o = {.stripes = 1, .replicas = 1, .one = {5, 3, {GVA_FIRST + 1}}};
    uint32_t len = record_encode(&o, OBJECT_COMMITTED, false, 7, "key", 3, data);
    data[0] = 2;
    cr_assert_eq(record_decode(data, len, &r), CENOTE_OK);
    cr_assert(!keep_asks(&r.kept.keep) && r.created_ms == 7);
    len = record_encode_kept(&o, OBJECT_COMMITTED, &kept_value, 7, "key", 3, data);
    data[0] = 2;
    cr_assert_eq(record_decode(data, len, &r), CENOTE_IO);
}

/* Format 1 has no number of replicas: byte 50, behind the number of stripes. */
Test(record, of_a_single_replica)
{
    uint8_t data[RECORD_MAX];
    struct record r;
    struct object o = {.stripes = 1, .replicas = 1, .one = {5, 3, {GVA_FIRST + 1}}};
    uint32_t len = record_encode(&o, OBJECT_COMMITTED, false, 0, "key", 3, data);
    cr_assert(data[0] == 3 && data[48] == 1 && data[50] == 1);
    memmove(&data[50], &data[51], len - 51);
    data[0] = 1;
    cr_assert_eq(record_decode(data, len - 1, &r), CENOTE_OK);
    struct piece p = record_piece(&r, 0);
    cr_assert(r.replicas == 1 && memcmp(&p, &o.one, sizeof(p)) == 0);
    cr_assert(r.key_len == 3 && memcmp(r.key, "key", 3) == 0);
}

Test(record, damaged)
{
    uint8_t data[RECORD_MAX];
    struct record r;
    struct object o = {.stripes = 1, .replicas = 1};
    uint32_t len = record_encode(&o, OBJECT_PENDING, false, 0, "key", 3, data);
    for (uint32_t cut = 0; cut < len; cut++)
        cr_assert_eq(record_decode(data, cut, &r), CENOTE_IO);
    data[0]++;
    cr_assert_eq(record_decode(data, len, &r), CENOTE_IO);
    data[0]--;
    data[1] = 99;
    cr_assert_eq(record_decode(data, len, &r), CENOTE_IO);
    len = record_encode(&o, OBJECT_PENDING, false, 0, NULL, 0, data); /* needs a key */
    cr_assert_eq(record_decode(data, len, &r), CENOTE_IO);
    len = record_encode(&o, OBJECT_REMOVED, false, 0, NULL, 0, data);
    cr_assert_eq(record_decode(data, len, &r), CENOTE_OK);
}

Test(record, keys_are_in_order)
{
    struct record_key a = record_key(255), b = record_key(256);
    uint64_t id;
    cr_assert_lt(memcmp(a.b, b.b, sizeof(a.b)), 0);
    cr_assert(record_key_read(b.b, sizeof(b.b), &id) && id == 256);
    cr_assert_not(record_key_read(b.b, 7, &id));
}

Test(names, long_keys)
{
    uint8_t key[CENOTE_KEY_MAX] = {0};
    struct hash128 one = {{1}}, two = {{2}};
    struct names_key a, b;
    names_key_make(&a, 1, key, NAMES_PLAIN_MAX, &one);
    cr_assert_eq(a.len, 4 + NAMES_PLAIN_MAX);
    names_key_make(&a, 1, key, NAMES_PLAIN_MAX + 1, &one);
    names_key_make(&b, 1, key, CENOTE_KEY_MAX, &two);
    cr_assert_eq(a.len, STORE_KEY_MAX);
    cr_assert_eq(b.len, STORE_KEY_MAX);
    cr_assert_lt(memcmp(a.data, b.data, a.len), 0);
}
