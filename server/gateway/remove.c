/* SPDX-License-Identifier: Apache-2.0 */
/* DELETE: waits for readers of the value, so it may take a lease's time where a node is away. */
#include "server/gateway/transfer.h"

static void work(struct job *job)
{
    struct transfer *t = (struct transfer *)job;
    const struct cenote_key key = {t->target.key, t->target.key_len_bytes};
    t->status = transfer_open(t);
    if (t->status == CENOTE_OK)
        t->status = cenote_remove(gateway_space_client(t->space), &key, 1, NULL);
}

static void done(struct job *job)
{
    struct transfer *t = (struct transfer *)job;
    if (t->status == CENOTE_OK)
        http_reply(t->request, 204, NULL, NULL, 0);
    else
        transfer_fail(t);
    transfer_end(t);
}

void gateway_remove(struct gateway *g, struct http_request *r)
{
    static const char *const none[] = {NULL};
    static const char *const conditions[] = {"If-Match", "If-None-Match", "If-Unmodified-Since",
                                             NULL};
    if (!query_has_only(r, none) || !conditions_are_absent(r, conditions))
        return;
    struct transfer *t = transfer_new(g, r, sizeof *t);
    if (t)
        transfer_run(t, work, done, true);
}
