/* SPDX-License-Identifier: Apache-2.0 */
/* How the tool shows sizes, times and keys. */
#ifndef CENOTE_CLI_TEXT_H
#define CENOTE_CLI_TEXT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_SIZE_MAX 16
#define TEXT_TIME_MAX 32

/* "512 B", "4.0 KiB", "1.5 TiB" */
const char *text_size(uint64_t bytes, char out[TEXT_SIZE_MAX]);
/* "320 ms", "12 s", "3 min 5 s", "2 d 4 h" */
const char *text_duration(uint64_t ms, char out[TEXT_TIME_MAX]);
/* "2026-01-31 12:00:00 UTC" */
const char *text_date(uint64_t since_1970_ms, char out[TEXT_TIME_MAX]);

/* A key as one line: control characters and backslashes as \xNN. */
void text_key(FILE *f, const void *key, size_t len_bytes);

/* Adds bytes under a name, or, when they aren't UTF-8, as hexadecimal digits under "NAME_hex". */
#define TEXT_NAME_MAX 32
void text_json_bytes(json_t *object, const char *name, const void *data, size_t len_bytes);
/* Adds "key", or "key_hex" when the key isn't UTF-8, to an object. */
void text_json_key(json_t *object, const void *key, size_t len_bytes);
/* Prints a JSON value on a line of its own and frees it. Returns 0, or -1. */
int text_json_print(json_t *value);

#endif
