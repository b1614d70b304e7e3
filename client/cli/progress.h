/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line on the terminal while a transfer lasts. One value is one call, which doesn't tell how far
 * it is: the line shows what is being moved and for how long, and doesn't pretend to know more.
 */
#ifndef CENOTE_CLI_PROGRESS_H
#define CENOTE_CLI_PROGRESS_H

#include <stdint.h>

struct progress;

/* Shows itself after a second, if stderr is a terminal. May return NULL: then nothing is shown. */
struct progress *progress_begin(const char *what, uint64_t len_bytes);
/* Wipes the line. NULL is accepted. */
void progress_end(struct progress *p);

#endif
