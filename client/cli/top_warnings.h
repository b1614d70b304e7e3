/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator should know of a look; the status page warns of the same. */
#ifndef CENOTE_CLI_TOP_WARNINGS_H
#define CENOTE_CLI_TOP_WARNINGS_H

#include "client/cli/top_look.h"

#define TOP_WARNING_MAX 256

struct top_warnings {
    const struct top_look *look;
    size_t service, node; /* where it goes on */
    unsigned kind;
};

/* The next one, as text; false: there is none any more. grave: something is lost, or will be. */
bool top_warning_next(struct top_warnings *w, char text[TOP_WARNING_MAX], bool *grave);

#endif
