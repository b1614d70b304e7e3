/* SPDX-License-Identifier: Apache-2.0 */
/* Transports by their names, as the test programs take them. */
#ifndef CENOTE_TESTS_TRANSPORT_H
#define CENOTE_TESTS_TRANSPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/cenote.h>

/* In the order of enum cenote_transport. */
#define TRANSPORT_NAMES "auto", "shm", "tcp", "rdma"

/* Ends the process with status 2 if there is none of this name. */
static inline enum cenote_transport transport_named(const char *name)
{
    static const char *const names[] = {TRANSPORT_NAMES};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return (enum cenote_transport)i;
    fprintf(stderr, "no transport is called %s\n", name);
    exit(2);
}

#endif
