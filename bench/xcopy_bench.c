/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a transport moves, beneath the client library: no service, no lookups, no checksums. The
 * node is a process of its own, and every channel has an extent and memory of its own, which its
 * requests use again and again, as the tools that measure devices do.
 *
 * Cases take turns, round by round; medians are told. A case is OP:SIZE[:KIND]:
 *   OP    read, write: so many requests in flight on each channel as --depth says;
 *         ping: reads one after the other, whose time is told
 *   SIZE  of a request; "block" is the KV-cache block of DeepSeek-R1, 61 layers with a piece of
 *         128 KiB and one of 16 KiB each, and "flat" as many bytes in one piece
 *   KIND  plain: the local memory wasn't registered
 */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/samples.h"
#include "bench/xcopy_node.h"
#include "transport/base/clock.h"
#include "transport/base/config.h"
#include "transport/base/hash.h"
#include "transport/base/log.h"

#define LAYERS       61u
#define LARGE_BYTES  (UINT64_C(128) << 10)
#define SMALL_BYTES  (UINT64_C(16) << 10)
#define BLOCK_BYTES  (LAYERS * (LARGE_BYTES + SMALL_BYTES))
#define GAP_BYTES    4096u /* between the buffers of a block */
#define PIECES_MAX   (2u * LAYERS)
#define CASES_MAX    32u
#define CHANNELS_MAX 16u
#define DEPTH_MAX    256u
#define SIZE_MAX_    (UINT64_C(64) << 20)
#define PAGE_BYTES   4096u
#define CONNECT_MS   5000u
#define STALL_MS     20000
#define SPINS        64u /* between two looks at the clock */

struct options {
    char *transport, *rdma, *node_rdma, *listen;
    uint64_t channels, depth, rounds, bytes, pings;
    uint64_t cpu, node_cpu; /* counted from 1; 0: any */
    bool events, json, verbose, help;
};

enum op { READ, WRITE, PING };

/* What one channel does in a case. */
struct stream {
    uint64_t offset; /* of its extent */
    uint8_t *local;
    void *registered;
    struct cenote_buffer pieces[PIECES_MAX];
    size_t piece_count;
};

struct bench_case {
    const char *name;
    enum op op;
    uint64_t len_bytes, local_bytes, put_id, requests; /* requests: of a round, each channel */
    bool block, plain;
    struct stream streams[CHANNELS_MAX];
    struct samples samples; /* time of a request, in the mean of a round; of a ping, each */
};

struct bench {
    struct options o;
    struct xcopy_node node;
    void *context;
    struct xcopy_channel *channels[CHANNELS_MAX];
    struct xcopy_req reqs[CHANNELS_MAX][DEPTH_MAX];
    struct bench_case cases[CASES_MAX];
    unsigned case_count;
    uint64_t segment_bytes;
};

#define AT(field) offsetof(struct options, field)
static const struct config_option option_list[] = {
    {"transport", CONFIG_STRING, AT(transport), "rdma", "NAME", "shm, rdma or tcp", NULL, 0, 0},
    {"rdma", CONFIG_STRING, AT(rdma), "auto", "TEXT", "the client's devices, as cenoted --rdma",
     NULL, 0, 0},
    {"node-rdma", CONFIG_STRING, AT(node_rdma), "auto", "TEXT", "the node's", NULL, 0, 0},
    {"listen", CONFIG_STRING, AT(listen), NULL, "ENDPOINT",
     "the node's; by default on the loopback device", NULL, 0, 0},
    {"channels", CONFIG_COUNT, AT(channels), "1", "N",
     "connections; of rdma each has a queue pair to read by and one to write by on each rail", NULL,
     1, CHANNELS_MAX},
    {"depth", CONFIG_COUNT, AT(depth), "64", "N", "requests in flight on a channel", NULL, 1,
     DEPTH_MAX},
    {"rounds", CONFIG_COUNT, AT(rounds), "5", "N", "how often each case has its turn", NULL, 1,
     1000000},
    {"bytes", CONFIG_SIZE, AT(bytes), "64M", "SIZE", "that a case moves in a turn, about", NULL, 1,
     UINT64_C(1) << 40},
    {"pings", CONFIG_COUNT, AT(pings), "1000", "N", "requests of a ping in a turn", NULL, 1,
     10000000},
    {"cpu", CONFIG_COUNT, AT(cpu), "0", "N", "processor of the client, from 1 on; 0: any", NULL, 0,
     1024},
    {"node-cpu", CONFIG_COUNT, AT(node_cpu), "0", "N", "the node's", NULL, 0, 1024},
    {"events", CONFIG_BOOL, AT(events), NULL, NULL,
     "wait for events when nothing moves, instead of asking on", NULL, 0, 0},
    {"json", CONFIG_BOOL, AT(json), NULL, NULL, "print the result as JSON", NULL, 0, 0},
    {"verbose", CONFIG_BOOL, AT(verbose), NULL, NULL, "log to stderr", NULL, 0, 0},
    {"help", CONFIG_BOOL, AT(help), NULL, NULL, "print this", NULL, 0, 0},
};
#undef AT

static const struct config_spec spec = {
    "xcopy_bench",
    "xcopy_bench [OPTION]... OP:SIZE[:plain]...\n\n"
    "  OP is read, write or ping; SIZE also block (122 buffers, 8784 KiB) or flat (the same in\n"
    "  one); plain: local memory that wasn't registered",
    option_list, sizeof option_list / sizeof *option_list, NULL};

static int complain(const char *what, int status)
{
    fprintf(stderr, "xcopy_bench: %s: %s\n", what, cenote_status_text(status));
    return status;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static bool parse_op(const char *text, size_t len, enum op *out)
{
    static const char *const names[] = {"read", "write", "ping"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], text, len) == 0) {
            *out = (enum op)i;
            return true;
        }
    }
    return false;
}

static bool parse_size(struct bench_case *c, const char *text)
{
    c->block = strcmp(text, "block") == 0;
    if (c->block || strcmp(text, "flat") == 0) {
        c->len_bytes = BLOCK_BYTES;
        return true;
    }
    return config_parse_size(text, &c->len_bytes) && c->len_bytes > 0 && c->len_bytes <= SIZE_MAX_;
}

static bool parse_case(struct bench_case *c, const char *name)
{
    char size[32];
    const char *op_end = strchr(name, ':');
    *c = (struct bench_case){.name = name};
    if (op_end == NULL || !parse_op(name, (size_t)(op_end - name), &c->op))
        return false;
    const char *size_end = strchr(op_end + 1, ':');
    if (size_end != NULL && strcmp(size_end, ":plain") != 0)
        return false;
    c->plain = size_end != NULL;
    size_t len = c->plain ? (size_t)(size_end - op_end - 1) : strlen(op_end + 1);
    if (len >= sizeof size)
        return false;
    memcpy(size, op_end + 1, len);
    size[len] = '\0';
    return parse_size(c, size);
}

/* Places the extents, and counts what is to be done. */
static void plan(struct bench *b, struct bench_case *c, unsigned number)
{
    const uint64_t room = (extent_size(c->len_bytes) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    uint64_t each = b->o.bytes / b->o.channels / c->len_bytes;
    c->put_id = 1000 + number;
    c->requests = c->op == PING ? b->o.pings : each > 0 ? each : 1;
    c->local_bytes = c->block ? BLOCK_BYTES + PIECES_MAX * GAP_BYTES : c->len_bytes;
    for (unsigned i = 0; i < b->o.channels; i++) {
        c->streams[i].offset = b->segment_bytes;
        b->segment_bytes += room;
    }
}

static void cut(const struct bench_case *c, struct stream *s)
{
    uint8_t *at = s->local;
    if (!c->block) {
        s->pieces[s->piece_count++] = (struct cenote_buffer){at, c->len_bytes};
        return;
    }
    for (unsigned i = 0; i < PIECES_MAX; i++) {
        uint64_t len_bytes = i % 2 == 0 ? LARGE_BYTES : SMALL_BYTES;
        s->pieces[s->piece_count++] = (struct cenote_buffer){at, len_bytes};
        at += len_bytes + GAP_BYTES;
    }
}

static int make_memory(struct bench *b, struct bench_case *c, struct stream *s)
{
    const struct xcopy_transport *t = b->node.transport;
    void *memory = mmap(NULL, c->local_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return CENOTE_NO_MEMORY;
    s->local = memory;
    memset(s->local, 0x5a, c->local_bytes);
    cut(c, s);
    if (c->plain || t->register_memory == NULL)
        return CENOTE_OK;
    return t->register_memory(b->context, s->local, c->local_bytes, MEMORY_HOST, &s->registered);
}

static void free_memory(struct bench *b, struct bench_case *c, struct stream *s)
{
    if (s->registered != NULL)
        b->node.transport->forget_memory(b->context, s->registered);
    if (s->local != NULL)
        munmap(s->local, c->local_bytes);
}

/* ---- requests -------------------------------------------------------------------------------- */

static struct xcopy_req request_of(const struct bench_case *c, unsigned channel, enum op op)
{
    const struct stream *s = &c->streams[channel];
    return (struct xcopy_req){.op = op == WRITE ? XCOPY_WRITE : XCOPY_READ,
                              .gva = xcopy_node_gva(s->offset),
                              .payload_len = c->len_bytes,
                              .put_id = c->put_id,
                              .session = xcopy_node_client().session,
                              .grant = xcopy_node_grant(c->put_id, s->offset, c->len_bytes),
                              .len_bytes = c->len_bytes,
                              .local = {.pieces = s->pieces, .count = s->piece_count}};
}

/* Waits for something to move, as the options say. CENOTE_TIMED_OUT: nothing does. */
static int wait_for_any(struct bench *b)
{
    struct pollfd fds[CHANNELS_MAX];
    nfds_t count = 0;
    if (!b->o.events)
        return CENOTE_OK;
    for (unsigned i = 0; i < b->o.channels; i++) {
        short events = 0;
        int fd = b->node.transport->poll_fd(b->channels[i], &events);
        if (fd < 0)
            return CENOTE_OK;
        fds[count++] = (struct pollfd){.fd = fd, .events = events};
    }
    int ready = poll(fds, count, STALL_MS);
    return ready == 0 ? CENOTE_TIMED_OUT : ready < 0 && errno != EINTR ? CENOTE_IO : CENOTE_OK;
}

/* How far one channel has come with its requests of a turn. */
struct course {
    uint64_t submitted, completed;
};

/* Takes what has completed, in order, and submits as many more. */
static int advance(struct bench *b, const struct bench_case *c, unsigned channel, struct course *at,
                   uint64_t depth, uint64_t requests)
{
    struct xcopy_req *ring = b->reqs[channel];
    for (; at->completed < at->submitted; at->completed++) {
        int status = ring[at->completed % depth].status;
        if (status == XCOPY_IN_PROGRESS)
            break;
        if (status != CENOTE_OK)
            return status;
    }
    for (; at->submitted < requests && at->submitted - at->completed < depth; at->submitted++) {
        struct xcopy_req *req = &ring[at->submitted % depth];
        *req = request_of(c, channel, c->op);
        b->node.transport->submit(b->channels[channel], req);
    }
    return CENOTE_OK;
}

/* Runs so many requests on every channel; on failure all are cancelled. */
static int run(struct bench *b, const struct bench_case *c, uint64_t depth, uint64_t requests)
{
    struct course courses[CHANNELS_MAX] = {{0, 0}};
    uint64_t done = 0, last_ms = clock_now_ms();
    int status = CENOTE_OK;
    for (unsigned spins = 0; status == CENOTE_OK && done < b->o.channels;) {
        bool moved = false;
        done = 0;
        for (unsigned i = 0; i < b->o.channels && status == CENOTE_OK; i++) {
            status = advance(b, c, i, &courses[i], depth, requests);
            if (courses[i].completed == requests)
                done++;
            else
                moved |= b->node.transport->progress(b->channels[i]);
        }
        if (status != CENOTE_OK || moved || done == b->o.channels)
            continue;
        status = wait_for_any(b);
        if (++spins % SPINS == 0 && clock_now_ms() - last_ms > STALL_MS)
            status = CENOTE_TIMED_OUT;
    }
    for (unsigned i = 0; i < b->o.channels && status != CENOTE_OK; i++)
        b->node.transport->cancel(b->channels[i], status);
    return status;
}

/* What is read must be there, sealed. */
static int plant(struct bench *b, const struct bench_case *c)
{
    uint8_t seal[SEAL_BYTES];
    for (unsigned i = 0; i < b->o.channels; i++) {
        const struct stream *s = &c->streams[i];
        struct xcopy_req req = request_of(c, i, WRITE);
        uint64_t until_ms = clock_now_ms() + STALL_MS;
        xcopy_node_seal(c->put_id, s->offset, c->len_bytes, seal);
        req.tail = seal;
        req.tail_len = sizeof seal;
        b->node.transport->submit(b->channels[i], &req);
        while (req.status == XCOPY_IN_PROGRESS) {
            b->node.transport->progress(b->channels[i]);
            if (clock_now_ms() > until_ms)
                b->node.transport->cancel(b->channels[i], CENOTE_TIMED_OUT);
        }
        if (req.status != CENOTE_OK)
            return req.status;
    }
    return CENOTE_OK;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static int ping(struct bench *b, struct bench_case *c, bool counts)
{
    int status = CENOTE_OK;
    for (uint64_t i = 0; i < c->requests && status == CENOTE_OK; i++) {
        uint64_t start_ns = clock_now_ns();
        status = run(b, c, 1, 1);
        if (status == CENOTE_OK && counts && !samples_add(&c->samples, clock_now_ns() - start_ns))
            status = CENOTE_NO_MEMORY;
    }
    return status;
}

static int turn(struct bench *b, struct bench_case *c, bool counts)
{
    if (c->op == PING)
        return ping(b, c, counts);
    uint64_t start_ns = clock_now_ns();
    int status = run(b, c, b->o.depth, c->requests);
    uint64_t mean_ns = (clock_now_ns() - start_ns) / (c->requests * b->o.channels);
    if (status == CENOTE_OK && counts && !samples_add(&c->samples, mean_ns))
        status = CENOTE_NO_MEMORY;
    return status;
}

static int measure(struct bench *b)
{
    for (uint64_t round = 0; round <= b->o.rounds; round++) {
        for (unsigned i = 0; i < b->case_count; i++) {
            int status = turn(b, &b->cases[i], round > 0);
            if (status != CENOTE_OK)
                return complain(b->cases[i].name, status);
        }
    }
    return CENOTE_OK;
}

/* Bytes in a nanosecond are thousands of megabytes in a second. */
static json_t *result_of(struct bench_case *c)
{
    samples_sort(&c->samples);
    double ns = (double)samples_at(&c->samples, 0.5);
    return json_pack("{s:I, s:f, s:f, s:f, s:f}", "bytes", (json_int_t)c->len_bytes, "us_p50",
                     ns / 1e3, "us_p90", (double)samples_at(&c->samples, 0.9) / 1e3, "us_min",
                     (double)samples_at(&c->samples, 0) / 1e3, "mb_s",
                     ns > 0 ? (double)c->len_bytes * 1e3 / ns : 0);
}

static void print(struct bench *b)
{
    json_t *all = json_object();
    for (unsigned i = 0; i < b->case_count; i++) {
        struct bench_case *c = &b->cases[i];
        json_t *result = result_of(c);
        if (!b->o.json)
            printf("%-18s %10.2f us %10.1f MB/s\n", c->name,
                   json_real_value(json_object_get(result, "us_p50")),
                   json_real_value(json_object_get(result, "mb_s")));
        json_object_set_new(all, c->name, result);
    }
    if (b->o.json) {
        json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
    }
    json_decref(all);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int prepare(struct bench *b)
{
    int status = CENOTE_OK;
    for (unsigned i = 0; i < b->case_count && status == CENOTE_OK; i++) {
        struct bench_case *c = &b->cases[i];
        for (unsigned k = 0; k < b->o.channels && status == CENOTE_OK; k++)
            status = make_memory(b, c, &c->streams[k]);
        if (status == CENOTE_OK)
            status = plant(b, c);
        if (status != CENOTE_OK)
            complain(c->name, status);
    }
    return status;
}

static int connect_all(struct bench *b)
{
    const struct xcopy_settings settings = {.rdma = b->o.rdma};
    const struct xcopy_transport *t = b->node.transport;
    const struct xcopy_credentials who = xcopy_node_client();
    int status = t->open != NULL ? t->open(&settings, &b->context) : CENOTE_OK;
    for (unsigned i = 0; i < b->o.channels && status == CENOTE_OK; i++)
        status = t->connect(b->context, &b->node.peer, &who, CONNECT_MS, &b->channels[i]);
    return status == CENOTE_OK ? status : complain("connecting", status);
}

static void close_all(struct bench *b)
{
    const struct xcopy_transport *t = b->node.transport;
    for (unsigned i = 0; i < b->o.channels && b->channels[i] != NULL; i++)
        t->disconnect(b->channels[i]);
    for (unsigned i = 0; i < b->case_count; i++) {
        for (unsigned k = 0; k < b->o.channels; k++)
            free_memory(b, &b->cases[i], &b->cases[i].streams[k]);
        samples_free(&b->cases[i].samples);
    }
    if (b->context != NULL)
        t->close(b->context);
}

static int bench(struct bench *b)
{
    const struct options *o = &b->o;
    const char *any = strcmp(o->transport, "shm") == 0 ? "unix:@xcopy_bench" : "127.0.0.1:0";
    const struct xcopy_node_options node = {.transport = o->transport,
                                            .listen = o->listen != NULL ? o->listen : any,
                                            .rdma = o->node_rdma,
                                            .len_bytes = b->segment_bytes,
                                            .cpu = (int)o->node_cpu - 1};
    if (!xcopy_node_start(&b->node, &node))
        return CENOTE_IO;
    int status = xcopy_node_tie((int)o->cpu - 1) ? connect_all(b) : CENOTE_INVALID;
    if (status == CENOTE_OK)
        status = prepare(b);
    if (status == CENOTE_OK)
        status = measure(b);
    if (status == CENOTE_OK)
        print(b);
    close_all(b);
    xcopy_node_stop(&b->node);
    return status;
}

static int run_cases(struct bench *b, int count, char **names)
{
    if (count < 1 || count > (int)CASES_MAX) {
        fprintf(stderr, "xcopy_bench: which cases (1 to %u)? Try --help\n", CASES_MAX);
        return 2;
    }
    for (int i = 0; i < count; i++) {
        if (!parse_case(&b->cases[i], names[i])) {
            fprintf(stderr, "xcopy_bench: '%s' is no case. Try --help\n", names[i]);
            return 2;
        }
        plan(b, &b->cases[i], (unsigned)i);
    }
    b->case_count = (unsigned)count;
    return bench(b) == CENOTE_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct bench b;
    char error[256];
    int positionals, status = 0;

    if (config_parse(&spec, argc, argv, &b.o, &positionals, error, sizeof error) != CENOTE_OK) {
        fprintf(stderr, "xcopy_bench: %s\n", error);
        return 2;
    }
    hash_init();
    log_set_sink(log_to_stderr, NULL);
    log_set_level(b.o.verbose ? LOG_INFO : LOG_WARN);
    if (b.o.help)
        config_help(&spec, stdout);
    else
        status = run_cases(&b, positionals, argv + 1);
    config_free(&spec, &b.o);
    return status;
}
