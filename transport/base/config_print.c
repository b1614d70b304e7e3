/* SPDX-License-Identifier: Apache-2.0 */
/* What people read: --help, and all options as a file. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/config_value.h"

#define HELP_TEXT_FROM 28 /* column */
#define FILE_COLUMNS   98

static void help_choices(const struct config_option *o, FILE *f)
{
    for (size_t i = 0; o->choices[i]; i++)
        fprintf(f, "%s%s", i == 0 ? " (" : ", ", o->choices[i]);
    fputc(')', f);
}

void config_help(const struct config_spec *spec, void *file)
{
    FILE *f = file;

    fprintf(f, "Usage: %s\n\nOptions (also as CENOTE_NAME in the environment):\n", spec->usage);
    for (size_t i = 0; i < spec->count; i++) {
        const struct config_option *o = &spec->options[i];
        int width =
            fprintf(f, "  --%s%s%s", o->name, o->metavar ? " " : "", o->metavar ? o->metavar : "");
        if (width >= HELP_TEXT_FROM)
            width = fprintf(f, "\n") - 1;
        fprintf(f, "%*s%s", HELP_TEXT_FROM - width, "", o->help);
        if (o->choices)
            help_choices(o, f);
        if (o->fallback && *o->fallback && o->type != CONFIG_BOOL)
            fprintf(f, " [%s]", o->fallback);
        fputc('\n', f);
    }
}

/* ---- the file -------------------------------------------------------------------------------- */

struct comment {
    FILE *file;
    size_t column; /* 0: no line is begun */
};

static void put_words(struct comment *c, const char *text)
{
    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        size_t len = strcspn(text, " ");
        if (c->column == 0 || c->column + 1 + len > FILE_COLUMNS) {
            fprintf(c->file, "%s# ", c->column > 0 ? "\n" : "");
            c->column = 2;
        } else {
            fputc(' ', c->file);
            c->column++;
        }
        fwrite(text, 1, len, c->file);
        c->column += len;
        text += len;
    }
}

bool config_is_reloaded(const struct config_spec *spec, const struct config_option *o)
{
    for (const char *const *name = spec->reloaded; name && *name; name++)
        if (strcmp(*name, o->name) == 0)
            return true;
    return false;
}

static void put_option(struct comment *c, const struct config_spec *spec,
                       const struct config_option *o)
{
    put_words(c, o->help);
    for (size_t i = 0; o->choices && o->choices[i]; i++) {
        put_words(c, i == 0 ? "One of" : "");
        put_words(c, o->choices[i]);
        if (o->choices[i + 1])
            c->column += (size_t)(fputc(',', c->file) == ',');
    }
    if (o->choices)
        c->column += (size_t)(fputc('.', c->file) == '.');
    if (config_is_reloaded(spec, o))
        put_words(c, "Read again at SIGHUP.");
    fputc('\n', c->file);
}

void config_print(const struct config_report *report, const void *out, void *file)
{
    const struct config_spec *spec = report->spec;
    char text[CONFIG_VALUE_MAX];

    for (size_t i = 0; i < spec->count; i++) {
        const struct config_option *o = &spec->options[i];
        struct comment c = {.file = file};
        bool said = report->origins[i].source != CONFIG_BY_DEFAULT;
        if (o->type == CONFIG_ACTION || strcmp(o->name, "config") == 0)
            continue;
        config_value_text(o, out, text);
        put_option(&c, spec, o);
        fprintf(c.file, "%s%s =%s%s\n\n", said ? "" : "#", o->name, *text ? " " : "", text);
    }
}
