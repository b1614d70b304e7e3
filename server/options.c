/* SPDX-License-Identifier: Apache-2.0 */
#include "server/options.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cenote/status.h>

#include "meta/stub/messages.h"
#include "server/slot_list.h"
#include "transport/base/endpoint.h"
#include "transport/base/sums.h"
#include "transport/memory.h"
#include "transport/rdma/settings.h"

#define HOUR_MS         3600000u
#define SEGMENT_MIN     (UINT64_C(1) << 20)
#define SEGMENT_MAX     (UINT64_C(1) << 46) /* 64 TiB */
#define NUMA_NODE_LIMIT 1024
#define RDMA_ERROR_MAX  256

static_assert(OPTIONS_SEGMENTS_MAX <= SEGMENTS_MAX, "a node joins with all its segments");
static_assert(MEMORY_PAGES_THP == 0 && MEMORY_PAGES_1G == 3, "--huge-pages gives memory_pages");

static const char *const roles[] = {"meta,node", "meta", "node", NULL};
static const char *const durabilities[] = {"process", "sync", NULL};
static const char *const huge_pages[] = {"thp", "none", "2M", "1G", NULL};
static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};

#define FIELD(f) offsetof(struct options, f)

static const struct config_option table[] = {
    {"roles", CONFIG_CHOICE, FIELD(roles), "meta,node", "ROLES",
     "What this process is: the metadata service, a node that donates memory, or both.", roles, 0,
     0},
    {"listen", CONFIG_LIST, FIELD(listen), "127.0.0.1:7400", "ENDPOINT",
     "Control endpoint of the metadata service, host:port or unix:PATH; repeatable.", NULL, 0, 0},
    {"meta", CONFIG_STRING, FIELD(meta), "127.0.0.1:7400", "ENDPOINT",
     "Where a process that is only a node finds the metadata service.", NULL, 0, 0},
    {"data-dir", CONFIG_STRING, FIELD(data_dir), NULL, "DIR",
     "Directory of the metadata (default: /var/lib/cenote, or $XDG_STATE_HOME/cenote when not "
     "root).",
     NULL, 0, 0},
    {"dram", CONFIG_LIST, FIELD(dram), "1GiB", "SIZE",
     "Memory that the node donates; repeatable, a segment each.", NULL, 0, 0},
    {"memory-dir", CONFIG_STRING, FIELD(memory_dir), "", "DIR",
     "Keep the memory in files here, on a tmpfs or hugetlbfs: a node that is killed and started "
     "again with its --node-name keeps its values.",
     NULL, 0, 0},
    {"memory-state-dir", CONFIG_STRING, FIELD(memory_state_dir), "", "DIR",
     "Where to keep what must be known of --memory-dir, on a tmpfs; needed when that is a "
     "hugetlbfs.",
     NULL, 0, 0},
    {"huge-pages", CONFIG_CHOICE, FIELD(huge_pages), "thp", "KIND",
     "Pages of the memory: thp where the kernel has them for shared memory, none, or those that "
     "the machine has set aside.",
     huge_pages, 0, 0},
    {"numa", CONFIG_STRING, FIELD(numa), "any", "NODE",
     "Bind the memory to a NUMA node, by its number.", NULL, 0, 0},
    {"data-listen", CONFIG_STRING, FIELD(data_listen), "127.0.0.1:0", "ENDPOINT",
     "Endpoint of the node for data over TCP; port 0 takes a free one.", NULL, 0, 0},
    {"advertise", CONFIG_STRING, FIELD(advertise), "", "HOST",
     "Name or address by which clients reach --data-listen and --rdma-listen, if it is another.",
     NULL, 0, 0},
    {"rdma", CONFIG_STRING, FIELD(rdma), "", "TEXT",
     "RDMA devices of the node: auto, none, or those that are named (mlx5_0:1/3, with port and GID "
     "index if need be); then settings, if any: rails=2,tc=106 (rails, gid, ipv, tc, sl, pkey, "
     "hops, mtu, timeout, retry, depth, qps, cache) (default: auto, but none where --rdma-listen "
     "is on loopback: local clients use shared memory).",
     NULL, 0, 0},
    {"rdma-listen", CONFIG_STRING, FIELD(rdma_listen), "", "ENDPOINT",
     "Endpoint of the node where clients agree upon RDMA (default: the host of --data-listen, and "
     "a free port).",
     NULL, 0, 0},
    {"shm-dir", CONFIG_STRING, FIELD(shm_dir), "", "DIR",
     "Where the node's socket for shared memory lies (default: $XDG_RUNTIME_DIR/cenote, or "
     "/tmp/cenote-UID).",
     NULL, 0, 0},
    {"scrub-rate", CONFIG_SIZE, FIELD(scrub_bytes), "16MiB", "SIZE",
     "How much of its values the node looks through each second, for damage; 0: none.", NULL, 0,
     UINT64_C(1) << 30},
    {"node-name", CONFIG_STRING, FIELD(node_name), "", "NAME",
     "The node's name in the pool (default: host name, process id and a random number).", NULL, 0,
     0},
    {"zone", CONFIG_STRING, FIELD(zone), "", "LABEL", "Where the node stands; copies keep apart.",
     NULL, 0, 0},
    {"durability", CONFIG_CHOICE, FIELD(durability), "process", "MODE",
     "process: metadata survives the death of this process; sync: of the machine.", durabilities, 0,
     0},
    {"meta-map-size", CONFIG_SIZE, FIELD(meta_map_bytes), "64GiB", "SIZE",
     "Largest size of the metadata on disk.", NULL, 1u << 20, UINT64_C(1) << 44},
    {"lease", CONFIG_MS, FIELD(lease_ms), "5s", "TIME",
     "How long a reader may use what it looked up, and how long a remove or replace waits for a "
     "node that is away: keep it well below the clients' time-out (10s).",
     NULL, 10, HOUR_MS},
    {"stripe", CONFIG_SIZE, FIELD(stripe_bytes), "64MiB", "SIZE",
     "Longer values are spread over the nodes, in stripes of this length (whole 64 KiB), where "
     "there are more nodes than replicas.",
     NULL, SUMS_CHUNK_BYTES, UINT64_C(1) << 30},
    {"put-timeout", CONFIG_MS, FIELD(put_timeout_ms), "60s", "TIME",
     "A put that isn't finished by then is aborted.", NULL, 10, HOUR_MS},
    {"evict-high", CONFIG_COUNT, FIELD(evict_high), "98", "PERCENT",
     "When so much of the memory is used, values are evicted in the background; 100: only when a "
     "put finds no room.",
     NULL, 1, 100},
    {"evict-low", CONFIG_COUNT, FIELD(evict_low), "97", "PERCENT",
     "... until no more than this is used.", NULL, 1, 100},
    {"session-grace", CONFIG_MS, FIELD(session_grace_ms), "15s", "TIME",
     "How long a client's session outlives its connection.", NULL, 10, HOUR_MS},
    {"heartbeat", CONFIG_MS, FIELD(heartbeat_ms), "1s", "TIME", "Between heartbeats of a node.",
     NULL, 10, HOUR_MS},
    {"suspect", CONFIG_MS, FIELD(suspect_ms), "4s", "TIME",
     "A node silent for so long gets no new values.", NULL, 10, HOUR_MS},
    {"dead", CONFIG_MS, FIELD(dead_ms), "30s", "TIME",
     "A node silent for so long has lost its contents.", NULL, 10, HOUR_MS},
    {"rebuild", CONFIG_BOOL, FIELD(rebuild), NULL, NULL,
     "Set the database aside and make it again from what the nodes know: when it is lost, or can't "
     "be trusted. Clients wait meanwhile.",
     NULL, 0, 0},
    {"rebuild-nodes", CONFIG_COUNT, FIELD(rebuild_nodes), "0", "NUMBER",
     "With --rebuild: begin as soon as so many nodes are there (0: all that the nodes know of).",
     NULL, 0, 4096},
    {"rebuild-wait", CONFIG_MS, FIELD(rebuild_wait_ms), "30s", "TIME",
     "With --rebuild: go on without nodes that aren't there by then; what lies on them is lost.",
     NULL, 10, HOUR_MS},
    {"slots", CONFIG_LIST, FIELD(slots), "", "SLOTS",
     "The slots of keys that this service owns, FIRST-LAST or none, where several share a pool; "
     "repeatable.",
     NULL, 0, 0},
    {"shards", CONFIG_LIST, FIELD(shards), "", "SLOTS=ENDPOINT",
     "Which service of the pool owns which slots, 0 to 16383, the same list for all; repeatable. "
     "Services are numbered as they come: append new ones.",
     NULL, 0, 0},
    {"shard-epoch", CONFIG_COUNT, FIELD(shard_epoch), "1", "NUMBER",
     "Number of the list of --shards: every change of it needs a higher one.", NULL, 1,
     UINT64_C(1) << 62},
    {"insecure", CONFIG_BOOL, FIELD(insecure), NULL, NULL,
     "Allow plaintext on addresses that other machines can reach.", NULL, 0, 0},
    {"log-level", CONFIG_CHOICE, FIELD(log_level), "info", "LEVEL", "What is logged to stderr.",
     log_levels, 0, 0},
    {"config", CONFIG_STRING, FIELD(config), NULL, "FILE", "Read options from a file.", NULL, 0, 0},
    {"help", CONFIG_BOOL, FIELD(help), NULL, NULL, "Show this text.", NULL, 0, 0},
    {"version", CONFIG_BOOL, FIELD(version), NULL, NULL, "Show the version.", NULL, 0, 0},
};

static const struct config_spec spec = {
    .program = "cenoted",
    .usage = "cenoted [OPTION...]",
    .options = table,
    .count = sizeof table / sizeof table[0],
};

static int check_endpoint(const struct options *o, const char *name, const char *text, char *error,
                          size_t error_size)
{
    struct endpoint e;
    if (endpoint_parse(text, &e) != CENOTE_OK) {
        snprintf(error, error_size, "--%s: '%s' is no endpoint (host:port or unix:PATH)", name,
                 text);
        return CENOTE_INVALID;
    }
    if (!endpoint_is_local(&e) && !o->insecure) {
        snprintf(error, error_size,
                 "--%s: other machines can reach %s, and the traffic is not encrypted: "
                 "add --insecure if that is meant",
                 name, text);
        return CENOTE_INVALID;
    }
    return CENOTE_OK;
}

static int check_times(const struct options *o, char *error, size_t error_size)
{
    if (o->heartbeat_ms < o->suspect_ms && o->suspect_ms < o->dead_ms)
        return CENOTE_OK;
    snprintf(error, error_size, "--heartbeat, --suspect and --dead must ascend");
    return CENOTE_INVALID;
}

static int check_marks(const struct options *o, char *error, size_t error_size)
{
    if (o->evict_low <= o->evict_high)
        return CENOTE_OK;
    snprintf(error, error_size, "--evict-low must not be above --evict-high");
    return CENOTE_INVALID;
}

static int read_segments(struct options *o, char *error, size_t error_size)
{
    uint64_t page = memory_page_bytes((enum memory_pages)o->huge_pages);
    if (o->dram.count == 0 || o->dram.count > OPTIONS_SEGMENTS_MAX) {
        snprintf(error, error_size, "--dram: from 1 to %u segments", OPTIONS_SEGMENTS_MAX);
        return CENOTE_INVALID;
    }
    o->segment_count = (uint32_t)o->dram.count;
    for (uint32_t i = 0; i < o->segment_count; i++) {
        const char *text = o->dram.items[i];
        uint64_t len = 0;
        if (!config_parse_size(text, &len)) {
            snprintf(error, error_size, "--dram: '%s' is no size", text);
            return CENOTE_INVALID;
        }
        if (len < SEGMENT_MIN || len > SEGMENT_MAX) {
            snprintf(error, error_size,
                     "--dram: '%s' is out of range: a segment has from 1 MiB to "
                     "64 TiB",
                     text);
            return CENOTE_INVALID;
        }
        if (o->huge_pages > MEMORY_PAGES_SMALL && len % page != 0) {
            snprintf(error, error_size, "--dram: '%s' is no multiple of its pages of %llu KiB",
                     text, (unsigned long long)(page >> 10));
            return CENOTE_INVALID;
        }
        o->segment_bytes[i] = len;
    }
    return CENOTE_OK;
}

static int read_numa(struct options *o, char *error, size_t error_size)
{
    char *end;
    o->numa_node = -1;
    if (strcmp(o->numa, "any") == 0)
        return CENOTE_OK;
    unsigned long node = strtoul(o->numa, &end, 10);
    if (o->numa[0] < '0' || o->numa[0] > '9' || *end != '\0' || node >= NUMA_NODE_LIMIT) {
        snprintf(error, error_size, "--numa: '%s' is no number of a NUMA node", o->numa);
        return CENOTE_INVALID;
    }
    o->numa_node = (int)node;
    return CENOTE_OK;
}

static int no_memory(char *error, size_t error_size)
{
    snprintf(error, error_size, "out of memory");
    return CENOTE_NO_MEMORY;
}

/* Port 0 at the host of --data-listen. */
static int default_rdma_listen(struct options *o)
{
    const char *data = o->data_listen, *colon = strrchr(data, ':');
    bool has_host = strncmp(data, "unix:", 5) != 0 && colon;
    char *text;
    if (asprintf(&text, "%.*s:0", has_host ? (int)(colon - data) : 9,
                 has_host ? data : "127.0.0.1") < 0)
        return CENOTE_NO_MEMORY;
    free(o->rdma_listen);
    o->rdma_listen = text;
    return CENOTE_OK;
}

/* Serving pins all memory. Without a word about it, that isn't done for clients who have shared
 * memory. */
static bool wants_rdma(const struct options *o)
{
    struct endpoint e;
    return o->rdma[0] != '\0' || endpoint_parse(o->rdma_listen, &e) != CENOTE_OK ||
           !endpoint_is_local(&e);
}

static int check_rdma(struct options *o, char *error, size_t error_size)
{
    struct rdma_settings settings;
    char why[RDMA_ERROR_MAX];
    if (rdma_settings_parse(o->rdma, &settings, why, sizeof why) != CENOTE_OK) {
        snprintf(error, error_size, "--rdma: %s", why);
        return CENOTE_INVALID;
    }
    o->rdma_named = settings.named_count > 0;
    if (strncmp(o->rdma_listen, "unix:", 5) == 0) {
        snprintf(error, error_size, "--rdma-listen: '%s' has no host and port", o->rdma_listen);
        return CENOTE_INVALID;
    }
    if (o->rdma_listen[0] == '\0' && default_rdma_listen(o) != CENOTE_OK)
        return no_memory(error, error_size);
    o->rdma_wanted = wants_rdma(o);
    return check_endpoint(o, "rdma-listen", o->rdma_listen, error, error_size);
}

/* What belongs to the memory. */
static int check_memory(struct options *o, char *error, size_t error_size)
{
    int status = read_segments(o, error, error_size);
    if (status == CENOTE_OK)
        status = read_numa(o, error, error_size);
    if (status != CENOTE_OK)
        return status;
    if (o->memory_dir[0] != '\0' && o->node_name[0] == '\0') {
        snprintf(error, error_size,
                 "--memory-dir needs --node-name, by which the node finds its memory again");
        return CENOTE_INVALID;
    }
    if (o->memory_dir[0] == '\0' && o->memory_state_dir[0] != '\0') {
        snprintf(error, error_size, "--memory-state-dir goes with --memory-dir");
        return CENOTE_INVALID;
    }
    return CENOTE_OK;
}

static int check_node(struct options *o, char *error, size_t error_size)
{
    int status = check_memory(o, error, error_size);
    if (status != CENOTE_OK)
        return status;
    if (strchr(o->node_name, '/')) {
        snprintf(error, error_size, "--node-name: '/' can't stand in the name of a node");
        return CENOTE_INVALID;
    }
    const char *const texts[][2] = {
        {"node-name", o->node_name}, {"zone", o->zone}, {"advertise", o->advertise}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strlen(texts[i][1]) <= NODE_NAME_MAX)
            continue;
        snprintf(error, error_size, "--%s has more than %u bytes", texts[i][0], NODE_NAME_MAX);
        return CENOTE_INVALID;
    }
    status = check_endpoint(o, "data-listen", o->data_listen, error, error_size);
    return status == CENOTE_OK ? check_rdma(o, error, error_size) : status;
}

static int read_slots(struct options *o, char *error, size_t error_size)
{
    bool slots = o->slots.count > 0, shards = o->shards.count > 0;
    if (slots != shards) {
        snprintf(error, error_size, "--slots and --shards go together");
        return CENOTE_INVALID;
    }
    if (!shards)
        return CENOTE_OK;
    o->slot_list = calloc(1, sizeof *o->slot_list);
    if (!o->slot_list)
        return no_memory(error, error_size);
    return slot_list_parse(&o->shards, &o->slots, o->shard_epoch, o->slot_list, error, error_size);
}

static int check(struct options *o, char *error, size_t error_size)
{
    int status = CENOTE_OK;
    if (options_has_meta(o)) {
        status = check_times(o, error, error_size);
        if (status == CENOTE_OK)
            status = check_marks(o, error, error_size);
        if (status == CENOTE_OK)
            status = read_slots(o, error, error_size);
        if (status == CENOTE_OK && o->listen.count > OPTIONS_LISTEN_MAX) {
            snprintf(error, error_size, "--listen: at most %u endpoints", OPTIONS_LISTEN_MAX);
            status = CENOTE_INVALID;
        }
        for (size_t i = 0; i < o->listen.count && status == CENOTE_OK; i++)
            status = check_endpoint(o, "listen", o->listen.items[i], error, error_size);
    }
    if (status == CENOTE_OK && options_has_node(o))
        status = check_node(o, error, error_size);
    return status;
}

int options_parse(struct options *o, int argc, char **argv, char *error, size_t error_size)
{
    int positionals = 0;
    int status = config_parse(&spec, argc, argv, o, &positionals, error, error_size);
    if (status != CENOTE_OK || o->help || o->version)
        return status;
    if (positionals > 0) {
        snprintf(error, error_size, "unexpected argument '%s'", argv[1]);
        return CENOTE_INVALID;
    }
    return check(o, error, error_size);
}

void options_free(struct options *o)
{
    free(o->slot_list);
    o->slot_list = NULL;
    config_free(&spec, o);
}

void options_help(void)
{
    config_help(&spec, stdout);
}
