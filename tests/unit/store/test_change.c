/* SPDX-License-Identifier: Apache-2.0 */
#include <cenote/status.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "meta/store/change.h"

static void never(void *arg, int status)
{
    (void)arg, (void)status;
}

Test(change, copy__is_independent_of_the_original)
{
    char key[] = "key", value[] = "value";
    struct store_write writes[] = {
        {.tree = STORE_NAMES, .key = key, .key_len = 3, .value = value, .value_len = 5},
        {.tree = STORE_META, .remove = true, .key = value, .key_len = 5},
    };
    struct store_change from = {
        .writes = writes, .count = 2, .frees = true, .done = never, .arg = writes};
    struct change_room room = {0};
    struct change *c = change_copy(&room, &from);
    memset(key, 0, sizeof(key));
    memset(value, 0, sizeof(value));
    cr_assert(c);
    cr_assert_eq(c->size_bytes, change_size(&from));
    cr_assert(c->count == 2 && c->frees && !c->sync && !c->refused);
    cr_assert(c->done == never && c->arg == writes);
    cr_assert_eq(memcmp(c->writes[0].key, "key", 3), 0);
    cr_assert_eq(memcmp(c->writes[0].value, "value", 5), 0);
    cr_assert_eq(memcmp(c->writes[1].key, "value", 5), 0);
    cr_assert(c->writes[1].remove && c->writes[1].value_len == 0);
    change_free(&room, c);
    change_room_free(&room);
}

Test(change, copy__of_no_writes)
{
    struct change_room room = {0};
    struct change *c = change_copy(&room, &(struct store_change){.done = never});
    cr_assert(c && c->count == 0);
    change_free(&room, c);
    change_room_free(&room);
}

/* Freed in another order than made, a few blocks full, with large ones in between. */
Test(change, copy__many)
{
    enum { COUNT = 3000 };
    static struct change *changes[COUNT];
    static uint8_t value[CHANGE_SMALL_MAX];
    struct change_room room = {0};
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            memset(value, (int)(i & 0xff), sizeof(value));
            struct store_write w = {.tree = STORE_META, .key = value, .key_len = 8, .value = value};
            w.value_len = i % 100 == 0 ? CHANGE_SMALL_MAX : i % 200;
            struct store_change from = {.writes = &w, .count = 1, .done = never};
            changes[i] = change_copy(&room, &from);
            cr_assert(changes[i]);
        }
        for (uint32_t i = 0; i < COUNT; i++) {
            struct change *c = changes[i * 7 % COUNT];
            const uint8_t *bytes = c->writes[0].value;
            for (uint32_t k = 0; k < c->writes[0].value_len; k++)
                cr_assert_eq(bytes[k], (i * 7 % COUNT) & 0xff);
            change_free(&room, c);
        }
    }
    change_room_free(&room);
}

Test(change, refuse__keeps_whom_to_tell)
{
    struct change c;
    change_refuse(&c, &(struct store_change){.count = 7, .done = never, .arg = &c},
                  CENOTE_META_FULL);
    cr_assert(c.refused && c.count == 0 && c.status == CENOTE_META_FULL);
    cr_assert(c.done == never && c.arg == &c);
}

Test(change, list__is_a_queue_that_knows_its_size)
{
    struct change a = {.size_bytes = 1}, b = {.size_bytes = 10}, c = {.size_bytes = 100};
    struct change_list list = {0}, more = {0};
    change_splice(&list, &more);
    cr_assert(!list.first && !change_pop(&list));
    change_append(&list, &a);
    change_append(&more, &b);
    change_append(&more, &c);
    change_splice(&list, &more);
    cr_assert(!more.first && !more.last && more.size_bytes == 0);
    cr_assert_eq(list.size_bytes, 111);
    cr_assert_eq(change_pop(&list), &a);
    cr_assert_eq(change_pop(&list), &b);
    cr_assert_eq(list.size_bytes, 100);
    cr_assert_eq(change_pop(&list), &c);
    cr_assert(!change_pop(&list) && !list.last && list.size_bytes == 0);
    change_splice(&list, &more);
    change_append(&more, &b);
    change_splice(&list, &more);
    cr_assert_eq(list.first, &b);
    cr_assert_eq(list.last, &b);
}
