/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal, taken for a screen that is drawn again and again, and given back as it was: also
 * when a signal ends or stops the process. There is one of it, as there is one standard output.
 */
#ifndef CENOTE_CLI_TERMINAL_H
#define CENOTE_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum terminal_event { TERMINAL_TIME, TERMINAL_QUIT, TERMINAL_REDRAW };

/* False: standard input and output aren't both a terminal, or it can't be taken. */
bool terminal_open(void);
/* Does nothing if it isn't open. */
void terminal_close(void);

void terminal_size(unsigned *columns, unsigned *rows);
/* A whole screen: lines that end in "\033[K\n". */
void terminal_draw(const char *text, size_t len_bytes);
/* Waits for so long at most: for q, for another size of the window, or for having been
 * continued. */
enum terminal_event terminal_wait(uint64_t ms);

#endif
