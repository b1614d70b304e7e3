/* SPDX-License-Identifier: Apache-2.0 */
#include "server/roles/node_page.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct textbuf page;

/* The number behind the sample that begins so. */
static uint64_t sample(const char *head)
{
    const char *at = strstr(page.text, head);
    cr_assert_not_null(at, "%s is missing in\n%s", head, page.text);
    return strtoull(at + strlen(head), NULL, 10);
}

/* What only a device with RDMA makes happen: each number has its own series. */
Test(node_page, every_number_has_its_series)
{
    const struct node_way_traffic ways[NODE_WAYS] = {
        {.name = "tcp",
         .has_moved = true,
         .moved = {.read_bytes = 1, .written_bytes = 2, .refused_reads = 3, .refused_writes = 4}},
        {.name = "rdma",
         .has_report = true,
         .report = {.connections = 5,
                    .queue_pairs = 6,
                    .regions = 7,
                    .errors = 8,
                    .fenced = 9,
                    .rails_lost = 10}}};
    node_page(ways, &page);
    cr_assert_eq(sample("\ncenote_node_read_bytes_total{transport=\"tcp\"} "), 1);
    cr_assert_eq(sample("\ncenote_node_written_bytes_total{transport=\"tcp\"} "), 2);
    cr_assert_eq(sample("\ncenote_node_refused_reads_total{transport=\"tcp\"} "), 3);
    cr_assert_eq(sample("\ncenote_node_refused_writes_total{transport=\"tcp\"} "), 4);
    cr_assert_eq(sample("\ncenote_node_connections{transport=\"rdma\"} "), 5);
    cr_assert_eq(sample("\ncenote_node_queue_pairs{transport=\"rdma\"} "), 6);
    cr_assert_eq(sample("\ncenote_node_regions{transport=\"rdma\"} "), 7);
    cr_assert_eq(sample("\ncenote_node_completion_errors_total{transport=\"rdma\"} "), 8);
    cr_assert_eq(sample("\ncenote_node_fenced_total{transport=\"rdma\"} "), 9);
    cr_assert_eq(sample("\ncenote_node_rails_lost_total{transport=\"rdma\"} "), 10);
    cr_assert_null(strstr(page.text, "read_bytes_total{transport=\"rdma\"}"), "nothing is made up");
    textbuf_free(&page);
}
