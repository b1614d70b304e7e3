/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who looks on: the routes by which this process tells what it does.
 *
 *   GET /metrics             for Prometheus
 *   GET /v1/status           the service's state, as JSON
 *   GET /v1/trace            the newest spans, as a Chrome trace
 *   POST /v1/trace?on=0|1    begins and ends tracing
 *   POST /v1/log?level=L     the log's level; with module=M of one module
 *
 * The last three are for clients on this machine only.
 *
 * The state of a role belongs to its thread: a request asks there, is held meanwhile, and is
 * answered when all have told what they know.
 */
#ifndef CENOTE_SERVER_OBSERVER_H
#define CENOTE_SERVER_OBSERVER_H

#include "server/http/http.h"
#include "server/roles/meta_role.h"
#include "server/roles/node_role.h"
#include "transport/base/trace.h"

/* Questions at a time; more are answered 503. */
#define OBSERVER_QUESTIONS_MAX 16u

struct observer;

/* Each role may be NULL; all stay until observer_free(). NULL: no memory. */
struct observer *observer_new(struct http_server *server, struct meta_role *meta,
                              struct node_role *node, struct trace *trace);
/* After http_stop(). NULL is accepted. */
void observer_free(struct observer *o);

#endif
