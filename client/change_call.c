/* SPDX-License-Identifier: Apache-2.0 */
#include "client/change_call.h"

#include "client/retry.h"

/* The service refuses a number that is too old, item by item: the others of this session were
 * faster. */
static bool too_old(const struct rpc_answer *answer)
{
    int status;
    return key_status_get(wire_at(answer->msg.result, 0), &status) && status == CENOTE_UNKNOWN;
}

int change_run(struct drive *d, const struct change_call *c, struct wire_buf *request,
               struct rpc_answer *answer)
{
    struct machine_env env = drive_env(d);
    int status = CENOTE_NO_SESSION;

    for (uint32_t i = 0; i <= RETRY_SESSIONS_MAX && status == CENOTE_NO_SESSION; i++) {
        uint64_t seq = env.next_seq(env.arg);
        bool lost;
        wire_buf_clear(request);
        c->encode(c, seq, request);
        status = drive_change(d, seq, request, answer, &lost);
        if (status == CENOTE_OK && !lost && too_old(answer)) {
            rpc_answer_free(answer);
            status = CENOTE_NO_SESSION;
        }
    }
    return status == CENOTE_NO_SESSION ? CENOTE_UNAVAILABLE : status;
}
