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

/* Of --gateway; not auto once options are parsed. */
enum gateway_choice { GATEWAY_AUTO, GATEWAY_ON, GATEWAY_OFF };

struct options {
    int roles;
    char *meta;
    char *data_dir;
    char *data_listen;
    char *rdma;
    char *rdma_listen;
    char *rdma_endpoint; /* what that says, or its default */
    bool rdma_wanted;    /* by --rdma, or because other machines reach rdma_endpoint */
    bool rdma_named;     /* --rdma names devices, and insists on them */
    char *advertise;
    char *shm_dir;
    char *node_name;
    char *zone;
    char *config;
    char *http;      /* endpoint; empty: the default, as far as it is free; none */
    bool http_given; /* it must be had */
    uint64_t http_idle_ms;
    int gateway; /* enum gateway_choice */
    struct config_list listen;
    struct config_list log_level;
    bool insecure, rebuild;
    bool help, version, check, print;
    int durability; /* 0 process, 1 sync */
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
    uint64_t scrub_bytes;
    uint64_t rebuild_nodes;
    uint64_t rebuild_wait_ms;
    struct slot_list *slot_list; /* what these three say; NULL: there are no other services */
    uint64_t lease_ms, put_timeout_ms, session_grace_ms;
    uint64_t evict_high, evict_low; /* percent */
    uint64_t heartbeat_ms, suspect_ms, dead_ms;
};

/* Fills a zeroed *o and checks what doesn't go together. CENOTE_OK; CENOTE_INVALID: *report says
 * all that is wrong. options_free() either way. */
int options_parse(struct options *o, int argc, char **argv, struct config_report *report);
void options_free(struct options *o);
/* Lines about what was said and has no effect, to stdout. */
void options_remarks(const struct options *o, const struct config_report *report);
/* All of them as a file, to stdout. */
void options_print(const struct options *o, const struct config_report *report);
const struct config_spec *options_spec(void);
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
