/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of single values, and their place in a program's struct. */
#include "transport/base/config_value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_ITEMS_MAX 64u

struct unit {
    const char *name;
    uint64_t factor;
};

/* A decimal number with one of the units (the first is the one meant without a name). */
static bool parse_scaled(const char *text, const struct unit *units, size_t count, uint64_t *out)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(end, units[i].name) != 0)
            continue;
        return !__builtin_mul_overflow((uint64_t)v, units[i].factor, out);
    }
    return false;
}

bool config_parse_size(const char *text, uint64_t *out)
{
    static const struct unit units[] = {
        {"", 1},           {"B", 1},
        {"K", 1ull << 10}, {"KiB", 1ull << 10},
        {"M", 1ull << 20}, {"MiB", 1ull << 20},
        {"G", 1ull << 30}, {"GiB", 1ull << 30},
        {"T", 1ull << 40}, {"TiB", 1ull << 40},
    };
    uint64_t v;

    if (!parse_scaled(text, units, sizeof units / sizeof *units, &v))
        return false;
    *out = v;
    return true;
}

bool config_parse_ms(const char *text, uint64_t *out)
{
    static const struct unit units[] = {
        {"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
    };
    uint64_t v;

    if (!parse_scaled(text, units, sizeof units / sizeof *units, &v))
        return false;
    *out = v;
    return true;
}

static bool parse_count(const char *text, uint64_t *out)
{
    static const struct unit units[] = {{"", 1}};
    return parse_scaled(text, units, 1, out);
}

static bool parse_bool(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2 != 0;
            return true;
        }
    }
    return false;
}

static bool parse_choice(const char *text, const char *const *choices, int *out)
{
    for (int i = 0; choices[i]; i++) {
        if (strcmp(text, choices[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static int fail(const struct config_option *o, const char *text, struct config_error *error)
{
    const char *want = "";

    switch (o->type) {
    case CONFIG_SIZE:
        want = " (a size such as 4096, 64K or 16GiB)";
        break;
    case CONFIG_MS:
        want = " (a time such as 250ms, 10s or 5m)";
        break;
    case CONFIG_COUNT:
        want = " (a number)";
        break;
    case CONFIG_BOOL:
        want = " (true or false)";
        break;
    case CONFIG_STRING:
    case CONFIG_LIST:
    case CONFIG_CHOICE:
        break;
    }
    snprintf(error->text, error->size, "%s: '%s' is not valid%s", o->name, text, want);
    return CENOTE_INVALID;
}

static int set_number(const struct config_option *o, void *field, const char *text,
                      struct config_error *error)
{
    uint64_t v;
    bool good = o->type == CONFIG_SIZE ? config_parse_size(text, &v)
                : o->type == CONFIG_MS ? config_parse_ms(text, &v)
                                       : parse_count(text, &v);

    if (!good)
        return fail(o, text, error);
    if (v < o->min || (o->max != 0 && v > o->max)) {
        snprintf(error->text, error->size, "%s: '%s' is out of range", o->name, text);
        return CENOTE_INVALID;
    }
    memcpy(field, &v, sizeof v);
    return CENOTE_OK;
}

static int set_string(char **field, const char *text, size_t len)
{
    char *copy = strndup(text, len);

    if (!copy)
        return CENOTE_NO_MEMORY;
    free(*field);
    *field = copy;
    return CENOTE_OK;
}

void config_list_clear(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct config_list){0};
}

static int list_append(struct config_list *list, const char *text, size_t len)
{
    if (list->count == LIST_ITEMS_MAX)
        return CENOTE_LIMIT;
    char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (!items)
        return CENOTE_NO_MEMORY;
    list->items = items;
    items[list->count] = NULL;
    int status = set_string(&items[list->count], text, len);
    if (status == CENOTE_OK)
        list->count++;
    return status;
}

static int list_append_all(struct config_list *list, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, ",");
        int status = len > 0 ? list_append(list, text, len) : CENOTE_OK;
        if (status != CENOTE_OK)
            return status;
        text += len;
        text += *text == ',';
    }
    return CENOTE_OK;
}

int config_value_set(const struct config_option *o, void *out, const char *text,
                     struct config_error *error)
{
    void *field = (char *)out + o->offset;
    int status = CENOTE_OK;

    switch (o->type) {
    case CONFIG_STRING:
        status = set_string(field, text, strlen(text));
        break;
    case CONFIG_LIST:
        status = list_append_all(field, text);
        if (status == CENOTE_LIMIT) {
            snprintf(error->text, error->size, "%s: at most %u values", o->name, LIST_ITEMS_MAX);
            return status;
        }
        break;
    case CONFIG_BOOL:
        return parse_bool(text, field) ? CENOTE_OK : fail(o, text, error);
    case CONFIG_CHOICE:
        return parse_choice(text, o->choices, field) ? CENOTE_OK : fail(o, text, error);
    case CONFIG_SIZE:
    case CONFIG_COUNT:
    case CONFIG_MS:
        return set_number(o, field, text, error);
    }
    if (status != CENOTE_OK)
        snprintf(error->text, error->size, "%s: %s", o->name, cenote_status_text(status));
    return status;
}
