/* SPDX-License-Identifier: Apache-2.0 */
#include "client/retry.h"

#include <cenote/status.h>

void retry_begin(struct retry *r, uint64_t now_ms, uint32_t timeout_ms, bool patient)
{
    *r = (struct retry){.deadline_ms = now_ms + timeout_ms,
                        .not_before_ms = now_ms,
                        .pause_ms = 0,
                        .patient = patient};
}

static bool pause_fits(struct retry *r, uint64_t now_ms)
{
    if (now_ms + r->pause_ms >= r->deadline_ms)
        return false;
    r->not_before_ms = now_ms + r->pause_ms;
    r->pause_ms = r->pause_ms == 0 ? RETRY_PAUSE_MIN_MS : r->pause_ms * 2;
    if (r->pause_ms > RETRY_PAUSE_MAX_MS)
        r->pause_ms = RETRY_PAUSE_MAX_MS;
    return true;
}

bool retry_again(struct retry *r, uint64_t now_ms, int status)
{
    switch (status) {
    case CENOTE_UNKNOWN:
        r->lost = true;
        return pause_fits(r, now_ms);
    case CENOTE_UNAVAILABLE:
        return (r->lost || r->patient) && pause_fits(r, now_ms);
    case CENOTE_NO_MEMORY: /* for the repetition, here or there; the first one may have had some */
        return r->lost && pause_fits(r, now_ms);
    case CENOTE_TIMED_OUT:
        r->lost = true;
        return false;
    case CENOTE_NO_SESSION:
        r->not_before_ms = now_ms;
        return r->sessions++ < RETRY_SESSIONS_MAX;
    default:
        return false;
    }
}
