/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REST gateway: values over HTTP, for clients that have nothing but curl.
 *
 *     PUT, GET, HEAD, DELETE  /v1/objects/{namespace}/{key}
 *     GET                     /v1/objects/{namespace}?prefix=&after=&limit=
 *
 * It is a client like any other, and knows nothing of the daemon that it lives in: it has the
 * public headers alone. The library's calls wait, so they run on a few threads (workers.h); the
 * HTTP thread moves bytes only. (The library's own background operations don't know ranges,
 * writers, listings and removes.) A transfer has a thread only while one of its pieces is copied:
 * slow clients hold a piece of memory, and no thread.
 */
#ifndef CENOTE_GATEWAY_GATEWAY_H
#define CENOTE_GATEWAY_GATEWAY_H

#include "server/http/http.h"

struct gateway;

/* Adds its routes to a server that isn't started. meta: where the service is; copied. CENOTE_OK or
 * CENOTE_NO_MEMORY. */
int gateway_new(struct http_server *server, const char *meta, struct gateway **out);
/* When the server has stopped. NULL is accepted. */
void gateway_free(struct gateway *g);
/* In its place: all paths answer that there is none. */
void gateway_refuse(struct http_server *server);

#endif
