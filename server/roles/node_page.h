/* SPDX-License-Identifier: Apache-2.0 */
/* What the node of this process counts, as families of a page for Prometheus. What its CPU doesn't
 * see, because clients read and write memory by themselves, isn't made up: they count it. */
#ifndef CENOTE_SERVER_NODE_PAGE_H
#define CENOTE_SERVER_NODE_PAGE_H

#include "server/roles/node_life.h"
#include "transport/base/textbuf.h"

/* ways: of node_life_traffic(). */
void node_page(const struct node_way_traffic ways[NODE_WAYS], struct textbuf *page);

#endif
