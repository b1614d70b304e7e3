/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "server/gateway/memory.h"
#include "server/gateway/target.h"
#include "server/http/http.h"

static struct target target;
static const char *why;

Test(target, parse__names_and_keys)
{
    cr_assert_eq(target_parse("ns-1._", &target, &why), CENOTE_OK);
    cr_assert_str_eq(target.name_space, "ns-1._");
    cr_assert(!target.has_key);
    cr_assert_eq(target_parse("%6es/a%2Fb%00c", &target, &why), CENOTE_OK);
    cr_assert_str_eq(target.name_space, "ns");
    cr_assert(target.has_key && target.key_len_bytes == 5);
    cr_assert_arr_eq(target.key, "a/b\0c", 5);
}

Test(target, parse__a_key_is_bytes)
{
    cr_assert_eq(target_parse("ns/../../etc/passwd", &target, &why), CENOTE_OK);
    cr_assert_str_eq(target.name_space, "ns");
    cr_assert_eq(target.key_len_bytes, strlen("../../etc/passwd"));
    cr_assert_arr_eq(target.key, "../../etc/passwd", target.key_len_bytes);
    cr_assert_eq(target_parse("ns/a+b", &target, &why), CENOTE_OK);
    cr_assert_arr_eq(target.key, "a+b", 3, "a plus is a plus");
    cr_assert_eq(target_parse("ns//", &target, &why), CENOTE_OK);
    cr_assert_arr_eq(target.key, "/", 1);
}

Test(target, parse__refused)
{
    static const char *const bad[] = {"",      "/key",   "..%2f/key", "n s/key", "ns/%",
                                      "ns/%0", "ns/%zz", "ns/%0g",    "n%/k",    "n%00s/k"};
    char longest[2 * CENOTE_KEY_MAX] = "ns/";
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(target_parse(bad[i], &target, &why), CENOTE_INVALID, "%s", bad[i]);
    cr_assert_eq(target_parse("ns/", &target, &why), CENOTE_KEY_SIZE);
    memset(longest + 3, 'k', CENOTE_KEY_MAX);
    cr_assert_eq(target_parse(longest, &target, &why), CENOTE_OK);
    cr_assert_eq(target.key_len_bytes, CENOTE_KEY_MAX);
    longest[3 + CENOTE_KEY_MAX] = 'k';
    cr_assert_eq(target_parse(longest, &target, &why), CENOTE_KEY_SIZE);
    memset(longest, 'n', CENOTE_NAMESPACE_MAX);
    longest[CENOTE_NAMESPACE_MAX] = '\0';
    cr_assert_eq(target_parse(longest, &target, &why), CENOTE_OK);
    longest[CENOTE_NAMESPACE_MAX] = 'n';
    longest[CENOTE_NAMESPACE_MAX + 1] = '\0';
    cr_assert_eq(target_parse(longest, &target, &why), CENOTE_INVALID);
}

static uint64_t from, count;

static enum range_kind range(const char *header)
{
    return range_read(header, 100, &from, &count);
}

static void expect_part(const char *header, uint64_t first, uint64_t len_bytes)
{
    cr_assert_eq(range(header), RANGE_PART, "%s", header);
    cr_assert(from == first && count == len_bytes, "%s", header);
}

Test(range, read__parts)
{
    expect_part("bytes=0-0", 0, 1);
    expect_part("bytes=5-14", 5, 10);
    expect_part("bytes=99-", 99, 1);
    expect_part("bytes=90-1000", 90, 10);
    expect_part("bytes=90-18446744073709551614", 90, 10);
    expect_part("BYTES=-30", 70, 30);
    expect_part("bytes=-300", 0, 100);
}

Test(range, read__all)
{
    static const char *const all[] = {NULL, "", "lines=1-2", "bytes", "bytes=0-1,4-5"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        cr_assert_eq(range(all[i]), RANGE_ALL);
        cr_assert(from == 0 && count == 100);
    }
}

Test(range, read__nothing)
{
    static const char *const none[] = {
        "bytes=100-", "bytes=7-6",  "bytes=",     "bytes=-",
        "bytes=-0",   "bytes=x-y",  "bytes=1-2x", "bytes=1",
        "bytes= 1-2", "bytes=1--2", "bytes=-5-6", "bytes=99999999999999999999-"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        cr_assert_eq(range(none[i]), RANGE_NONE, "%s", none[i]);
    cr_assert_eq(range_read("bytes=0-", 0, &from, &count), RANGE_NONE);
    cr_assert_eq(range_read("bytes=-1", 0, &from, &count), RANGE_NONE);
    cr_assert_eq(range_read(NULL, 0, &from, &count), RANGE_ALL);
}

Test(etag, is_in__lists)
{
    char etag[ETAG_MAX];
    etag_format(UINT64_MAX, etag);
    cr_assert_str_eq(etag, "\"ffffffffffffffff\"");
    etag_format(0x1f, etag);
    cr_assert(etag_is_in("\"1f\"", etag));
    cr_assert(etag_is_in("\"a\", W/\"1f\" ,\"b\"", etag));
    cr_assert(etag_is_in(" * ", etag));
    cr_assert(!etag_is_in("", etag));
    cr_assert(!etag_is_in("\"1f0\", 1f, \"1", etag));
}

Test(decode, plus_and_limits)
{
    char out[4];
    size_t len;
    cr_assert_eq(http_decode("a+%2b", 5, true, out, sizeof out, &len), CENOTE_OK);
    cr_assert(len == 3 && memcmp(out, "a +", 3) == 0);
    cr_assert_eq(http_decode("abcd", 4, true, out, sizeof out, &len), CENOTE_OK);
    cr_assert_eq(http_decode("abcde", 5, true, out, sizeof out, &len), CENOTE_LIMIT);
    cr_assert_eq(http_decode("%41", 2, true, out, sizeof out, &len), CENOTE_INVALID);
}

Test(memory, take__is_bounded)
{
    static struct piece *pieces[MEMORY_MAX_BYTES / PIECE_MAX_BYTES + 1];
    struct memory m = {0};
    unsigned n = 0;
    while (m.used_bytes + PIECE_MAX_BYTES <= MEMORY_MAX_BYTES)
        pieces[n++] = memory_take(&m, 10 * PIECE_MAX_BYTES, false);
    cr_assert_null(memory_take(&m, PIECE_MIN_BYTES, false), "the budget is used up");
    pieces[n] = memory_take(&m, PIECE_MAX_BYTES, true);
    cr_assert(pieces[n] && pieces[n]->size_bytes == PIECE_MIN_BYTES, "a small one is always there");
    cr_assert_eq(m.used_bytes, MEMORY_MAX_BYTES);
    for (unsigned i = 0; i <= n; i++)
        memory_give(pieces[i]);
    cr_assert_eq(m.used_bytes, 0);
    struct piece *p = memory_take(&m, 10, true);
    cr_assert_eq(p->size_bytes, 10);
    memory_give(p);
}
