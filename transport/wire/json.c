/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values as JSON, for people and their tools. What JSON has no word for is shown as near as it
 * gets: bin in hexadecimal, bytes of a str that aren't UTF-8 as U+FFFD, numbers beyond JSON as
 * null, and keys of maps that are no strings as strings.
 */
#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/utf8.h"
#include "transport/wire/wire.h"

static void json_str(FILE *f, const uint8_t *s, size_t len_bytes)
{
    putc_unlocked('"', f);
    for (size_t i = 0; i < len_bytes;) {
        size_t n = utf8_char_bytes((const char *)s + i, len_bytes - i);
        if (n == 0)
            fputs("\\ufffd", f);
        else if (n == 1 && (s[i] == '"' || s[i] == '\\'))
            fprintf(f, "\\%c", s[i]);
        else if (n == 1 && utf8_is_control((char)s[i]))
            fprintf(f, "\\u%04x", s[i]);
        else
            fwrite(s + i, 1, n, f);
        i += n ? n : 1;
    }
    putc_unlocked('"', f);
}

static void json_bin(FILE *f, const uint8_t *s, size_t len_bytes)
{
    static const char digits[] = "0123456789abcdef";
    putc_unlocked('"', f);
    for (size_t i = 0; i < len_bytes; i++) {
        putc_unlocked(digits[s[i] >> 4], f);
        putc_unlocked(digits[s[i] & 15], f);
    }
    putc_unlocked('"', f);
}

/* With a point, whatever the locale says. */
static void json_double(FILE *f, double v)
{
    char text[40];
    if (!isfinite(v)) {
        fputs("null", f);
        return;
    }
    snprintf(text, sizeof(text), "%.17g", v);
    char *comma = strchr(text, ',');
    if (comma)
        *comma = '.';
    fputs(text, f);
}

/* Everything but arrays and maps. */
static void json_scalar(FILE *f, const msgpack_object *o)
{
    switch (o->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        fputs(o->via.boolean ? "true" : "false", f);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        fprintf(f, "%" PRIu64, o->via.u64);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        fprintf(f, "%" PRId64, o->via.i64);
        break;
    case MSGPACK_OBJECT_FLOAT64:
        json_double(f, o->via.f64);
        break;
    case MSGPACK_OBJECT_STR:
        json_str(f, (const uint8_t *)o->via.str.ptr, o->via.str.size);
        break;
    case MSGPACK_OBJECT_BIN:
        json_bin(f, (const uint8_t *)o->via.bin.ptr, o->via.bin.size);
        break;
    default:
        fputs("null", f);
    }
}

static void json_key(FILE *f, const msgpack_object *o)
{
    bool quoted = o->type == MSGPACK_OBJECT_STR || o->type == MSGPACK_OBJECT_BIN;
    if (!quoted)
        putc_unlocked('"', f);
    if (o->type == MSGPACK_OBJECT_ARRAY || o->type == MSGPACK_OBJECT_MAP)
        fputs(o->type == MSGPACK_OBJECT_ARRAY ? "[...]" : "{...}", f);
    else
        json_scalar(f, o);
    if (!quoted)
        putc_unlocked('"', f);
}

/* Recursion ends with the scan's WIRE_DEPTH_MAX. */
static void json_value(FILE *f, const msgpack_object *o)
{
    switch (o->type) {
    case MSGPACK_OBJECT_ARRAY:
        putc_unlocked('[', f);
        for (uint32_t i = 0; i < o->via.array.size; i++) {
            if (i > 0)
                putc_unlocked(',', f);
            json_value(f, &o->via.array.ptr[i]);
        }
        putc_unlocked(']', f);
        break;
    case MSGPACK_OBJECT_MAP:
        putc_unlocked('{', f);
        for (uint32_t i = 0; i < o->via.map.size; i++) {
            if (i > 0)
                putc_unlocked(',', f);
            json_key(f, &o->via.map.ptr[i].key);
            putc_unlocked(':', f);
            json_value(f, &o->via.map.ptr[i].val);
        }
        putc_unlocked('}', f);
        break;
    default:
        json_scalar(f, o);
    }
}

char *wire_to_json(struct wire_value v)
{
    char *text = NULL;
    size_t len_bytes;
    FILE *f = open_memstream(&text, &len_bytes);
    if (!f)
        return NULL;
    if (v.node)
        json_value(f, v.node);
    else
        fputs("null", f);
    bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
