/* SPDX-License-Identifier: Apache-2.0 */
/* The status page: GET / and what it needs, below /page/. */
#ifndef CENOTE_HTTP_PAGE_ROUTE_H
#define CENOTE_HTTP_PAGE_ROUTE_H

#include "server/http/http.h"

/* The page asks for /v1/status by itself. */
void page_route(struct http_server *s);

#endif
