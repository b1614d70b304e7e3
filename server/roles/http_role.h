/* SPDX-License-Identifier: Apache-2.0 */
/* What this process serves over HTTP: the server, and the routes that are there. */
#ifndef CENOTE_SERVER_HTTP_ROLE_H
#define CENOTE_SERVER_HTTP_ROLE_H

#include "server/config/options.h"
#include "server/roles/meta_role.h"
#include "server/roles/node_role.h"

struct http_role;

/* Without --http nothing, and *out is NULL: also when the default address is taken, which is
 * logged. Each role may be NULL, and stays until http_role_stop(). CENOTE_OK, or the status of what
 * failed, logged. */
int http_role_start(const struct options *o, struct meta_role *meta, struct node_role *node,
                    struct trace *trace, struct http_role **out);
/* Ends what is under way. NULL is accepted. */
void http_role_stop(struct http_role *r);

/* Where it listens, as text; NULL: there is none. */
const char *http_role_endpoint(const struct http_role *r);

#endif
