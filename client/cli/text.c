/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include <cenote/cenote.h>

const char *text_size(uint64_t bytes, char out[TEXT_SIZE_MAX])
{
    static const char units[] = "KMGTPE";
    double v = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(out, TEXT_SIZE_MAX, "%" PRIu64 " B", bytes);
        return out;
    }
    while (v >= 1023.95 && units[unit + 1]) {
        v /= 1024;
        unit++;
    }
    snprintf(out, TEXT_SIZE_MAX, "%.1f %ciB", v, units[unit]);
    return out;
}

const char *text_duration(uint64_t ms, char out[TEXT_TIME_MAX])
{
    uint64_t s = ms / 1000, min = s / 60, h = min / 60;

    if (s == 0)
        snprintf(out, TEXT_TIME_MAX, "%" PRIu64 " ms", ms);
    else if (min == 0)
        snprintf(out, TEXT_TIME_MAX, "%" PRIu64 " s", s);
    else if (h == 0)
        snprintf(out, TEXT_TIME_MAX, "%" PRIu64 " min %" PRIu64 " s", min, s % 60);
    else if (h < 24)
        snprintf(out, TEXT_TIME_MAX, "%" PRIu64 " h %" PRIu64 " min", h, min % 60);
    else
        snprintf(out, TEXT_TIME_MAX, "%" PRIu64 " d %" PRIu64 " h", h / 24, h % 24);
    return out;
}

const char *text_date(uint64_t since_1970_ms, char out[TEXT_TIME_MAX])
{
    time_t t = (time_t)(since_1970_ms / 1000);
    struct tm tm;

    if (!gmtime_r(&t, &tm) || strftime(out, TEXT_TIME_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(out, TEXT_TIME_MAX, "?");
    return out;
}

void text_key(FILE *f, const void *key, size_t len_bytes)
{
    const unsigned char *c = key;

    for (size_t i = 0; i < len_bytes; i++) {
        if (c[i] < 0x20 || c[i] == 0x7f || c[i] == '\\')
            fprintf(f, "\\x%02x", c[i]);
        else
            putc(c[i], f);
    }
}

void text_json_bytes(json_t *object, const char *name, const void *data, size_t len_bytes)
{
    char hex[2 * CENOTE_KEY_MAX + 1] = "", hex_name[TEXT_NAME_MAX];
    const unsigned char *c = data;

    if (json_object_set_new(object, name, json_stringn(data, len_bytes)) == 0)
        return;
    for (size_t i = 0; i < len_bytes && i < CENOTE_KEY_MAX; i++)
        snprintf(hex + 2 * i, 3, "%02x", c[i]);
    snprintf(hex_name, sizeof hex_name, "%s_hex", name);
    json_object_set_new(object, hex_name, json_string(hex));
}

void text_json_key(json_t *object, const void *key, size_t len_bytes)
{
    text_json_bytes(object, "key", key, len_bytes);
}

int text_json_print(json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    int failed = !text || puts(text) < 0 || fflush(stdout) != 0;

    free(text);
    json_decref(value);
    return failed ? -1 : 0;
}
