/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the client is to the service, and the greeting that begins each connection: session_open the
 * first time, session_resume as long as the session may still live. No I/O.
 */
#ifndef CENOTE_CLIENT_HELLO_H
#define CENOTE_CLIENT_HELLO_H

#include <stdbool.h>

#include "meta/stub/messages.h"
#include "transport/xcopy.h"

struct hello {
    char name_space[CENOTE_NAMESPACE_MAX + 1];
    char client[TEXT_MAX];
    bool open; /* who holds a session that may still live */
    struct xcopy_credentials who;
};

void hello_request(const struct hello *h, struct wire_buf *request);

/* Takes the answer. CENOTE_OK; CENOTE_NO_SESSION: the session has ended, greet again; an error. */
int hello_answer(struct hello *h, int status, struct wire_value result);

#endif
