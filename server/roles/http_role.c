/* SPDX-License-Identifier: Apache-2.0 */
#include "server/roles/http_role.h"

#include <cenote/status.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/gateway/gateway.h"
#include "server/http/health_route.h"
#include "server/http/http.h"
#include "server/http/page_route.h"
#include "server/roles/observer.h"
#include "transport/base/clock.h"
#include "transport/base/endpoint.h"
#include "transport/base/log.h"

/* A loop that hasn't come round for so long stands still; they do so twenty times a second. */
#define STALL_MS 10000u

struct http_role {
    const struct options *options;
    struct meta_role *meta;
    struct node_role *node;
    struct http_server *server;
    struct health health;
    struct gateway *gateway; /* NULL: off */
    struct trace *trace;
    struct observer *observer;
};

/* ---- health ---------------------------------------------------------------------------------- */

static bool stands_still(uint64_t ticked_ms)
{
    uint64_t now_ms = clock_now_ms();
    return now_ms > ticked_ms && now_ms - ticked_ms > STALL_MS;
}

static const char *ill(void *arg)
{
    const struct http_role *r = arg;
    if (r->meta && stands_still(meta_role_ticked_ms(r->meta)))
        return "the metadata service stands still";
    if (r->node && stands_still(node_role_ticked_ms(r->node)))
        return "the node stands still";
    return NULL;
}

static const char *unready(void *arg)
{
    const struct http_role *r = arg;
    if (r->meta && meta_role_is_rebuilding(r->meta))
        return "the database is being made again";
    return r->node && !node_role_has_joined(r->node) ? "the node has not joined the service" : NULL;
}

/* ---- start and stop -------------------------------------------------------------------------- */

static int add_routes(struct http_role *r)
{
    const char *meta = r->meta ? meta_role_endpoint(r->meta, 0) : r->options->meta;
    r->health = (struct health){.ill = ill, .unready = unready, .arg = r};
    health_route(r->server, &r->health);
    page_route(r->server);
    r->observer = observer_new(r->server, r->meta, r->node, r->trace);
    if (!r->observer)
        return CENOTE_NO_MEMORY;
    if (r->options->gateway == GATEWAY_ON)
        return gateway_new(r->server, meta, &r->gateway);
    gateway_refuse(r->server);
    return CENOTE_OK;
}

static int start_server(struct http_role *r)
{
    const struct options *o = r->options;
    struct endpoint at;
    int status = endpoint_parse(o->http, &at);
    if (status == CENOTE_OK)
        status = http_start(r->server, &at);
    if (status == CENOTE_OK) {
        log_info("http", "serving at %s", http_endpoint(r->server));
        return CENOTE_OK;
    }
    LOG_AT(o->http_given ? LOG_ERROR : LOG_WARN, "http", "cannot listen at %s: %s%s", o->http,
           strerror(errno), o->http_given ? "" : "; no HTTP is served (--http)");
    return status;
}

int http_role_start(const struct options *o, struct meta_role *meta, struct node_role *node,
                    struct trace *trace, struct http_role **out)
{
    *out = NULL;
    if (!options_has_http(o))
        return CENOTE_OK;
    struct http_role *r = calloc(1, sizeof *r);
    if (!r)
        return CENOTE_NO_MEMORY;
    r->options = o;
    r->meta = meta;
    r->node = node;
    r->trace = trace;
    r->server = http_new((uint32_t)o->http_idle_ms);
    int status = r->server ? add_routes(r) : CENOTE_NO_MEMORY;
    if (status == CENOTE_OK)
        status = start_server(r);
    if (status == CENOTE_OK) {
        *out = r;
        return CENOTE_OK;
    }
    http_role_stop(r);
    return o->http_given ? status : CENOTE_OK;
}

void http_role_stop(struct http_role *r)
{
    if (!r)
        return;
    http_stop(r->server);
    gateway_free(r->gateway);
    http_free(r->server);
    observer_free(r->observer);
    free(r);
}

const char *http_role_endpoint(const struct http_role *r)
{
    return r ? http_endpoint(r->server) : NULL;
}
