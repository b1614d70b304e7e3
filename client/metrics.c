/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions that tell what a client has done; doc/METRICS.md is made from the texts here. */
#include <cenote/metrics.h>

#include <string.h>

#include "client/client.h"

static const struct metric operations = {"cenote_client_operations_total",
                                         "Operations on a key that have ended, by their status.",
                                         METRIC_COUNTER,
                                         {"operation", "status"}};
static const struct metric durations = {
    "cenote_client_duration_seconds",
    "How long calls took, of one key or many; of single warm gets each 64th is timed, for all.",
    METRIC_SECONDS,
    {"operation"}};
static const struct metric warm_gets = {
    "cenote_client_warm_gets_total",
    "Gets that were answered from what the client knew, without a call to the service.",
    METRIC_COUNTER,
    {NULL}};
static const struct metric moved_bytes = {"cenote_client_bytes_total",
                                          "Bytes of values that were copied.",
                                          METRIC_COUNTER,
                                          {"direction", "transport"}};
static const struct metric checksum_failures = {
    "cenote_client_checksum_failures_total",
    "Copies whose bytes did not have the sum that the service knows.",
    METRIC_COUNTER,
    {NULL}};
static const struct metric retries = {"cenote_client_retries_total",
                                      "Calls to the service that were sent again.",
                                      METRIC_COUNTER,
                                      {NULL}};

static const char *const op_names[TALLY_OPS] = {"get", "put", "remove", "exists", "stat", "view"};

/* What warm gets and views add. */
static struct tally_warm warm_of(const struct tally *t)
{
    struct tally_warm sum = {0};
    for (unsigned i = 0; i < TALLY_STRIPES; i++) {
        metric_add(&sum.gets, metric_get(&t->warm[i].gets));
        metric_add(&sum.bytes, metric_get(&t->warm[i].bytes));
        metric_add(&sum.views, metric_get(&t->warm[i].views));
    }
    return sum;
}

/* "not_found" of CENOTE_NOT_FOUND. */
static void status_label(int status, char out[64])
{
    const char *name = cenote_status_name(status);
    size_t i = 0;
    if (strncmp(name, "CENOTE_", 7) == 0)
        name += 7;
    for (; name[i] != '\0' && i < 63; i++)
        out[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
    out[i] = '\0';
}

static void put_operations(const struct tally *t, const struct tally_warm *warm,
                           struct textbuf *page)
{
    char status[64];
    metric_page_family(page, &operations);
    for (unsigned op = 0; op < TALLY_OPS; op++) {
        for (unsigned i = 0; i < TALLY_STATUSES; i++) {
            uint64_t n = metric_get(&t->ended[op][i]);
            if (i == 0 && op == TALLY_GET)
                n += metric_get(&warm->gets);
            if (i == 0 && op == TALLY_VIEW)
                n += metric_get(&warm->views);
            if (n == 0 && i != 0)
                continue;
            status_label(-(int)i, status);
            metric_page_number(page, &operations, (const char *[]){op_names[op], status}, n);
        }
    }
}

static void put_durations(const struct tally *t, struct textbuf *page)
{
    metric_page_family(page, &durations);
    for (unsigned op = 0; op < TALLY_OPS; op++) {
        struct metric_view view = {0};
        metric_view_add(&view, &t->durations[op]);
        metric_page_histogram(page, &durations, &op_names[op], &view);
    }
}

struct moved {
    const char *name;
    uint64_t read_bytes, written_bytes;
};

#define TRANSPORTS_MAX 8u

static void add_fabric(void *arg, const struct fabric *f)
{
    struct moved *m = arg;
    const char *name;
    for (size_t i = 0; i < TRANSPORTS_MAX &&
                       (name = fabric_moved(f, i, &m[i].read_bytes, &m[i].written_bytes)) != NULL;
         i++)
        m[i].name = name;
}

/* Warm gets are copied over shared memory. */
static void put_bytes(struct shards *s, const struct tally_warm *warm, struct textbuf *page)
{
    struct moved m[TRANSPORTS_MAX] = {{0}};
    shards_each_fabric(s, add_fabric, m);
    metric_page_family(page, &moved_bytes);
    for (size_t i = 0; i < TRANSPORTS_MAX && m[i].name != NULL; i++) {
        if (strcmp(m[i].name, "loop") == 0) /* for tests, in one process */
            continue;
        uint64_t warm_bytes = strcmp(m[i].name, "shm") == 0 ? metric_get(&warm->bytes) : 0;
        metric_page_number(page, &moved_bytes, (const char *[]){"read", m[i].name},
                           m[i].read_bytes + warm_bytes);
        metric_page_number(page, &moved_bytes, (const char *[]){"write", m[i].name},
                           m[i].written_bytes);
    }
}

static void put_one(const struct metric *m, uint64_t n, struct textbuf *page)
{
    metric_page_family(page, m);
    metric_page_number(page, m, NULL, n);
}

/* The text is the caller's from now on. */
static int give(struct textbuf *text, char **out)
{
    if (text->failed) {
        textbuf_free(text);
        return CENOTE_NO_MEMORY;
    }
    *out = text->text;
    return CENOTE_OK;
}

int cenote_metrics(struct cenote *client, char **text)
{
    struct textbuf page = {0};
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK && !text)
        status = CENOTE_INVALID;
    if (status != CENOTE_OK)
        return status;
    const struct tally *t = client_tally(client);
    const struct tally_warm warm = warm_of(t);
    put_operations(t, &warm, &page);
    put_durations(t, &page);
    put_one(&warm_gets, metric_get(&warm.gets), &page);
    put_bytes(s, &warm, &page);
    put_one(&checksum_failures, metric_get(&t->checksum_failures), &page);
    put_one(&retries, metric_get(&t->retries), &page);
    trace_page(t->trace, &page);
    return give(&page, text);
}

int cenote_trace(struct cenote *client, bool on)
{
    struct shards *s;
    int status = client_enter_shards(client, &s);
    return status == CENOTE_OK ? trace_switch(client_tally(client)->trace, on) : status;
}

int cenote_trace_dump(struct cenote *client, char **json)
{
    struct textbuf text = {0};
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK && !json)
        status = CENOTE_INVALID;
    if (status != CENOTE_OK)
        return status;
    trace_dump(client_tally(client)->trace, &text);
    return give(&text, json);
}
