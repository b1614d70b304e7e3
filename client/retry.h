/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a call to the service is sent again.
 *
 * A service that is away answers UNAVAILABLE at once: callers want to know, not to hang. But a call
 * that was under way when the connection broke goes on trying, for as long as the client's time-out
 * says, since a service that was restarted is back in a moment. Reads may be repeated anyhow; a
 * changing call is repeated under its number, and the service answers what it answered before.
 */
#ifndef CENOTE_CLIENT_RETRY_H
#define CENOTE_CLIENT_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#define RETRY_PAUSE_MIN_MS 20u
#define RETRY_PAUSE_MAX_MS 1000u
/* New sessions that one call lives through. */
#define RETRY_SESSIONS_MAX 2u

struct retry {
    uint64_t deadline_ms;
    uint64_t not_before_ms; /* when to send (again) */
    uint32_t pause_ms;
    uint32_t sessions; /* begun anew so far */
    bool patient;      /* goes on although it was never sent */
    bool lost;         /* an answer was lost: the call may have taken effect */
};

/* For a call that is sent now. */
void retry_begin(struct retry *r, uint64_t now_ms, uint32_t timeout_ms, bool patient);
/* The call ended: send it again at not_before_ms? */
bool retry_again(struct retry *r, uint64_t now_ms, int status);

#endif
