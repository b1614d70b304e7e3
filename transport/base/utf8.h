/* SPDX-License-Identifier: Apache-2.0 */
/* Names and texts that others sent, on their way into texts that must be UTF-8. */
#ifndef CENOTE_BASE_UTF8_H
#define CENOTE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the character at the beginning of s, of which there are len_bytes > 0; 0: there is no
 * valid one. */
size_t utf8_char_bytes(const char *s, size_t len_bytes);
/* Of such a character: does it move the cursor or ring the bell, instead of being seen? */
bool utf8_is_control(char first);

#endif
