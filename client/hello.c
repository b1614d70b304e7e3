/* SPDX-License-Identifier: Apache-2.0 */
#include "client/hello.h"

#include <string.h>

#include "transport/base/log.h"

#define MODULE "session"

static void open_request(const struct hello *h, struct wire_buf *request)
{
    struct session_open_params p = {.protocol = PROTOCOL_VERSION};

    memcpy(p.name_space, h->name_space, sizeof p.name_space);
    memcpy(p.client, h->client, sizeof p.client);
    wire_put_request(request, 0, METHOD_SESSION_OPEN);
    session_open_params_put(request, &p);
}

void hello_request(const struct hello *h, struct wire_buf *request)
{
    wire_buf_clear(request);
    if (!h->open) {
        open_request(h, request);
        return;
    }
    wire_put_request(request, 0, METHOD_SESSION_RESUME);
    session_resume_params_put(request,
                              &(struct session_resume_params){.protocol = PROTOCOL_VERSION,
                                                              .session = h->who.session,
                                                              .token = h->who.token,
                                                              .name_space = h->who.name_space});
}

static int opened(struct hello *h, struct wire_value result)
{
    struct session_open_result r;

    if (!session_open_result_get(result, &r)) {
        log_error(MODULE, "session_open's answer is malformed");
        return CENOTE_PROTOCOL;
    }
    h->who = (struct xcopy_credentials){
        .session = r.session, .name_space = r.name_space, .token = r.token};
    h->open = true;
    return CENOTE_OK;
}

int hello_answer(struct hello *h, int status, struct wire_value result)
{
    if (h->open) { /* a service that lost its database doesn't know our token either */
        h->open = status != CENOTE_NO_SESSION && status != CENOTE_DENIED;
        return h->open ? status : CENOTE_NO_SESSION;
    }
    /* A session that isn't there can't be missing: a service that says so is not ours. */
    if (status == CENOTE_NO_SESSION)
        return CENOTE_PROTOCOL;
    return status == CENOTE_OK ? opened(h, result) : status;
}
