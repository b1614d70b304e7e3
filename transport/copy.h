/* SPDX-License-Identifier: Apache-2.0 */
/* What transports have in common: the check of a request, and copies where both sides are mapped.
 */
#ifndef CENOTE_TRANSPORT_COPY_H
#define CENOTE_TRANSPORT_COPY_H

#include "transport/xcopy.h"

/* Does the request make sense in itself? CENOTE_OK, CENOTE_INVALID, CENOTE_BAD_RANGE,
 * CENOTE_NOT_SUPPORTED (kind of memory). */
int copy_check(const struct xcopy_req *req);

/* Copy by this CPU between the request's buffers and its extent, which is mapped at extent; the
 * tail after the payload, in the order that xcopy.h demands. */
void copy_read(struct xcopy_req *req, const uint8_t *extent);
void copy_write(struct xcopy_req *req, uint8_t *extent);

/* Loads bytes that another thread or process may be changing: words are not torn. */
void copy_load(void *dst, const uint8_t *src, uint64_t len_bytes);

#endif
