/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config/options.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cenote/status.h>

#include "meta/stub/messages.h"
#include "server/config/log_levels.h"
#include "server/config/slot_list.h"
#include "transport/base/endpoint.h"
#include "transport/base/sums.h"
#include "transport/memory.h"
#include "transport/rdma/settings.h"

#define HOUR_MS         3600000u
#define SEGMENT_MIN     (UINT64_C(1) << 20)
#define SEGMENT_MAX     (UINT64_C(1) << 46) /* 64 TiB */
#define NUMA_NODE_LIMIT 1024
#define REASON_MAX      256
#define NAME_LEN_MAX    32
#define SLOTS_REASON    "--slots: "
#define SHARDS_REASON   "--shards: "

static_assert(OPTIONS_SEGMENTS_MAX <= SEGMENTS_MAX, "a node joins with all its segments");
static_assert(MEMORY_PAGES_THP == 0 && MEMORY_PAGES_1G == 3, "--huge-pages gives memory_pages");

static const char *const roles[] = {"meta,node", "meta", "node", NULL};
static const char *const durabilities[] = {"process", "sync", NULL};
static const char *const huge_pages[] = {"thp", "none", "2M", "1G", NULL};
static const char *const gateways[] = {"auto", "on", "off", NULL};
/* What may change while the daemon runs; server/roles/reload.c does it. */
static const char *const reloaded[] = {"log-level",   "evict-high",    "evict-low",  "stripe",
                                       "put-timeout", "session-grace", "scrub-rate", NULL};
/* What says nothing to a process without the role. */
#define OF_THE_SERVICE                                                                             \
    "listen,data-dir,durability,meta-map-size,lease,stripe,put-timeout,evict-high,evict-low,"      \
    "session-grace,heartbeat,suspect,dead,rebuild,rebuild-nodes,rebuild-wait,slots,shards,"        \
    "shard-epoch"
#define OF_THE_NODE                                                                                \
    "dram,memory-dir,memory-state-dir,keep-memory,huge-pages,numa,data-listen,advertise,rdma,"     \
    "rdma-listen,shm-dir,scrub-rate,node-name,zone"

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
    {"keep-memory", CONFIG_BOOL, FIELD(keep_memory), NULL, NULL,
     "With --memory-dir: a node that is stopped in order keeps its values too, for the next start, "
     "as if it had been killed; else it leaves the pool and removes them.",
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
    {"http", CONFIG_STRING, FIELD(http), "", "ENDPOINT",
     "Where health, metrics and the gateway are served over HTTP, host:port or unix:PATH, or none "
     "(default: " OPTIONS_HTTP_DEFAULT ", as long as it is free).",
     NULL, 0, 0},
    {"http-idle", CONFIG_MS, FIELD(http_idle_ms), "30s", "TIME",
     "How long an HTTP connection may be idle, and its client not go on.", NULL, 10, HOUR_MS},
    {"gateway", CONFIG_CHOICE, FIELD(gateway), "auto", "WHEN",
     "Whether values are served over HTTP, too; auto: where other machines can't reach --http.",
     gateways, 0, 0},
    {"insecure", CONFIG_BOOL, FIELD(insecure), NULL, NULL,
     "Allow plaintext on addresses that other machines can reach.", NULL, 0, 0},
    {"log-level", CONFIG_LIST, FIELD(log_level), "info", "LEVEL",
     "What is logged to stderr: error, warn, info or debug; then levels of single modules, if any: "
     "info,rpc=debug,store=warn.",
     NULL, 0, 0},
    {"config", CONFIG_STRING, FIELD(config), NULL, "FILE", "Read options from a file.", NULL, 0, 0},
    {"check-config", CONFIG_ACTION, FIELD(check), NULL, NULL,
     "Say what is wrong with the file and the other options, and start nothing: exit status 0 or "
     "2.",
     NULL, 0, 0},
    {"print-config", CONFIG_ACTION, FIELD(print), NULL, NULL,
     "Print all options as a file, with comments, and start nothing.", NULL, 0, 0},
    {"help", CONFIG_ACTION, FIELD(help), NULL, NULL, "Show this text.", NULL, 0, 0},
    {"version", CONFIG_ACTION, FIELD(version), NULL, NULL, "Show the version.", NULL, 0, 0},
};

static const struct config_spec spec = {
    .program = "cenoted",
    .usage = "cenoted [OPTION...]",
    .options = table,
    .count = sizeof table / sizeof table[0],
    .reloaded = reloaded,
};

/* ---- the service ----------------------------------------------------------------------------- */

static void check_endpoint(const struct options *o, const char *name, const char *text,
                           struct config_report *report)
{
    struct endpoint e;
    if (endpoint_parse(text, &e) != CENOTE_OK)
        config_fault(report, name, "'%s' is no endpoint (host:port or unix:PATH)", text);
    else if (!endpoint_is_local(&e) && !o->insecure)
        config_fault(report, name,
                     "other machines can reach %s, and the traffic is not encrypted: add "
                     "--insecure if that is meant",
                     text);
}

/* Not if the kernel chooses. */
static bool is_same_place(const char *a, const char *b)
{
    size_t len = strlen(a);
    return strcmp(a, b) == 0 && (len < 2 || strcmp(a + len - 2, ":0") != 0);
}

static void check_listen(const struct options *o, struct config_report *report)
{
    if (o->listen.count == 0)
        config_fault(report, "listen", "clients need an endpoint");
    if (o->listen.count > OPTIONS_LISTEN_MAX) {
        config_fault(report, "listen", "at most %u endpoints", OPTIONS_LISTEN_MAX);
        return;
    }
    for (size_t i = 0; i < o->listen.count; i++) {
        const char *text = o->listen.items[i];
        check_endpoint(o, "listen", text, report);
        for (size_t j = 0; j < i; j++)
            if (is_same_place(o->listen.items[j], text))
                config_fault(report, "listen", "%s stands there twice", text);
        if (options_has_node(o) && is_same_place(o->data_listen, text))
            config_fault(report, "listen,data-listen", "%s can't be both", text);
        if (options_has_node(o) && is_same_place(o->rdma_listen, text))
            config_fault(report, "listen,rdma-listen", "%s can't be both", text);
    }
}

static int read_slots(struct options *o, struct config_report *report)
{
    char why[REASON_MAX];
    bool slots = o->slots.count > 0, shards = o->shards.count > 0;
    if (slots != shards)
        config_fault(report, "slots,shards", "slots and shards go together");
    if (!slots || !shards)
        return CENOTE_OK;
    o->slot_list = calloc(1, sizeof *o->slot_list);
    if (!o->slot_list)
        return CENOTE_NO_MEMORY;
    if (slot_list_parse(&o->shards, &o->slots, o->shard_epoch, o->slot_list, why, sizeof why) ==
        CENOTE_OK)
        return CENOTE_OK;
    bool of_slots = strncmp(why, SLOTS_REASON, strlen(SLOTS_REASON)) == 0;
    config_fault(report, of_slots ? "slots" : "shards", "%s",
                 why + strlen(of_slots ? SLOTS_REASON : SHARDS_REASON));
    return CENOTE_OK;
}

static int check_service(struct options *o, struct config_report *report)
{
    if (o->heartbeat_ms >= o->suspect_ms || o->suspect_ms >= o->dead_ms)
        config_fault(report, "heartbeat,suspect,dead", "heartbeat, suspect and dead must ascend");
    if (o->evict_low > o->evict_high)
        config_fault(report, "evict-low,evict-high", "evict-low must not be above evict-high");
    check_listen(o, report);
    return read_slots(o, report);
}

/* ---- the node -------------------------------------------------------------------------------- */

static void read_segment(struct options *o, uint32_t i, struct config_report *report)
{
    uint64_t page = memory_page_bytes((enum memory_pages)o->huge_pages);
    const char *text = o->dram.items[i];
    uint64_t len = 0;
    if (!config_parse_size(text, &len))
        config_fault(report, "dram", "'%s' is no size", text);
    else if (len < SEGMENT_MIN || len > SEGMENT_MAX)
        config_fault(report, "dram", "'%s' is out of range: a segment has from 1 MiB to 64 TiB",
                     text);
    else if (o->huge_pages > MEMORY_PAGES_SMALL && len % page != 0)
        config_fault(report, "dram,huge-pages", "'%s' is no multiple of its pages of %llu KiB",
                     text, (unsigned long long)(page >> 10));
    o->segment_bytes[i] = len;
}

static void read_segments(struct options *o, struct config_report *report)
{
    if (o->dram.count == 0 || o->dram.count > OPTIONS_SEGMENTS_MAX) {
        config_fault(report, "dram", "from 1 to %u segments", OPTIONS_SEGMENTS_MAX);
        return;
    }
    o->segment_count = (uint32_t)o->dram.count;
    for (uint32_t i = 0; i < o->segment_count; i++)
        read_segment(o, i, report);
}

static void read_numa(struct options *o, struct config_report *report)
{
    char *end;
    o->numa_node = -1;
    if (strcmp(o->numa, "any") == 0 || o->numa[0] == '\0')
        return;
    unsigned long node = strtoul(o->numa, &end, 10);
    if (o->numa[0] < '0' || o->numa[0] > '9' || *end != '\0' || node >= NUMA_NODE_LIMIT)
        config_fault(report, "numa", "'%s' is no number of a NUMA node", o->numa);
    else
        o->numa_node = (int)node;
}

/* What is said, or port 0 at the host of --data-listen. */
static int choose_rdma_endpoint(struct options *o)
{
    const char *data = o->data_listen, *colon = strrchr(data, ':');
    bool has_host = strncmp(data, "unix:", 5) != 0 && colon;
    char *text;
    int len = o->rdma_listen[0] != '\0'
                  ? asprintf(&text, "%s", o->rdma_listen)
                  : asprintf(&text, "%.*s:0", has_host ? (int)(colon - data) : 9,
                             has_host ? data : "127.0.0.1");
    if (len < 0)
        return CENOTE_NO_MEMORY;
    o->rdma_endpoint = text;
    return CENOTE_OK;
}

/* Serving pins all memory. Without a word about it, that isn't done for clients who have shared
 * memory. */
static bool wants_rdma(const struct options *o)
{
    struct endpoint e;
    return o->rdma[0] != '\0' || endpoint_parse(o->rdma_endpoint, &e) != CENOTE_OK ||
           !endpoint_is_local(&e);
}

static int check_rdma(struct options *o, struct config_report *report)
{
    struct rdma_settings settings;
    char why[REASON_MAX];
    if (rdma_settings_parse(o->rdma, &settings, why, sizeof why) == CENOTE_OK)
        o->rdma_named = settings.named_count > 0;
    else
        config_fault(report, "rdma", "%s", why);
    if (strncmp(o->rdma_listen, "unix:", 5) == 0)
        config_fault(report, "rdma-listen", "'%s' has no host and port", o->rdma_listen);
    if (choose_rdma_endpoint(o) != CENOTE_OK)
        return CENOTE_NO_MEMORY;
    o->rdma_wanted = wants_rdma(o);
    /* Where nothing is said its host is that of data-listen, about which enough is said then. */
    if (o->rdma_listen[0] != '\0')
        check_endpoint(o, "rdma-listen", o->rdma_listen, report);
    return CENOTE_OK;
}

static void check_names(const struct options *o, struct config_report *report)
{
    const char *const texts[][2] = {
        {"node-name", o->node_name}, {"zone", o->zone}, {"advertise", o->advertise}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strlen(texts[i][1]) > NODE_NAME_MAX)
            config_fault(report, texts[i][0], "has more than %u bytes", NODE_NAME_MAX);
    if (strchr(o->node_name, '/'))
        config_fault(report, "node-name", "'/' can't stand in the name of a node");
}

static int check_node(struct options *o, struct config_report *report)
{
    read_segments(o, report);
    read_numa(o, report);
    if (o->memory_dir[0] != '\0' && o->node_name[0] == '\0')
        config_fault(report, "memory-dir,node-name",
                     "--memory-dir needs --node-name, by which the node finds its memory again");
    if (o->memory_dir[0] == '\0' && o->memory_state_dir[0] != '\0')
        config_fault(report, "memory-state-dir,memory-dir", "goes with --memory-dir");
    if (o->memory_dir[0] == '\0' && o->keep_memory)
        config_fault(report, "keep-memory,memory-dir", "goes with --memory-dir");
    check_names(o, report);
    check_endpoint(o, "data-listen", o->data_listen, report);
    return check_rdma(o, report);
}

/* ---- all ------------------------------------------------------------------------------------- */

static int check_http(struct options *o, struct config_report *report)
{
    struct endpoint at;
    o->http_given = o->http[0] != '\0';
    if (o->http_given && !options_has_http(o))
        return CENOTE_OK;
    if (o->http_given) {
        check_endpoint(o, "http", o->http, report);
        for (size_t i = 0; i < o->listen.count && options_has_meta(o); i++)
            if (is_same_place(o->listen.items[i], o->http))
                config_fault(report, "http,listen", "%s can't be both", o->http);
    } else {
        free(o->http);
        o->http = strdup(OPTIONS_HTTP_DEFAULT);
        if (!o->http)
            return CENOTE_NO_MEMORY;
    }
    if (o->gateway == GATEWAY_AUTO)
        o->gateway = endpoint_parse(o->http, &at) == CENOTE_OK && endpoint_is_local(&at)
                         ? GATEWAY_ON
                         : GATEWAY_OFF;
    return CENOTE_OK;
}

static int check(struct options *o, struct config_report *report)
{
    log_levels_check(&o->log_level, report);
    int status = check_http(o, report);
    if (!options_has_meta(o) && o->meta[0] == '\0')
        config_fault(report, "meta", "a node needs the endpoint of its service");
    if (status == CENOTE_OK && options_has_meta(o))
        status = check_service(o, report);
    if (status == CENOTE_OK && options_has_node(o))
        status = check_node(o, report);
    if (status != CENOTE_OK)
        config_fault(report, "", "%s", cenote_status_text(status));
    return report->faults == 0 ? CENOTE_OK : CENOTE_INVALID;
}

int options_parse(struct options *o, int argc, char **argv, struct config_report *report)
{
    int positionals;
    int status = config_read(&spec, argc, argv, o, &positionals, report);
    if (status == CENOTE_NO_MEMORY)
        return status;
    if (o->help || o->version || (o->print && status == CENOTE_OK))
        return CENOTE_OK;
    if (positionals > 0)
        config_fault(report, "", "unexpected argument '%s'", argv[1]);
    return check(o, report);
}

static void remark(const struct config_report *report, const char *names, const char *why)
{
    char name[NAME_LEN_MAX];
    while (*names) {
        size_t len = strcspn(names, ",");
        assert(len < sizeof name);
        memcpy(name, names, len);
        name[len] = '\0';
        if (config_was_said(report, name))
            printf("%s says nothing here: %s\n", name, why);
        names += len + (names[len] == ',');
    }
}

void options_remarks(const struct options *o, const struct config_report *report)
{
    if (!options_has_meta(o))
        remark(report, OF_THE_SERVICE, "this process is only a node");
    if (!options_has_node(o))
        remark(report, OF_THE_NODE, "this process is only the metadata service");
    if (options_has_meta(o) && !o->rebuild)
        remark(report, "rebuild-nodes,rebuild-wait", "they go with rebuild");
}

void options_free(struct options *o)
{
    free(o->slot_list);
    o->slot_list = NULL;
    free(o->rdma_endpoint);
    o->rdma_endpoint = NULL;
    config_free(&spec, o);
}

void options_help(void)
{
    config_help(&spec, stdout);
}

void options_print(const struct options *o, const struct config_report *report)
{
    config_print(report, o, stdout);
}

const struct config_spec *options_spec(void)
{
    return &spec;
}
