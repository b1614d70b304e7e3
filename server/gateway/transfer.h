/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the gateway: what all its transfers have.
 *
 * A transfer belongs to the server's thread, and to a worker while its job runs: then the server's
 * thread touches nothing of it but gone. It holds its request to its own end; when its client goes,
 * it ends as soon as its job is done.
 */
#ifndef CENOTE_GATEWAY_TRANSFER_H
#define CENOTE_GATEWAY_TRANSFER_H

#include "server/gateway/gateway.h"
#include "server/gateway/memory.h"
#include "server/gateway/spaces.h"
#include "server/gateway/target.h"
#include "server/gateway/workers.h"

struct gateway {
    struct http_server *server;
    struct workers *workers;
    struct spaces *spaces;
    struct memory memory;
};

struct transfer {
    struct job job; /* first */
    struct gateway *gateway;
    struct http_request *request;
    struct target target;
    struct space *space; /* NULL: not taken yet */
    int status;          /* of the last job */
    const char *why;     /* more than the status says; NULL: nothing */
    bool running;        /* a job is */
    bool gone;           /* the client */
};

/* Makes a transfer of size bytes, zeroed, that holds the request; NULL: it has been answered. */
void *transfer_new(struct gateway *g, struct http_request *r, size_t size);
/* Frees it. */
void transfer_end(struct transfer *t);
/* On the server's thread. done() comes on it too; then nothing is running any more. */
void transfer_run(struct transfer *t, void (*work)(struct job *job), void (*done)(struct job *job),
                  bool may_wait);
/* On a worker: the namespace's client, in t->space. */
int transfer_open(struct transfer *t);

/* The HTTP status code of a cenote_status. */
int answer_code(int status);
/* Answers with an error. */
void answer_error(struct http_request *r, int status);
/* ... with the status of a transfer's last job. */
void transfer_fail(struct transfer *t);

/* Has the query no other parameters than these? NULL ends them. Otherwise it is answered. */
bool query_has_only(struct http_request *r, const char *const *names);

/* Has it none of these headers? NULL ends them. Otherwise it is answered: what they ask for can't
 * be kept, and must not be ignored. */
bool conditions_are_absent(struct http_request *r, const char *const *names);

/* The methods of values, and the listing. */
void gateway_get(struct gateway *g, struct http_request *r);
void gateway_put(struct gateway *g, struct http_request *r);
void gateway_remove(struct gateway *g, struct http_request *r);
void gateway_list(struct gateway *g, struct http_request *r);

#endif
