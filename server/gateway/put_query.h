/* SPDX-License-Identifier: Apache-2.0 */
/* How a value is to be kept, and on what conditions, from the query and the headers of a PUT. */
#ifndef CENOTE_GATEWAY_PUT_QUERY_H
#define CENOTE_GATEWAY_PUT_QUERY_H

#include <cenote/policy.h>

#include "server/http/http.h"

struct put_query {
    unsigned flags;              /* enum cenote_put_flags */
    bool new_only;               /* If-None-Match: *, whatever replace= says */
    struct cenote_policy policy; /* group points into this struct */
    char group[CENOTE_GROUP_MAX + 1];
};

/* replace=0|1, ttl=TIME, pin=none|soft|soft:TIME|hard, group=NAME, replicas=N; If-None-Match: *.
 * Other conditions are refused rather than ignored, and so is a part of a value. False: it has been
 * answered. *out must not move afterwards. */
bool put_query_read(struct http_request *r, struct put_query *out);

#endif
