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

/* Ascending; where several names mean the same, the last is the one that is written. */
static const struct unit size_units[] = {
    {"", 1},           {"B", 1},
    {"K", 1ull << 10}, {"KiB", 1ull << 10},
    {"M", 1ull << 20}, {"MiB", 1ull << 20},
    {"G", 1ull << 30}, {"GiB", 1ull << 30},
    {"T", 1ull << 40}, {"TiB", 1ull << 40},
};
static const struct unit time_units[] = {
    {"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
};
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

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
    uint64_t v;

    if (!parse_scaled(text, size_units, COUNT_OF(size_units), &v))
        return false;
    *out = v;
    return true;
}

bool config_parse_ms(const char *text, uint64_t *out)
{
    uint64_t v;

    if (!parse_scaled(text, time_units, COUNT_OF(time_units), &v))
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

/* "'loud' is not valid (error, warn ...)" */
static void say_choices(const struct config_option *o, const char *text, struct config_error *error)
{
    int at = snprintf(error->text, error->size, "'%s' is not valid (", text);

    for (int i = 0; o->choices[i] && at >= 0 && (size_t)at < error->size; i++)
        at += snprintf(error->text + at, error->size - (size_t)at, "%s%s", o->choices[i],
                       o->choices[i + 1] ? ", " : ")");
}

#define UNIT_TEXT_MAX 32

/* In the largest unit that gives a whole number. */
static void format_scaled(const struct unit *units, size_t count, uint64_t v,
                          char text[UNIT_TEXT_MAX])
{
    const struct unit *best = &units[0];

    for (size_t i = 0; i < count && v > 0; i++)
        if (v % units[i].factor == 0)
            best = &units[i];
    snprintf(text, UNIT_TEXT_MAX, "%llu%s", (unsigned long long)(v / best->factor), best->name);
}

static void format_number(const struct config_option *o, uint64_t v, char text[UNIT_TEXT_MAX])
{
    if (o->type == CONFIG_SIZE)
        format_scaled(size_units, COUNT_OF(size_units), v, text);
    else if (o->type == CONFIG_MS)
        format_scaled(time_units, COUNT_OF(time_units), v, text);
    else
        snprintf(text, UNIT_TEXT_MAX, "%llu", (unsigned long long)v);
}

static int fail(const struct config_option *o, const char *text, struct config_error *error)
{
    const char *want = "";

    if (o->type == CONFIG_CHOICE) {
        say_choices(o, text, error);
        return CENOTE_INVALID;
    }
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
    case CONFIG_ACTION:
        want = " (true or false)";
        break;
    case CONFIG_STRING:
    case CONFIG_LIST:
    case CONFIG_CHOICE:
        break;
    }
    snprintf(error->text, error->size, "'%s' is not valid%s", text, want);
    return CENOTE_INVALID;
}

static void say_range(const struct config_option *o, const char *text, struct config_error *error)
{
    char min[UNIT_TEXT_MAX], max[UNIT_TEXT_MAX];

    format_number(o, o->min, min);
    format_number(o, o->max, max);
    if (o->max == 0)
        snprintf(error->text, error->size, "'%s' is out of range: at least %s", text, min);
    else
        snprintf(error->text, error->size, "'%s' is out of range: from %s to %s", text, min, max);
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
        say_range(o, text, error);
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

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int list_append_all(struct config_list *list, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, ","), item = len;
        const char *from = text;
        while (item > 0 && is_blank(*from)) {
            from++;
            item--;
        }
        while (item > 0 && is_blank(from[item - 1]))
            item--;
        int status = item > 0 ? list_append(list, from, item) : CENOTE_OK;
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
            snprintf(error->text, error->size, "at most %u values", LIST_ITEMS_MAX);
            return status;
        }
        break;
    case CONFIG_BOOL:
    case CONFIG_ACTION:
        return parse_bool(text, field) ? CENOTE_OK : fail(o, text, error);
    case CONFIG_CHOICE:
        return parse_choice(text, o->choices, field) ? CENOTE_OK : fail(o, text, error);
    case CONFIG_SIZE:
    case CONFIG_COUNT:
    case CONFIG_MS:
        return set_number(o, field, text, error);
    }
    if (status != CENOTE_OK)
        snprintf(error->text, error->size, "%s", cenote_status_text(status));
    return status;
}

/* ---- back to text, and to another struct ----------------------------------------------------- */

static const char *string_at(const void *field)
{
    const char *text = *(char *const *)field;
    return text ? text : "";
}

static void list_text(const struct config_list *list, char text[CONFIG_VALUE_MAX])
{
    size_t at = 0;

    text[0] = '\0';
    for (size_t i = 0; i < list->count && at < CONFIG_VALUE_MAX; i++)
        at += (size_t)snprintf(text + at, CONFIG_VALUE_MAX - at, "%s%s", i == 0 ? "" : ",",
                               list->items[i]);
}

void config_value_text(const struct config_option *o, const void *from, char text[CONFIG_VALUE_MAX])
{
    const void *field = (const char *)from + o->offset;
    const char *word = "";

    switch (o->type) {
    case CONFIG_LIST:
        list_text(field, text);
        return;
    case CONFIG_SIZE:
    case CONFIG_COUNT:
    case CONFIG_MS:
        format_number(o, *(const uint64_t *)field, text);
        return;
    case CONFIG_STRING:
        word = string_at(field);
        break;
    case CONFIG_BOOL:
    case CONFIG_ACTION:
        word = *(const bool *)field ? "true" : "false";
        break;
    case CONFIG_CHOICE:
        word = o->choices[*(const int *)field];
        break;
    }
    snprintf(text, CONFIG_VALUE_MAX, "%s", word);
}

static bool equal_lists(const struct config_list *a, const struct config_list *b)
{
    bool equal = a->count == b->count;

    for (size_t i = 0; equal && i < a->count; i++)
        equal = strcmp(a->items[i], b->items[i]) == 0;
    return equal;
}

static size_t plain_size(enum config_type type)
{
    if (type == CONFIG_BOOL || type == CONFIG_ACTION)
        return sizeof(bool);
    return type == CONFIG_CHOICE ? sizeof(int) : sizeof(uint64_t);
}

bool config_value_equal(const struct config_option *o, const void *a, const void *b)
{
    const void *x = (const char *)a + o->offset, *y = (const char *)b + o->offset;

    if (o->type == CONFIG_LIST)
        return equal_lists(x, y);
    if (o->type == CONFIG_STRING)
        return strcmp(string_at(x), string_at(y)) == 0;
    return memcmp(x, y, plain_size(o->type)) == 0;
}

static int copy_list(const struct config_list *from, struct config_list *to)
{
    struct config_list copy = {0};

    for (size_t i = 0; i < from->count; i++) {
        int status = list_append(&copy, from->items[i], strlen(from->items[i]));
        if (status != CENOTE_OK) {
            config_list_clear(&copy);
            return status;
        }
    }
    config_list_clear(to);
    *to = copy;
    return CENOTE_OK;
}

int config_value_copy(const struct config_option *o, const void *from, void *to)
{
    const void *source = (const char *)from + o->offset;
    void *target = (char *)to + o->offset;

    if (o->type == CONFIG_LIST)
        return copy_list(source, target);
    if (o->type == CONFIG_STRING)
        return set_string(target, string_at(source), strlen(string_at(source)));
    memcpy(target, source, plain_size(o->type));
    return CENOTE_OK;
}
