/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients and nodes that bear with a service in trouble, as libcenote and cenoted do: who loses his
 * connection comes back, in the same session or with the same memory, and sends what was not
 * answered once more, with the same number. An answer that never comes ends the program.
 */
#ifndef CENOTE_TESTS_ACTORS_H
#define CENOTE_TESTS_ACTORS_H

#include "tests/support/metaworld.h"

#define ACTOR_NODES   3u
#define ACTOR_CLIENTS 2u
#define NODE_BYTES    (UINT64_C(8) << 20)

struct actors {
    struct world *world;
    struct end *nodes[ACTOR_NODES]; /* NULL: away */
    struct node_join_params params[ACTOR_NODES];
    struct directory *directories[ACTOR_NODES];
    bool up[ACTOR_NODES]; /* its process runs */
    struct end *clients[ACTOR_CLIENTS];
    unsigned errors; /* answers, and connections, that failed */
    /* Before time passes: is the service of no more use as it is? May be NULL. */
    void (*mend)(struct actors *a);
};

void actors_begin(struct actors *a, struct world *w);
void actors_end(struct actors *a);

/* Time passes; the nodes that are up beat, and join again when they were cut off. */
void actors_pass(struct actors *a, uint64_t ms);

void actor_node_start(struct actors *a, unsigned node);
/* Its process is gone, and its memory with it. */
void actor_node_kill(struct actors *a, unsigned node);
/* The service has started anew: everybody comes back. */
void actors_return(struct actors *a);

/* Begins a session, until it succeeds. */
void actor_open(struct actors *a, unsigned client);
/* Asks until there is an answer, and has the status of the whole; *out, to be dropped by
 * actor_drop(), only with CENOTE_OK. Takes b. */
int actor_ask(struct actors *a, unsigned client, struct wire_buf *b, uint32_t msgid,
              struct answer **out);
/* Sends only, and asks for what was sent. */
struct wire_buf actor_send(struct actors *a, unsigned client, struct wire_buf *b);
int actor_await(struct actors *a, unsigned client, struct wire_buf *sent, uint32_t msgid,
                struct answer **out);
void actor_drop(struct actors *a, unsigned client, struct answer *answer);

/* A service that can't do it now says so by one of these. */
bool actor_trouble(int status);

#endif
