/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered calls outside of machines: sent until they are answered, with a new number as long as it
 * is certain that they had no effect under the last one. */
#ifndef CENOTE_CLIENT_CHANGE_CALL_H
#define CENOTE_CLIENT_CHANGE_CALL_H

#include "client/drive.h"

struct change_call {
    /* The whole request, with this number. */
    void (*encode)(const struct change_call *c, uint64_t seq, struct wire_buf *request);
};

/* CENOTE_OK: *answer's result is a list of statuses, and the caller's to free. Otherwise as
 * drive_change(); CENOTE_UNAVAILABLE instead of CENOTE_NO_SESSION. */
int change_run(struct drive *d, const struct change_call *c, struct wire_buf *request,
               struct rpc_answer *answer);

#endif
