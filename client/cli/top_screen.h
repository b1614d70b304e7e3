/* SPDX-License-Identifier: Apache-2.0 */
/* What "top" shows of a look. */
#ifndef CENOTE_CLI_TOP_SCREEN_H
#define CENOTE_CLI_TOP_SCREEN_H

#include <stddef.h>

#include "client/cli/top_look.h"

struct top_screen {
    unsigned columns, rows; /* 0: as many as it takes */
    bool on_screen;         /* lines end as terminal_draw() wants it */
    bool styled;            /* colours */
    const char *where;      /* the service that is asked */
    const char *failure;    /* why there is no newer look; NULL: it is of now */
};

/* Text in lines, which the caller frees; before: the look before, or NULL. NULL: no memory. */
char *top_screen_text(const struct top_screen *s, const struct top_look *now,
                      const struct top_look *before, size_t *len_bytes);

#endif
