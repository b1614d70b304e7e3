/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over each source, the weakest first: defaults, file, environment, command line. A later
 * source overwrites; a list that a stronger source names is begun anew, so that --listen on the
 * command line replaces the file's, and two --listen add up.
 */
#include "transport/base/config.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/config_value.h"

#define OPTIONS_MAX    64u
#define ENV_NAME_MAX   64
#define ENV_PREFIX     "CENOTE_"
#define HELP_TEXT_FROM 28 /* column */

struct parser {
    const struct config_spec *spec;
    void *out;
    uint64_t named; /* bit i: the present source has named list i already */
};

static const struct config_option *option_named(const struct config_spec *spec, const char *name,
                                                size_t len)
{
    for (size_t i = 0; i < spec->count; i++) {
        const char *option = spec->options[i].name;
        if (strlen(option) == len && memcmp(option, name, len) == 0)
            return &spec->options[i];
    }
    return NULL;
}

static int apply(struct parser *p, const struct config_option *o, const char *text,
                 struct config_error *error)
{
    uint64_t bit = UINT64_C(1) << (o - p->spec->options);

    if (o->type == CONFIG_LIST && !(p->named & bit))
        config_list_clear((struct config_list *)(void *)((char *)p->out + o->offset));
    p->named |= bit;
    return config_value_set(o, p->out, text, error);
}

static int apply_file_line(void *arg, const char *name, const char *value,
                           struct config_error *error)
{
    struct parser *p = arg;
    const struct config_option *o = option_named(p->spec, name, strlen(name));

    if (!o || strcmp(name, "config") == 0) {
        snprintf(error->text, error->size, "no option is called '%s'", name);
        return CENOTE_INVALID;
    }
    return apply(p, o, value, error);
}

static int apply_defaults(struct parser *p, struct config_error *error)
{
    for (size_t i = 0; i < p->spec->count; i++) {
        const struct config_option *o = &p->spec->options[i];
        int status = o->fallback ? apply(p, o, o->fallback, error) : CENOTE_OK;
        if (status != CENOTE_OK)
            return status;
    }
    return CENOTE_OK;
}

static const char *env_value(const struct config_option *o)
{
    char name[ENV_NAME_MAX] = ENV_PREFIX;
    size_t n = strlen(name);

    for (const char *c = o->name; *c; c++) {
        assert(n + 1 < sizeof name);
        name[n++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
    name[n] = '\0';
    return getenv(name);
}

static int apply_environment(struct parser *p, struct config_error *error)
{
    p->named = 0;
    for (size_t i = 0; i < p->spec->count; i++) {
        const char *text = env_value(&p->spec->options[i]);
        int status = text ? apply(p, &p->spec->options[i], text, error) : CENOTE_OK;
        if (status != CENOTE_OK)
            return status;
    }
    return CENOTE_OK;
}

/* One argument that begins with "--"; *i moves past a value that stands in the next one. */
static int read_option(const struct config_spec *spec, int argc, char **argv, int *i,
                       const struct config_option **o, const char **text,
                       struct config_error *error)
{
    const char *name = argv[*i] + 2;
    size_t len = strcspn(name, "=");

    *o = option_named(spec, name, len);
    if (!*o) {
        snprintf(error->text, error->size, "unknown option --%.*s", (int)len, name);
        return CENOTE_INVALID;
    }
    if (name[len] == '=') {
        *text = name + len + 1;
    } else if ((*o)->type == CONFIG_BOOL) {
        *text = "true";
    } else if (*i + 1 < argc) {
        *text = argv[++*i];
    } else {
        snprintf(error->text, error->size, "option --%s needs a value", (*o)->name);
        return CENOTE_INVALID;
    }
    return CENOTE_OK;
}

/* With set false only looks for the option "config" and leaves argv alone. */
static int walk_arguments(struct parser *p, int argc, char **argv, bool set, int *positionals,
                          const char **file, struct config_error *error)
{
    bool options_over = false;
    int kept = 0;

    p->named = 0;
    for (int i = 1; i < argc; i++) {
        const struct config_option *o;
        const char *text;

        if (options_over || strncmp(argv[i], "--", 2) != 0) {
            kept++;
            if (set)
                argv[kept] = argv[i];
            continue;
        }
        if (argv[i][2] == '\0') {
            options_over = true;
            continue;
        }
        int status = read_option(p->spec, argc, argv, &i, &o, &text, error);
        if (status == CENOTE_OK && set)
            status = apply(p, o, text, error);
        if (status != CENOTE_OK)
            return status;
        if (strcmp(o->name, "config") == 0)
            *file = text;
    }
    *positionals = kept;
    return CENOTE_OK;
}

int config_parse(const struct config_spec *spec, int argc, char **argv, void *out, int *positionals,
                 char *error, size_t error_size)
{
    struct config_error reason = {.text = error, .size = error_size};
    struct parser p = {.spec = spec, .out = out};
    const struct config_option *config = option_named(spec, "config", strlen("config"));
    const char *file = config ? env_value(config) : NULL;

    assert(spec->count <= OPTIONS_MAX);
    int status = walk_arguments(&p, argc, argv, false, positionals, &file, &reason);
    p.named = 0;
    if (status == CENOTE_OK)
        status = apply_defaults(&p, &reason);
    p.named = 0;
    if (status == CENOTE_OK && file)
        status = config_file_read(file, apply_file_line, &p, &reason);
    if (status == CENOTE_OK)
        status = apply_environment(&p, &reason);
    if (status == CENOTE_OK)
        status = walk_arguments(&p, argc, argv, true, positionals, &file, &reason);
    if (status != CENOTE_OK)
        config_free(spec, out);
    return status;
}

void config_free(const struct config_spec *spec, void *out)
{
    for (size_t i = 0; i < spec->count; i++) {
        const struct config_option *o = &spec->options[i];
        void *field = (char *)out + o->offset;

        if (o->type == CONFIG_LIST) {
            config_list_clear(field);
        } else if (o->type == CONFIG_STRING) {
            char **text = field;
            free(*text);
            *text = NULL;
        }
    }
}

static void help_choices(const struct config_option *o, FILE *f)
{
    for (size_t i = 0; o->choices[i]; i++)
        fprintf(f, "%s%s", i == 0 ? " (" : ", ", o->choices[i]);
    fputc(')', f);
}

void config_help(const struct config_spec *spec, void *file)
{
    FILE *f = file;

    fprintf(f, "Usage: %s\n\nOptions (also as %sNAME in the environment):\n", spec->usage,
            ENV_PREFIX);
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
