/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that a page from elsewhere made a browser send.
 *
 * Whoever listens on loopback trusts the programs of his machine, and one of them is a browser that
 * runs pages of anybody: they can send requests here, and by a name of their own that they point to
 * 127.0.0.1 even read the answers. So such a server is asked by address, or as localhost; and what
 * changes something comes from its own pages, or from no page.
 */
#ifndef CENOTE_HTTP_ORIGIN_H
#define CENOTE_HTTP_ORIGIN_H

#include "server/http/head.h"

/* NULL, or why it is refused, as a static text. loopback: that is where the server listens. */
const char *http_origin_fault(const struct http_head *h, bool loopback);

#endif
