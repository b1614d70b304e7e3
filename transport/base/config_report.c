/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a configuration, and where it was said. */
#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/config_value.h"

#define FAULT_MAX      512u /* bytes of a line; longer ones are cut */
#define NAME_MAX_BYTES 32u  /* of what may be a name */
#define GUESS_DISTANCE 2u   /* letters that may be wrong, missing or too many */
#define ENV_PREFIX     "CENOTE_"

/* ---- names ----------------------------------------------------------------------------------- */

const struct config_option *config_find(const struct config_spec *spec, const char *name,
                                        size_t len)
{
    for (size_t i = 0; i < spec->count; i++) {
        const char *option = spec->options[i].name;
        if (strlen(option) == len && memcmp(option, name, len) == 0)
            return &spec->options[i];
    }
    return NULL;
}

void config_env_name(const struct config_option *o, char name[CONFIG_ENV_MAX])
{
    size_t n = strlen(ENV_PREFIX);

    memcpy(name, ENV_PREFIX, n);
    for (const char *c = o->name; *c; c++) {
        assert(n + 1 < CONFIG_ENV_MAX);
        name[n++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
    name[n] = '\0';
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* How many letters have to be changed, added or removed. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NAME_MAX_BYTES + 1];
    size_t len = strlen(b);

    assert(len <= NAME_MAX_BYTES);
    for (size_t j = 0; j <= len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= len; j++) {
            unsigned above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[len];
}

/* As names are written here: DATA_DIR, CENOTE_DATA_DIR and --data-dir are data-dir. */
static bool usual_form(const char *name, char out[NAME_MAX_BYTES + 1])
{
    size_t n = 0;

    if (strncmp(name, ENV_PREFIX, strlen(ENV_PREFIX)) == 0)
        name += strlen(ENV_PREFIX);
    name += strspn(name, "-");
    for (; name[n] != '\0'; n++) {
        if (n == NAME_MAX_BYTES)
            return false;
        out[n] = name[n] == '_' ? '-' : (char)tolower((unsigned char)name[n]);
    }
    out[n] = '\0';
    return n > 2 * GUESS_DISTANCE;
}

const struct config_option *config_guess(const struct config_spec *spec, const char *name)
{
    char usual[NAME_MAX_BYTES + 1];
    const struct config_option *best = NULL;
    unsigned best_distance = GUESS_DISTANCE + 1;

    if (!usual_form(name, usual))
        return NULL;
    for (size_t i = 0; i < spec->count; i++) {
        const struct config_option *o = &spec->options[i];
        unsigned d = strlen(o->name) <= NAME_MAX_BYTES ? distance(usual, o->name) : best_distance;
        if (d < best_distance && o->type != CONFIG_ACTION) {
            best = o;
            best_distance = d;
        }
    }
    return best;
}

/* ---- faults ---------------------------------------------------------------------------------- */

/* Lines quote what somebody wrote: nothing in it may pass for a line, or reach a terminal. */
static void add_line(struct config_report *report, char *line)
{
    size_t len = strlen(line);

    report->faults++;
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    if (report->len_bytes + len + 2 > sizeof report->text)
        return;
    memcpy(report->text + report->len_bytes, line, len);
    memcpy(report->text + report->len_bytes + len, "\n", 2);
    report->len_bytes += len + 1;
}

static void add_fault(struct config_report *report, const char *place, const char *format,
                      va_list args)
{
    char line[CONFIG_FILE_MAX + FAULT_MAX];
    int at = snprintf(line, sizeof line, "%s", place);

    assert(at >= 0 && (size_t)at < sizeof line);
    vsnprintf(line + at, sizeof line - (size_t)at, format, args);
    add_line(report, line);
}

void config_file_fault(struct config_report *report, unsigned line, const char *format, ...)
{
    char place[CONFIG_FILE_MAX + 32];
    va_list args;

    if (line > 0)
        snprintf(place, sizeof place, "%s:%u: ", report->file, line);
    else
        snprintf(place, sizeof place, "%s: ", report->file);
    va_start(args, format);
    add_fault(report, place, format, args);
    va_end(args);
}

void config_plain_fault(struct config_report *report, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_fault(report, "", format, args);
    va_end(args);
}

/* The next of the names; NULL at their end. */
static const struct config_option *next_name(const struct config_spec *spec, const char **names)
{
    if (**names == '\0')
        return NULL;
    size_t len = strcspn(*names, ",");
    const struct config_option *o = config_find(spec, *names, len);
    assert(o && "the program names an option that it doesn't have");
    *names += len + ((*names)[len] == ',');
    return o;
}

static const struct config_origin *origin_of(const struct config_report *report,
                                             const struct config_option *o)
{
    return &report->origins[o - report->spec->options];
}

static bool was_said_later(const struct config_origin *a, const struct config_origin *b)
{
    return a->source != b->source ? a->source > b->source : a->line > b->line;
}

static void format_place(const struct config_report *report, const struct config_option *o,
                         char place[CONFIG_FILE_MAX + 2 * CONFIG_ENV_MAX])
{
    const struct config_origin *origin = origin_of(report, o);
    size_t size = CONFIG_FILE_MAX + 2 * CONFIG_ENV_MAX;
    char env[CONFIG_ENV_MAX];

    switch (origin->source) {
    case CONFIG_BY_FILE:
        snprintf(place, size, "%s:%u: %s: ", report->file, origin->line, o->name);
        break;
    case CONFIG_BY_ENVIRONMENT:
        config_env_name(o, env);
        snprintf(place, size, "%s: ", env);
        break;
    case CONFIG_BY_DEFAULT:
    case CONFIG_BY_COMMAND:
        snprintf(place, size, "--%s: ", o->name);
        break;
    }
}

void config_fault(struct config_report *report, const char *names, const char *format, ...)
{
    char place[CONFIG_FILE_MAX + 2 * CONFIG_ENV_MAX] = "";
    const struct config_option *last = NULL;
    va_list args;

    for (const struct config_option *o; (o = next_name(report->spec, &names)) != NULL;) {
        if (origin_of(report, o)->faulty)
            return;
        if (!last || was_said_later(origin_of(report, o), origin_of(report, last)))
            last = o;
    }
    if (last)
        format_place(report, last, place);
    va_start(args, format);
    add_fault(report, place, format, args);
    va_end(args);
}

bool config_was_said(const struct config_report *report, const char *names)
{
    for (const struct config_option *o; (o = next_name(report->spec, &names)) != NULL;)
        if (origin_of(report, o)->source != CONFIG_BY_DEFAULT)
            return true;
    return false;
}
