/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/health_route.h"

#include <cenote/status.h>

static void answer(struct http_request *r, const char *wrong)
{
    http_reply_header(r, "Cache-Control", "no-store");
    if (wrong)
        http_reply_error(r, 503, CENOTE_UNAVAILABLE, "%s", wrong);
    else
        http_reply_text(r, 200, "ok\n");
}

static void on_healthz(void *arg, struct http_request *r)
{
    const struct health *h = arg;
    answer(r, h->ill(h->arg));
}

static void on_readyz(void *arg, struct http_request *r)
{
    const struct health *h = arg;
    const char *wrong = h->ill(h->arg);
    answer(r, wrong ? wrong : h->unready(h->arg));
}

void health_route(struct http_server *s, const struct health *h)
{
    const struct http_route routes[] = {
        {.methods = HTTP_GET, .path = "/healthz", .handle = on_healthz, .arg = (void *)h},
        {.methods = HTTP_GET, .path = "/readyz", .handle = on_readyz, .arg = (void *)h}};
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        http_route(s, &routes[i]);
}
