/* SPDX-License-Identifier: Apache-2.0 */
/* What the service counts, and its page for Prometheus. */
#include "meta/service/traffic.h"
#include "tests/unit/meta/meta_rig.h"
#include "transport/base/clock.h"

#define NODES           64u
#define SCRAPE_MAX_NS   UINT64_C(10000000)
#define SANITIZED_TIMES 20u

TestSuite(traffic, .init = rig_up, .fini = rig_down);

/* The page, as the HTTP server would make it: the caller's to free. */
static char *page_of(struct service *s)
{
    struct wire_buf b = {0};
    struct wire_msg holder;
    struct wire_value status;
    struct textbuf page = {0};
    service_status(s, &b);
    cr_assert_eq(wire_parse_value(b.data, b.len, &holder, &status), CENOTE_OK);
    service_page(s, status, &page);
    wire_msg_free(&holder);
    wire_buf_free(&b);
    cr_assert_not(page.failed);
    return page.text;
}

/* A sample, by all that stands before its value. */
static uint64_t sample(const char *head)
{
    char line[256];
    char *page = page_of(world->service);
    snprintf(line, sizeof line, "\n%s ", head);
    const char *at = strstr(page, line);
    cr_assert_not_null(at, "%s is missing", head);
    uint64_t value = strtoull(at + strlen(line), NULL, 10);
    free(page);
    return value;
}

Test(traffic, page__calls_are_counted)
{
    struct wire_buf b;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "nothing", NULL, NULL), CENOTE_NOT_FOUND);
    uint32_t msgid = end_request(bob, &b, METHOD_LOOKUP);
    wire_put_array(&b, 1);
    wire_put_map(&b, 0);
    cr_assert_neq(end_ask(bob, &b, msgid, NULL), CENOTE_OK);
    service_idle(world->service, 0);
    cr_assert_eq(sample("cenote_rpc_requests_total{method=\"put_start\"}"), 1);
    cr_assert_eq(sample("cenote_rpc_requests_total{method=\"put_commit\"}"), 1);
    cr_assert_eq(sample("cenote_rpc_requests_total{method=\"lookup\"}"), 3);
    cr_assert_eq(sample("cenote_rpc_errors_total{method=\"lookup\"}"), 1);
    cr_assert_eq(sample("cenote_rpc_errors_total{method=\"put_commit\"}"), 0);
    cr_assert_eq(sample("cenote_rpc_duration_seconds_count{method=\"lookup\"}"), 3);
    cr_assert_eq(sample("cenote_lookup_hits_total"), 1);
    cr_assert_eq(sample("cenote_lookup_misses_total"), 1);
    cr_assert_eq(sample("cenote_objects"), 1);
    cr_assert_eq(sample("cenote_nodes{state=\"alive\"}"), 1);
    cr_assert_eq(sample("cenote_capacity_bytes"), RIG_SEGMENT);
}

Test(traffic, page__method_that_is_not_known)
{
    struct wire_buf b;
    uint32_t msgid = end_request(bob, &b, "no_such_method");
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(bob, &b, msgid, NULL), CENOTE_NO_METHOD);
    service_idle(world->service, 0);
    cr_assert_eq(sample("cenote_rpc_requests_total{method=\"unknown\"}"), 1);
    cr_assert_eq(sample("cenote_rpc_errors_total{method=\"unknown\"}"), 1);
}

/* What is looked at by the one who asks how much there is mustn't be slow. */
Test(traffic, page__of_64_nodes_is_made_in_10_ms)
{
    char name[32];
    uint64_t best_ns = UINT64_MAX;
    struct world *wide = world_new(NULL);
    cr_assert_eq(world_start(wide), CENOTE_OK);
    for (unsigned i = 0; i < NODES; i++) {
        snprintf(name, sizeof name, "node-%02u", i);
        node_up(wide, name, i + 1, 4, MIB);
    }
    for (unsigned i = 0; i < 5; i++) {
        uint64_t begun_ns = clock_now_ns();
        char *page = page_of(wide->service);
        uint64_t ns = clock_now_ns() - begun_ns;
        best_ns = ns < best_ns ? ns : best_ns;
        cr_assert_not_null(strstr(page, "{node=\"node-63\",segment=\"3\"} 1048576\n"));
        free(page);
    }
    world_free(wide);
    printf("a page of %u nodes in %llu us\n", NODES, (unsigned long long)best_ns / 1000);
#if defined(__SANITIZE_ADDRESS__)
    best_ns /= SANITIZED_TIMES;
#endif
    cr_assert_leq(best_ns, SCRAPE_MAX_NS);
}

Test(traffic, slowest__the_slowest_of_a_while)
{
    static struct traffic t;
    struct slow_call slowest[2 * TRAFFIC_SLOW];
    for (uint32_t i = 0; i < 100; i++) {
        struct traffic_call call = {.keys = i};
        uint64_t ns = (i * 37 % 100 + 1) * 1000;
        if (traffic_count(&t, &call, ns))
            traffic_note_slow(&t, &call, ns, i);
    }
    cr_assert_eq(traffic_slowest(&t, slowest), TRAFFIC_SLOW);
    for (uint32_t i = 0; i < TRAFFIC_SLOW; i++)
        cr_assert_eq(slowest[i].ns, (100 - i) * 1000);
    traffic_tick(&t, TRAFFIC_WHILE_MS);
    cr_assert_eq(traffic_slowest(&t, slowest), TRAFFIC_SLOW);
    traffic_tick(&t, 2 * TRAFFIC_WHILE_MS);
    cr_assert_eq(traffic_slowest(&t, slowest), 0);
}

/* Also of a method whose calls are never among the slowest. */
Test(traffic, longest__of_each_method)
{
    static struct traffic t;
    for (uint32_t i = 0; i < 100; i++) {
        struct traffic_call slow = {.method = 0, .keys = 1}, fast = {.method = 1, .keys = 1};
        uint64_t slow_ns = 1000000 + i * 37 % 100, fast_ns = 1 + i * 41 % 100;
        if (traffic_count(&t, &slow, slow_ns))
            traffic_note_slow(&t, &slow, slow_ns, i);
        if (traffic_count(&t, &fast, fast_ns))
            traffic_note_slow(&t, &fast, fast_ns, i);
    }
    cr_assert_eq(metric_get(&t.methods[0].durations.max), 1000099);
    cr_assert_eq(metric_get(&t.methods[1].durations.max), 100);
}

Test(traffic, quiet__nothing_but_heartbeats)
{
    for (unsigned i = 0; i < 40; i++)
        rig_pass(SERVICE_TICK_MS);
    cr_assert(service_is_quiet(world->service));
    cr_assert(!client_exists(bob, "k"));
    service_tick(world->service);
    cr_assert_not(service_is_quiet(world->service));
}
