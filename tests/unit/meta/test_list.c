/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/meta/meta_rig.h"

TestSuite(list, .init = rig_up, .fini = rig_down);

static uint8_t cursor[STORE_KEY_MAX];
static size_t cursor_len; /* 0: none */

/* One page; the number of its entries, or the status. The last key is left in last. */
static int page(const char *prefix, uint32_t limit, char last[CENOTE_KEY_MAX + 1])
{
    struct wire_buf b;
    struct answer *a;
    struct list_params p = {.prefix = (const uint8_t *)prefix,
                            .prefix_len = strlen(prefix),
                            .cursor = cursor_len > 0 ? cursor : NULL,
                            .cursor_len = cursor_len,
                            .limit = limit};
    uint32_t msgid = end_request(alice, &b, METHOD_LIST), count;
    list_params_put(&b, &p);
    int status = end_ask(alice, &b, msgid, &a);
    if (status != CENOTE_OK)
        return status;
    struct wire_value entries = wire_at(a->msg.result, 0), more = wire_at(a->msg.result, 1);
    cr_assert(wire_array(entries, &count));
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *key;
        size_t key_len;
        uint64_t len, put_id;
        cr_assert(list_entry_get(wire_at(entries, i), &key, &key_len, &len, &put_id));
        memcpy(last, key, key_len);
        last[key_len] = '\0';
    }
    const uint8_t *next = NULL;
    cursor_len = 0;
    if (!wire_is_nil(more) && wire_bin(more, &next, &cursor_len))
        memcpy(cursor, next, cursor_len);
    answer_drop(alice, a);
    return (int)count;
}

Test(list, pages__in_order)
{
    char key[16], last[CENOTE_KEY_MAX + 1], before[CENOTE_KEY_MAX + 1] = "";
    for (unsigned i = 0; i < 25; i++) {
        snprintf(key, sizeof(key), "a%02u", i);
        cr_assert_eq(client_put(alice, key, i, 0), CENOTE_OK);
    }
    cr_assert_eq(client_put(alice, "b", 1, 0), CENOTE_OK);
    int total = 0, count;
    do {
        count = page("a", 10, last);
        cr_assert_geq(count, 0);
        cr_assert_gt(strcmp(last, before), 0);
        strcpy(before, last);
        total += count;
    } while (cursor_len > 0);
    cr_assert_eq(total, 25);
    cr_assert_eq(page("", 1000, last), 26);
    cr_assert_eq(page("c", 1000, last), 0);
}

Test(list, long_keys_and_prefixes)
{
    static char key[CENOTE_KEY_MAX + 1], last[CENOTE_KEY_MAX + 1];
    memset(key, 'x', CENOTE_KEY_MAX);
    cr_assert_eq(client_put(alice, key, 1, 0), CENOTE_OK);
    key[CENOTE_KEY_MAX - 1] = 'y'; /* the same first 491 bytes */
    cr_assert_eq(client_put(alice, key, 2, 0), CENOTE_OK);
    key[600] = '\0';
    cr_assert_eq(client_put(alice, key, 3, 0), CENOTE_OK);
    cr_assert_eq(page("xxx", 100, last), 3);
    cr_assert_eq(page(key, 100, last), 3);
    cr_assert_eq(page("xxx", 1, last), 1);
    cr_assert_eq(page("xxx", 1, last), 1);
    cr_assert_eq(page("xxx", 1, last), 1);
    cr_assert_eq(cursor_len, 0);
    key[600] = 'z';
    cr_assert_eq(page(key, 100, last), 0);
}

Test(list, other_namespaces_and_gone_keys_dont_show)
{
    static char last[CENOTE_KEY_MAX + 1];
    struct end *other = client_open(world, "other");
    cr_assert_eq(client_put(alice, "a", 1, 0), CENOTE_OK);
    cr_assert_eq(client_put(alice, "b", 1, 0), CENOTE_OK);
    cr_assert_eq(client_put(other, "c", 1, 0), CENOTE_OK);
    cr_assert_eq(client_remove(alice, "a"), CENOTE_OK);
    cr_assert_eq(page("", 100, last), 1);
    cr_assert_str_eq(last, "b");
}

Test(list, bad_cursor)
{
    static char last[CENOTE_KEY_MAX + 1];
    cursor[0] = 'z';
    cursor_len = 1;
    cr_assert_eq(page("a", 10, last), CENOTE_INVALID);
    cursor_len = STORE_KEY_MAX;
    cr_assert_eq(page("", 10, last), CENOTE_INVALID);
}
