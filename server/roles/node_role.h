/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node of this process: one thread with the connection to the service, and the node's present
 * life (node_life.h) with its own threads, so that a busy data path doesn't look like a dead node.
 */
#ifndef CENOTE_SERVER_NODE_ROLE_H
#define CENOTE_SERVER_NODE_ROLE_H

#include "server/config/options.h"
#include "server/roles/node_life.h"

#define NODE_RENEW_RETRY_MS 1000u /* between attempts to make a new life */
#define NODE_STOP_MAX_MS    5000u /* for leaving the pool in order */

struct node_role;

/* Makes the memory, starts serving and begins to join the service at meta. joined(arg) is called
 * once, from the node's thread, after the first join. CENOTE_OK, or the status of what failed,
 * logged. */
int node_role_start(const struct options *o, struct trace *trace, const char *meta,
                    void (*joined)(void *arg), void *arg, struct node_role **out);
/* Leaves the pool and ends. */
void node_role_stop(struct node_role *r);

/* Changes how much of its values the node looks through in a second. false: no memory. */
bool node_role_scrub(struct node_role *r, uint64_t bytes_per_s);

/* The data endpoint; after joined(), and as long as the node keeps its life. */
const char *node_role_data_endpoint(const struct node_role *r);

/* What the node's life has moved. The asker's memory until answered(arg), which comes from the
 * node's thread. */
struct node_question {
    void (*answered)(void *arg);
    void *arg;
    struct node_role *role;
    struct node_way_traffic ways[NODE_WAYS];
};
/* Any thread, before node_role_stop(). False: no memory, and no answer comes. */
bool node_role_ask(struct node_role *r, struct node_question *q);

/* Has it joined the service, and not lost it? Any thread. */
bool node_role_has_joined(const struct node_role *r);
/* When its loop last came round, by clock_now_ms(). Any thread. */
uint64_t node_role_ticked_ms(const struct node_role *r);

#endif
