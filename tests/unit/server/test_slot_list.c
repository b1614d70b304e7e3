/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config/slot_list.h"

#include <cenote/status.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct slot_list list;
static char error[256];

/* Items are separated by commas. */
static struct config_list items_of(char *text, char *items[])
{
    struct config_list l = {.items = items};
    for (char *at = strtok(text, ","); at; at = strtok(NULL, ","))
        items[l.count++] = at;
    return l;
}

static int parse(const char *shards, const char *slots)
{
    char a[8192], b[1024], *as[128], *bs[128];
    strcpy(a, shards);
    strcpy(b, slots);
    struct config_list x = items_of(a, as), y = items_of(b, bs);
    memset(&list, 0, sizeof list);
    return slot_list_parse(&x, &y, 3, &list, error, sizeof error);
}

static void refused(const char *shards, const char *slots, const char *why)
{
    cr_assert_eq(parse(shards, slots), CENOTE_INVALID, "%s", shards);
    cr_assert(strstr(error, why), "'%s' does not say '%s'", error, why);
}

Test(slot_list, parse__two_halves)
{
    cr_assert_eq(parse("0-8191=a:1,8192-16383=unix:/b", "8192-16383"), CENOTE_OK);
    cr_assert(list.shard == 1 && list.map.epoch == 3 && list.map.range_count == 2);
    cr_assert_str_eq(list.map.endpoints[1], "unix:/b");
}

/* Numbers go by the order of the list, ranges by their slots. */
Test(slot_list, parse__any_order)
{
    cr_assert_eq(parse("100-16383=a:1,7=b:1,0-6=a:1,8-99=b:1", "8-99,7"), CENOTE_OK);
    cr_assert(list.shard == 1 && list.map.range_count == 4);
    cr_assert(list.map.ranges[0].last == 6 && list.map.ranges[0].shard == 0);
    cr_assert(list.map.ranges[1].first == 7 && list.map.ranges[1].shard == 1);
}

Test(slot_list, parse__none)
{
    cr_assert_eq(parse("none=gone:1,0-16383=a:1", "0-16383"), CENOTE_OK);
    cr_assert_eq(list.shard, 1);
    cr_assert_eq(parse("none=gone:1,0-16383=a:1", "none"), CENOTE_OK);
    cr_assert_eq(list.shard, 0);
    refused("none=x:1,none=y:1,0-16383=a:1", "none", "several");
}

Test(slot_list, parse__refused)
{
    refused("0-8191=a:1,8193-16383=b:1", "0-8191", "slot 8192 has no owner");
    refused("1-16383=a:1", "1-16383", "slot 0 has no owner");
    refused("0-16382=a:1", "0-16382", "slot 16383 has no owner");
    refused("0-8192=a:1,8192-16383=b:1", "0-8192", "slot 8192 has two owners");
    refused("0-8191=a:1,8192-16383=b:1", "0-8190", "no service has exactly these");
    refused("0-8191=a:1,8192-16383=b:1", "0-16383", "no service has exactly these");
    refused("0-16383", "0-16383", "not SLOTS=ENDPOINT");
    refused("0-16384=a:1", "0-16383", "are no slots");
    refused("5-3=a:1", "0-16383", "are no slots");
    refused("-3=a:1", "0-16383", "are no slots");
    refused("0-=a:1", "0-16383", "are no slots");
    refused("0-16383=", "0-16383", "no endpoint");
    refused("0-16383=a", "0-16383", "no endpoint");
    refused("0-16383=:1", "0-16383", "no endpoint");
    refused("0-16383=a:x", "0-16383", "no endpoint");
    refused("0-16383=unix:", "0-16383", "no endpoint");
    refused("0-16383=a:1", "all", "--slots");
}

Test(slot_list, parse__too_many)
{
    char text[8192] = "", item[64];
    for (unsigned i = 0; i <= SHARDS_MAX; i++) {
        snprintf(item, sizeof item, "%snone=a:%u", i ? "," : "", i + 1);
        strcat(text, item);
    }
    refused(text, "0", "at most 64 services");
    text[0] = '\0';
    for (unsigned i = 0; i <= SLOT_RANGES_MAX; i++) {
        snprintf(item, sizeof item, "%s%u=a:1", i ? "," : "", i);
        strcat(text, item);
    }
    refused(text, "0", "at most 64 ranges");
}
