/* SPDX-License-Identifier: Apache-2.0 */
/* cenote-bench: measures a pool. Figures in documents come from here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/asker.h"
#include "bench/bench.h"
#include "transport/base/config.h"

static const char *const transports[] = {"auto", "shm", "tcp", "rdma", NULL};
static const char *const verifies[] = {"full", "seal", NULL};

#define AT(field) offsetof(struct bench_options, field)
static const struct config_option options[] = {
    {"meta", CONFIG_STRING, AT(meta), "127.0.0.1:7400", "ENDPOINT", "the metadata service", NULL, 0,
     0},
    {"namespace", CONFIG_STRING, AT(name_space), "bench", "NAME", "where the values go", NULL, 0,
     0},
    {"transport", CONFIG_CHOICE, AT(transport), "auto", "NAME", "how bytes travel", transports, 0,
     0},
    {"verify", CONFIG_CHOICE, AT(verify), "full", "KIND", "trace, get: what a get checks", verifies,
     0, 0},
    {"block", CONFIG_SIZE, AT(block_bytes), "64K", "SIZE", "trace: bytes of a block", NULL, 1,
     1ull << 32},
    {"workers", CONFIG_COUNT, AT(workers), "1", "N", "threads", NULL, 1, 256},
    {"requests", CONFIG_COUNT, AT(requests), "10000000", "N", "trace: only the first N", NULL, 1,
     0},
    {"objects", CONFIG_COUNT, AT(objects), "1000000", "N",
     "lookup: how many keys there are; commit: how many puts", NULL, 1, 100000000},
    {"batch", CONFIG_COUNT, AT(batch), "128", "N", "lookup, small, evict: keys in one call", NULL,
     1, CENOTE_BATCH_MAX},
    {"rounds", CONFIG_COUNT, AT(rounds), "200", "N", "lookup, get, copy, evict: how often", NULL, 1,
     100000000},
    {"sessions", CONFIG_COUNT, AT(sessions), "16", "N", "commit: sessions", NULL, 1,
     ASKER_SESSIONS_MAX},
    {"depth", CONFIG_COUNT, AT(depth), "16", "N", "commit: calls in flight on each session", NULL,
     1, ASKER_DEPTH_MAX},
    {"value", CONFIG_SIZE, AT(value_bytes), "64", "SIZE", "commit: bytes of a value", NULL, 0,
     1u << 20},
    {"set", CONFIG_SIZE, AT(set_bytes), "420M", "SIZE",
     "copy: what lies in the pool at a time; more than a cache holds", NULL, 1, 1ull << 40},
    {"redis", CONFIG_STRING, AT(redis), NULL, "ENDPOINT", "copy: a Redis to measure beside", NULL,
     0, 0},
    {"metrics", CONFIG_STRING, AT(metrics), NULL, "FILE",
     "trace, get, small, evict, copy: write what each client counted in the end, as Prometheus "
     "reads it; -: to stderr",
     NULL, 0, 0},
    {"json", CONFIG_BOOL, AT(json), NULL, NULL, "print the result as JSON", NULL, 0, 0},
    {"help", CONFIG_BOOL, AT(help), NULL, NULL, "print this", NULL, 0, 0},
    {"version", CONFIG_BOOL, AT(version), NULL, NULL, "print the version", NULL, 0, 0},
};
#undef AT

static const struct config_spec spec = {
    "cenote-bench",
    "cenote-bench [OPTION]... COMMAND\n\n"
    "  trace FILE   replay a request trace as a serving engine would, and check every byte\n"
    "  lookup       lookups in batches among many small objects\n"
    "  get [SIZE]...  gets of one value, warm and cold, beside a call and a memcpy\n"
    "  small [SIZE]...  batches of small values, and what they take beside their bytes\n"
    "  evict [SIZE]...  batches of puts (at most 1 MiB) into a pool with room, and into a full "
    "one\n"
    "  commit [N]   commits of single puts and in batches of 32 (or of N), nothing written:\n"
    "               the service's part alone, beside what LMDB needs for the same records\n"
    "  copy [SIZE]  get and put of a KV-cache block (122 buffers, 8784 KiB), or of one buffer,\n"
    "               beside memcpy, bare sockets (with --transport tcp) and Redis",
    options, sizeof options / sizeof *options, NULL};

static const struct {
    const char *name;
    int (*run)(const struct bench_options *o, int argc, char **argv);
    bool bare; /* without a client of libcenote */
} commands[] = {{"trace", bench_trace, false}, {"lookup", bench_lookup, true},
                {"get", bench_get, false},     {"small", bench_small, false},
                {"evict", bench_evict, false}, {"commit", bench_commit, true},
                {"copy", bench_copy, false}};
#define COMMANDS (sizeof commands / sizeof *commands)

static int complain_of_page(const char *path)
{
    fprintf(stderr, "cenote-bench: %s: %s\n", path, strerror(errno));
    return 1;
}

/* "-" is standard error: standard output has the result. */
static int open_page(struct bench_options *o)
{
    o->page = strcmp(o->metrics, "-") == 0 ? stderr : fopen(o->metrics, "we");
    return o->page ? 0 : complain_of_page(o->metrics);
}

static int close_page(const struct bench_options *o)
{
    bool bad = ferror(o->page) != 0;
    if (o->page != stderr)
        bad = fclose(o->page) != 0 || bad;
    return bad ? complain_of_page(o->metrics) : 0;
}

static int run(struct bench_options *o, int positionals, char **argv)
{
    size_t i = 0;

    while (positionals > 0 && i < COMMANDS && strcmp(argv[1], commands[i].name) != 0)
        i++;
    if (positionals == 0 || i == COMMANDS) {
        fputs("cenote-bench: which command? Try --help\n", stderr);
        return 2;
    }
    if (o->metrics && commands[i].bare) {
        fprintf(stderr, "cenote-bench: %s has no client whose --metrics there were\n",
                commands[i].name);
        return 2;
    }
    int status = o->metrics ? open_page(o) : 0;
    if (status != 0)
        return status;
    status = commands[i].run(o, positionals - 1, argv + 2);
    int written = o->page ? close_page(o) : 0;
    return status != 0 ? status : written;
}

int main(int argc, char **argv)
{
    struct bench_options o = {0};
    char error[256];
    int positionals;
    int status = 0;

    if (config_parse(&spec, argc, argv, &o, &positionals, error, sizeof error) != CENOTE_OK) {
        fprintf(stderr, "cenote-bench: %s\n", error);
        return 2;
    }
    if (o.help)
        config_help(&spec, stdout);
    else if (o.version)
        printf("cenote-bench %s\n", cenote_version());
    else
        status = run(&o, positionals, argv);
    config_free(&spec, &o);
    return status;
}
