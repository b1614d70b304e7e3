/* SPDX-License-Identifier: Apache-2.0 */
#include "server/roles/node_page.h"

#include <stddef.h>
#include <string.h>

struct moved {
    struct metric metric;
    size_t at; /* in struct xcopy_traffic */
};

static const struct moved moved[] = {
    {{"cenote_node_read_bytes_total",
      "Bytes of extents that the node has sent to clients, seals included.",
      METRIC_COUNTER,
      {"transport"}},
     offsetof(struct xcopy_traffic, read_bytes)},
    {{"cenote_node_written_bytes_total",
      "Bytes of extents that clients have sent to the node, seals included.",
      METRIC_COUNTER,
      {"transport"}},
     offsetof(struct xcopy_traffic, written_bytes)},
    {{"cenote_node_refused_reads_total",
      "Reads that were refused: another value lies there by now, or the client may not.",
      METRIC_COUNTER,
      {"transport"}},
     offsetof(struct xcopy_traffic, refused_reads)},
    {{"cenote_node_refused_writes_total",
      "Writes that were refused: fenced, or without a grant.",
      METRIC_COUNTER,
      {"transport"}},
     offsetof(struct xcopy_traffic, refused_writes)},
};

static const struct metric durations = {
    "cenote_node_duration_seconds",
    "From a read's or write's arrival at the node until it was answered; of several that came "
    "together, until all were.",
    METRIC_SECONDS,
    {"transport", "direction"}};

static const struct moved reported[] = {
    {{"cenote_node_connections", "Connections of clients over RDMA.", METRIC_GAUGE, {"transport"}},
     offsetof(struct xcopy_report, connections)},
    {{"cenote_node_queue_pairs", "Queue pairs of clients.", METRIC_GAUGE, {"transport"}},
     offsetof(struct xcopy_report, queue_pairs)},
    {{"cenote_node_regions", "Memory regions that devices know.", METRIC_GAUGE, {"transport"}},
     offsetof(struct xcopy_report, regions)},
    {{"cenote_node_completion_errors_total",
      "Completions that told of an error.",
      METRIC_COUNTER,
      {"transport"}},
     offsetof(struct xcopy_report, errors)},
    {{"cenote_node_fenced_total",
      "Queue pairs that fences have ended.",
      METRIC_COUNTER,
      {"transport"}},
     offsetof(struct xcopy_report, fenced)},
    {{"cenote_node_rails_lost_total",
      "Rails and devices that were lost.",
      METRIC_COUNTER,
      {"transport"}},
     offsetof(struct xcopy_report, rails_lost)},
};

static uint64_t number_at(const void *numbers, size_t at)
{
    uint64_t n;
    memcpy(&n, (const char *)numbers + at, sizeof n);
    return n;
}

static void put_durations(const struct node_way_traffic *w, struct textbuf *page)
{
    metric_page_histogram(page, &durations, (const char *[]){w->name, "read"}, &w->moved.reads);
    metric_page_histogram(page, &durations, (const char *[]){w->name, "write"}, &w->moved.writes);
}

void node_page(const struct node_way_traffic ways[NODE_WAYS], struct textbuf *page)
{
    for (size_t i = 0; i < sizeof moved / sizeof moved[0]; i++) {
        metric_page_family(page, &moved[i].metric);
        for (unsigned k = 0; k < NODE_WAYS; k++)
            if (ways[k].has_moved)
                metric_page_number(page, &moved[i].metric, &ways[k].name,
                                   number_at(&ways[k].moved, moved[i].at));
    }
    metric_page_family(page, &durations);
    for (unsigned k = 0; k < NODE_WAYS; k++)
        if (ways[k].has_moved)
            put_durations(&ways[k], page);
    for (size_t i = 0; i < sizeof reported / sizeof reported[0]; i++) {
        metric_page_family(page, &reported[i].metric);
        for (unsigned k = 0; k < NODE_WAYS; k++)
            if (ways[k].has_report)
                metric_page_number(page, &reported[i].metric, &ways[k].name,
                                   number_at(&ways[k].report, reported[i].at));
    }
}
