/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/textbuf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_BYTES    4096u
/* Of the longest number as text. */
#define NUMBER_BYTES 32u
#define DIGITS_MAX   9u

void textbuf_free(struct textbuf *b)
{
    free(b->text);
    *b = (struct textbuf){0};
}

static bool grow(struct textbuf *b, size_t want)
{
    size_t cap = b->cap > 0 ? b->cap : MIN_BYTES;
    while (cap < want && cap <= TEXTBUF_MAX_BYTES)
        cap *= 2;
    char *text = cap <= TEXTBUF_MAX_BYTES ? realloc(b->text, cap) : NULL;
    if (text == NULL) {
        b->failed = true;
        return false;
    }
    b->text = text;
    b->cap = cap;
    return true;
}

void textbuf_add_bytes(struct textbuf *b, const char *bytes, size_t len_bytes)
{
    if (b->failed || (b->cap - b->len <= len_bytes && !grow(b, b->len + len_bytes + 1)))
        return;
    memcpy(b->text + b->len, bytes, len_bytes);
    b->len += len_bytes;
    b->text[b->len] = '\0';
}

void textbuf_add(struct textbuf *b, const char *text)
{
    textbuf_add_bytes(b, text, strlen(text));
}

/* The digits of n, at the end of the buffer. */
static const char *digits_of(uint64_t n, char text[NUMBER_BYTES])
{
    char *at = text + NUMBER_BYTES - 1;
    *at = '\0';
    do {
        *--at = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return at;
}

void textbuf_add_number(struct textbuf *b, uint64_t n)
{
    char text[NUMBER_BYTES];
    textbuf_add(b, digits_of(n, text));
}

void textbuf_add_fraction(struct textbuf *b, uint64_t n, unsigned digits)
{
    char text[NUMBER_BYTES];
    uint64_t whole = 1;
    assert(digits <= DIGITS_MAX);
    for (unsigned i = 0; i < digits; i++)
        whole *= 10;
    textbuf_add_number(b, n / whole);
    if (n % whole == 0)
        return;
    const char *fraction = digits_of(whole + n % whole, text) + 1;
    size_t len = strlen(fraction);
    while (fraction[len - 1] == '0')
        len--;
    textbuf_add(b, ".");
    textbuf_add_bytes(b, fraction, len);
}

void textbuf_add_json(struct textbuf *b, const char *text)
{
    char code[8];
    textbuf_add(b, "\"");
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            textbuf_add(b, "\\");
        if (c >= ' ' && c != 0x7f) {
            textbuf_add_bytes(b, text, 1);
            continue;
        }
        snprintf(code, sizeof code, "\\u%04x", c);
        textbuf_add(b, code);
    }
    textbuf_add(b, "\"");
}
