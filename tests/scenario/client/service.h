/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A metadata service and its nodes for the client's scenarios: real sockets, in this process, and
 * every fault on demand. The state is the fake pool of the unit tests.
 */
#ifndef CENOTE_SCENARIO_CLIENT_SERVICE_H
#define CENOTE_SCENARIO_CLIENT_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/client/fake_pool.h"
#include "transport/rpc/rpc.h"

struct service_conn;

struct service {
    struct fake pool; /* the loop's thread's, like all that isn't atomic */
    struct rpc_loop *loop;
    pthread_t thread;
    char where[64];
    struct service_conn *conns;
    struct xcopy_exporter *exporters[FAKE_NODES];
    char tcp[FAKE_NODES][XCOPY_ENDPOINT_MAX];
    uint64_t session; /* the one that lives; others are unknown */
    char losing[WIRE_METHOD_MAX];
    unsigned lose, refuse;
    bool lose_session;
    uint64_t removed_seq; /* the last remove, and its answer */
    int removed[8];
    struct keep kept;
    struct space_item space; /* its name is empty: there is none */
    uint64_t space_seq;      /* of the call that set it last */
    atomic_uint opened, resumed, requests, lost;
};

/* Ends the program, unless a call has given what it should. */
void expect(const char *what, int got, int want);

/* Nodes and the service at unix:where. */
void service_begin(struct service *s, const char *where);
void service_end(struct service *s);

/* The service alone goes away and comes back, with its state. */
void service_stop(struct service *s);
void service_start(struct service *s);

/* Closes all connections; with forget the session ends too. */
void service_hang_up(struct service *s, bool forget);
/* The next so many calls of a method are done, but the connection closes before their answers. */
void service_lose(struct service *s, const char *method, unsigned times);
/* ... and the session ends with that. */
void service_lose_all(struct service *s, const char *method, unsigned times);
/* The next call of a method is lost, and so many after it are refused: no memory. */
void service_lose_one(struct service *s, const char *method, unsigned refused);

#endif
