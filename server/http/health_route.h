/* SPDX-License-Identifier: Apache-2.0 */
/* GET /healthz: does the process run? GET /readyz: can it be used? */
#ifndef CENOTE_HTTP_HEALTH_ROUTE_H
#define CENOTE_HTTP_HEALTH_ROUTE_H

#include "server/http/http.h"

/* Each is asked on the server's thread, and answers at once: NULL, or what is wrong, as a static
 * text. */
struct health {
    const char *(*ill)(void *arg);
    const char *(*unready)(void *arg);
    void *arg;
};

/* *h stays until the server is freed. */
void health_route(struct http_server *s, const struct health *h);

#endif
