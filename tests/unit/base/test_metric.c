/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/metric.h"
#include "transport/base/utf8.h"

static struct metric_histogram h;
static struct metric_view view;
static struct textbuf page;

static void end(void)
{
    textbuf_free(&page);
}

TestSuite(metric, .fini = end);

/* The quantile of one number is the end of its bucket, or itself. */
static void check_error(uint64_t n)
{
    memset(&h, 0, sizeof h);
    memset(&view, 0, sizeof view);
    metric_observe(&h, n);
    metric_observe(&h, UINT64_C(1) << 29); /* in the last buckets: the longest is no help */
    metric_view_add(&view, &h);
    uint64_t told = metric_view_quantile(&view, 500);
    cr_assert_geq(told, n);
    cr_assert_leq(told - n, n / 8, "%llu is told as %llu", (unsigned long long)n,
                  (unsigned long long)told);
}

Test(metric, view_quantile__error_is_an_eighth)
{
    for (uint64_t n = 0; n < 5000; n++)
        check_error(n);
    for (uint64_t n = 5000; n < UINT64_C(1) << 29; n += n / 7)
        check_error(n);
}

Test(metric, bucket_of__ascends_without_gaps)
{
    unsigned before = 0;
    for (uint64_t n = 0; n < 100000; n++) {
        unsigned bucket = metric_bucket_of(n);
        cr_assert(bucket == before || bucket == before + 1);
        before = bucket;
    }
    cr_assert_eq(metric_bucket_of(UINT64_MAX), METRIC_BUCKETS - 1);
    cr_assert_eq(metric_bucket_of((UINT64_C(1) << 30) - 1), METRIC_BUCKETS - 1);
}

Test(metric, view_quantile__ranks)
{
    for (uint64_t ns = 1000; ns <= 1000000; ns += 1000)
        metric_observe_ns(&h, ns);
    metric_view_add(&view, &h);
    cr_assert_eq(view.count, 1000);
    cr_assert_eq(view.sum, UINT64_C(500500000));
    cr_assert_eq(view.max, 1000000);
    for (unsigned per_mille = 100; per_mille < 1000; per_mille += 100) {
        uint64_t truth = per_mille * UINT64_C(1000);
        uint64_t told = metric_view_quantile_ns(&view, per_mille);
        cr_assert(told + 1 >= truth && told <= truth + truth / 8);
    }
    cr_assert_eq(metric_view_quantile_ns(&view, 1000), 1000000);
}

Test(metric, view_quantile__nothing_and_too_much)
{
    cr_assert_eq(metric_view_quantile(&view, 500), 0);
    metric_observe_ns(&h, UINT64_C(1) << 50);
    metric_view_add(&view, &h);
    cr_assert_eq(metric_view_quantile_ns(&view, 500), UINT64_C(1) << 50);
}

Test(metric, observe_shared__stands_for_many)
{
    metric_observe_ns_shared(&h, 5000, 64);
    metric_observe_ns_shared(&h, 3000, 1);
    metric_view_add(&view, &h);
    cr_assert_eq(view.count, 65);
    cr_assert_eq(view.sum, 64 * 5000 + 3000);
    cr_assert_eq(view.max, 5000);
    struct metric_view both = view;
    metric_view_join(&both, &view);
    cr_assert_eq(both.count, 130);
    cr_assert_eq(both.sum, 2 * view.sum);
    cr_assert_eq(both.max, 5000);
}

static const struct metric counter = {
    "cenote_things_total", "How many things.", METRIC_COUNTER, {"kind", "of"}};
static const struct metric gauge = {"cenote_room_bytes", "Room.", METRIC_GAUGE, {NULL}};
static const struct metric seconds = {
    "cenote_wait_seconds", "How long it waits.", METRIC_SECONDS, {"method"}};
static const struct metric numbers = {"cenote_group_size", "Sizes.", METRIC_NUMBERS, {NULL}};

Test(metric, page__numbers)
{
    metric_page_family(&page, &counter);
    metric_page_number(&page, &counter, (const char *[]){"a", "b"}, UINT64_MAX);
    metric_page_family(&page, &gauge);
    metric_page_number(&page, &gauge, NULL, 0);
    metric_page_ns(&page, &gauge, NULL, UINT64_C(12000000340));
    metric_page_ns(&page, &gauge, NULL, UINT64_C(7000000000));
    cr_assert_str_eq(page.text, "# HELP cenote_things_total How many things.\n"
                                "# TYPE cenote_things_total counter\n"
                                "cenote_things_total{kind=\"a\",of=\"b\"} 18446744073709551615\n"
                                "# HELP cenote_room_bytes Room.\n"
                                "# TYPE cenote_room_bytes gauge\n"
                                "cenote_room_bytes 0\n"
                                "cenote_room_bytes 12.00000034\n"
                                "cenote_room_bytes 7\n");
}

Test(metric, page__labels_are_escaped)
{
    metric_page_number(&page, &counter, (const char *[]){"a\"b\\c\nd", "\xff\x01\xc3\xa4~"}, 1);
    cr_assert_str_eq(page.text, "cenote_things_total{kind=\"a\\\"b\\\\c\\nd\","
                                "of=\"\\\\xff\\\\x01\xc3\xa4~\"} 1\n");
}

/* What a page says of one name must not be taken for what it says of another. */
Test(metric, page__labels_that_differ_stay_apart)
{
    static const char *const names[] = {
        "ä",    "ö",        "?",    "??",     "\xff", "\\xff",    "\\\\xff", "\\x5cxff", "\\x5c",
        "\\xf", "\\xfg",    "\xc3", "\xc3\\", "\n",   "\\n",      "\x01",    "\\x01",    "\"",
        "\\\"", "\xed\xa0", "\\",   "\\\\",   "",     "\xc0\x80", "\\xc0",   "\x7f"};
    char *lines[sizeof names / sizeof names[0]];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        metric_page_number(&page, &counter, (const char *[]){names[i], ""}, 1);
        for (size_t k = 0; k < page.len; k += utf8_char_bytes(page.text + k, page.len - k))
            cr_assert_gt(utf8_char_bytes(page.text + k, page.len - k), 0, "%s", page.text);
        lines[i] = page.text;
        for (size_t k = 0; k < i; k++)
            cr_assert_str_neq(lines[i], lines[k], "of two names: %s", lines[i]);
        page = (struct textbuf){0};
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        free(lines[i]);
}

/* The number behind the sample that begins so. */
static uint64_t sample(const char *head)
{
    const char *at = strstr(page.text, head);
    cr_assert_not_null(at, "%s is missing in\n%s", head, page.text);
    return strtoull(at + strlen(head), NULL, 10);
}

Test(metric, page__histogram_of_durations)
{
    const char *values[] = {"lookup"};
    for (uint64_t ns = 500; ns < UINT64_C(200000000000); ns *= 10)
        metric_observe_ns(&h, ns);
    metric_view_add(&view, &h);
    metric_page_family(&page, &seconds);
    metric_page_histogram(&page, &seconds, values, &view);
    cr_assert_eq(sample("cenote_wait_seconds_bucket{method=\"lookup\",le=\"0.000001024\"} "), 1);
    cr_assert_eq(sample("cenote_wait_seconds_bucket{method=\"lookup\",le=\"0.000008192\"} "), 2);
    cr_assert_eq(sample("cenote_wait_seconds_bucket{method=\"lookup\",le=\"68.719476736\"} "), 9);
    cr_assert_eq(sample("cenote_wait_seconds_bucket{method=\"lookup\",le=\"+Inf\"} "), 9);
    cr_assert_eq(sample("cenote_wait_seconds_count{method=\"lookup\"} "), 9);
    cr_assert_not_null(strstr(page.text, "cenote_wait_seconds_sum{method=\"lookup\"} 55.5555555"));
}

Test(metric, bucket_end_ns__is_the_longest_of_its_bucket)
{
    for (unsigned i = 0; i < METRIC_BUCKETS - 1; i++) {
        uint64_t end_ns = metric_bucket_end_ns(i);
        cr_assert_eq(metric_bucket_of(end_ns >> METRIC_NS_SHIFT), i);
        cr_assert_eq(metric_bucket_of((end_ns + 1) >> METRIC_NS_SHIFT), i + 1);
    }
}

Test(metric, page__histogram_of_numbers)
{
    for (uint64_t n = 1; n <= 10; n++)
        metric_observe(&h, n);
    metric_observe(&h, 5000000);
    metric_view_add(&view, &h);
    metric_page_histogram(&page, &numbers, NULL, &view);
    cr_assert_eq(sample("cenote_group_size_bucket{le=\"1\"} "), 1);
    cr_assert_eq(sample("cenote_group_size_bucket{le=\"7\"} "), 7);
    cr_assert_eq(sample("cenote_group_size_bucket{le=\"15\"} "), 10);
    cr_assert_eq(sample("cenote_group_size_bucket{le=\"8191\"} "), 10);
    cr_assert_eq(sample("cenote_group_size_bucket{le=\"+Inf\"} "), 11);
    cr_assert_eq(sample("cenote_group_size_sum "), 5000055);
    cr_assert_eq(sample("cenote_group_size_count "), 11);
}

Test(metric, page__empty_histogram)
{
    metric_page_histogram(&page, &seconds, (const char *[]){"a"}, &view);
    cr_assert_null(page.text);
}

Test(textbuf, add_json__escapes)
{
    textbuf_add_json(&page, "a\"\\\n\x01\xc3\xa4");
    cr_assert_str_eq(page.text, "\"a\\\"\\\\\\u000a\\u0001\xc3\xa4\"");
    textbuf_free(&page);
}

Test(textbuf, add__beyond_the_limit)
{
    static char much[1 << 20];
    memset(much, 'x', sizeof much);
    for (unsigned i = 0; i < TEXTBUF_MAX_BYTES / sizeof much - 1; i++)
        textbuf_add_bytes(&page, much, sizeof much);
    cr_assert_not(page.failed);
    textbuf_add_bytes(&page, much, sizeof much);
    cr_assert(page.failed);
    size_t len = page.len;
    textbuf_add(&page, "y");
    cr_assert_eq(page.len, len);
    textbuf_free(&page);
}
