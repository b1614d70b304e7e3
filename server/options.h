/* SPDX-License-Identifier: Apache-2.0 */
/* The options of cenoted: one table for command line, environment, file and --help. */
#ifndef CENOTE_SERVER_OPTIONS_H
#define CENOTE_SERVER_OPTIONS_H

#include <string.h>

#include "transport/base/config.h"

#define OPTIONS_LISTEN_MAX   16u
#define OPTIONS_SEGMENTS_MAX 64u
#define OPTIONS_HTTP_DEFAULT "127.0.0.1:7480"

struct slot_list;

/* Index of the choices of --roles. */
enum roles { ROLES_BOTH, ROLES_META, ROLES_NODE };

struct options {
    int roles;
    char *meta;
    char *data_dir;
    char *data_listen;
    char *rdma;
    char *rdma_listen; /* never empty */
    bool rdma_wanted;  /* by --rdma, or because other machines reach --rdma-listen */
    bool rdma_named;   /* --rdma names devices, and insists on them */
    char *advertise;
    char *shm_dir;
    char *node_name;
    char *zone;
    char *config;
    char *http;      /* endpoint; empty: the default, as far as it is free; none */
    bool http_given; /* it must be had */
    uint64_t http_idle_ms;
    struct config_list listen;
    bool insecure, rebuild, help, version;
    int durability; /* 0 process, 1 sync */
    int log_level;  /* enum log_level */
    struct config_list dram;
    uint64_t segment_bytes[OPTIONS_SEGMENTS_MAX]; /* what --dram says */
    uint32_t segment_count;
    char *memory_dir;
    char *memory_state_dir;
    bool keep_memory;
    int huge_pages; /* enum memory_pages */
    char *numa;
    int numa_node; /* -1: any */
    uint64_t meta_map_bytes, stripe_bytes;
    struct config_list slots, shards;
    uint64_t shard_epoch;
    uint64_t rebuild_nodes;
    uint64_t rebuild_wait_ms;
    struct slot_list *slot_list; /* what these three say; NULL: there are no other services */
    uint64_t lease_ms, put_timeout_ms, session_grace_ms;
    uint64_t evict_high, evict_low; /* percent */
    uint64_t heartbeat_ms, suspect_ms, dead_ms;
};

/* Fills a zeroed *o and checks what doesn't go together. CENOTE_OK; CENOTE_INVALID with a line in
 * error. options_free() either way. */
int options_parse(struct options *o, int argc, char **argv, char *error, size_t error_size);
void options_free(struct options *o);
/* The help text, to stdout. */
void options_help(void);

static inline bool options_has_meta(const struct options *o)
{
    return o->roles != ROLES_NODE;
}

static inline bool options_has_http(const struct options *o)
{
    return strcmp(o->http, "none") != 0;
}

static inline bool options_has_node(const struct options *o)
{
    return o->roles != ROLES_META;
}

#endif
