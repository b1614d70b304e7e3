/* SPDX-License-Identifier: Apache-2.0 */
/* A growing text. Zero-fill to begin. Once it has failed (no memory, or longer than
 * TEXTBUF_MAX_BYTES) it takes nothing any more; callers look once, at the end. */
#ifndef CENOTE_BASE_TEXTBUF_H
#define CENOTE_BASE_TEXTBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXTBUF_MAX_BYTES (64u << 20)

struct textbuf {
    char *text; /* NUL-terminated; NULL: nothing was added */
    size_t len, cap;
    bool failed;
};

void textbuf_free(struct textbuf *b);
void textbuf_add(struct textbuf *b, const char *text);
void textbuf_add_bytes(struct textbuf *b, const char *bytes, size_t len_bytes);
void textbuf_add_number(struct textbuf *b, uint64_t n);
/* n / 10^digits with a point, without zeros at the end: seconds of nanoseconds with 9 digits, their
 * microseconds with 3. */
void textbuf_add_fraction(struct textbuf *b, uint64_t n, unsigned digits);
/* As a JSON string, with its quotation marks; what is no ASCII stays as it is. */
void textbuf_add_json(struct textbuf *b, const char *text);

#endif
