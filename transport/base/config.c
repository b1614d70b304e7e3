/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over each source, the weakest first: defaults, file, environment, command line. A later
 * source overwrites; a list that a stronger source names is begun anew, so that --listen on the
 * command line replaces the file's, and two --listen add up. What is wrong is noted, and reading
 * goes on: an operator wants to see all of it at once.
 */
#include "transport/base/config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/config_value.h"

#define REASON_MAX 256u

struct parser {
    const struct config_spec *spec;
    void *out;
    struct config_report *report;
    enum config_source source; /* the present one */
};

static void apply(struct parser *p, const struct config_option *o, unsigned line, const char *text)
{
    struct config_origin *origin = &p->report->origins[o - p->spec->options];
    char reason[REASON_MAX];
    struct config_error error = {reason, sizeof reason};

    if (o->type == CONFIG_LIST && origin->source != p->source)
        config_list_clear((struct config_list *)(void *)((char *)p->out + o->offset));
    *origin = (struct config_origin){.source = p->source, .line = line};
    if (config_value_set(o, p->out, text, &error) == CENOTE_OK)
        return;
    config_fault(p->report, o->name, "%s", reason);
    origin->faulty = true;
}

static void apply_file_line(void *arg, unsigned line, const char *name, const char *value)
{
    struct parser *p = arg;
    const struct config_option *o = config_find(p->spec, name, strlen(name));

    if (!o) {
        const struct config_option *guess = config_guess(p->spec, name);
        config_file_fault(p->report, line, "no option is called '%s'%s%s%s", name,
                          guess ? " (is " : "", guess ? guess->name : "", guess ? " meant?)" : "");
        return;
    }
    if (o->type == CONFIG_ACTION || strcmp(name, "config") == 0) {
        config_file_fault(p->report, line, "%s: stands on the command line only", name);
        return;
    }
    const struct config_origin *origin = &p->report->origins[o - p->spec->options];
    if (origin->source == CONFIG_BY_FILE && o->type != CONFIG_LIST)
        config_file_fault(p->report, line, "%s: stands in line %u already", name, origin->line);
    else
        apply(p, o, line, value);
}

static void apply_defaults(struct parser *p)
{
    p->source = CONFIG_BY_DEFAULT;
    for (size_t i = 0; i < p->spec->count; i++)
        if (p->spec->options[i].fallback)
            apply(p, &p->spec->options[i], 0, p->spec->options[i].fallback);
}

static const char *env_value(const struct config_option *o)
{
    char name[CONFIG_ENV_MAX];

    if (o->type == CONFIG_ACTION)
        return NULL;
    config_env_name(o, name);
    return getenv(name);
}

static void apply_environment(struct parser *p)
{
    p->source = CONFIG_BY_ENVIRONMENT;
    for (size_t i = 0; i < p->spec->count; i++) {
        const char *text = env_value(&p->spec->options[i]);
        if (text)
            apply(p, &p->spec->options[i], 0, text);
    }
}

/* One argument that begins with "--"; *i moves past a value that stands in the next one. false: it
 * is none, and what follows can't be understood either. */
static bool read_option(const struct parser *p, int argc, char **argv, int *i,
                        const struct config_option **o, const char **text)
{
    const char *name = argv[*i] + 2;
    size_t len = strcspn(name, "=");

    *o = config_find(p->spec, name, len);
    if (!*o) {
        config_plain_fault(p->report, "unknown option --%.*s", (int)len, name);
        return false;
    }
    if (name[len] == '=') {
        *text = name + len + 1;
    } else if ((*o)->type == CONFIG_BOOL || (*o)->type == CONFIG_ACTION) {
        *text = "true";
    } else if (*i + 1 < argc) {
        *text = argv[++*i];
    } else {
        config_plain_fault(p->report, "option --%s needs a value", (*o)->name);
        return false;
    }
    return true;
}

/* With set false only looks for the option "config" and leaves argv alone. */
static bool walk_arguments(struct parser *p, int argc, char **argv, bool set, int *positionals,
                           const char **file)
{
    bool options_over = false;
    int kept = 0;

    p->source = CONFIG_BY_COMMAND;
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
        if (!read_option(p, argc, argv, &i, &o, &text))
            return false;
        if (set)
            apply(p, o, 0, text);
        if (strcmp(o->name, "config") == 0)
            *file = text;
    }
    *positionals = kept;
    return true;
}

static void apply_file(struct parser *p, const char *path)
{
    if (strlen(path) >= CONFIG_FILE_MAX) {
        config_plain_fault(p->report, "the name of the file is too long: %s", path);
        return;
    }
    p->source = CONFIG_BY_FILE;
    memcpy(p->report->file, path, strlen(path) + 1);
    config_file_read(path, apply_file_line, p, p->report);
}

int config_read(const struct config_spec *spec, int argc, char **argv, void *out, int *positionals,
                struct config_report *report)
{
    struct parser p = {.spec = spec, .out = out, .report = report};
    const struct config_option *config = config_find(spec, "config", strlen("config"));
    const char *file = config ? env_value(config) : NULL;

    assert(spec->count <= CONFIG_OPTIONS_MAX);
    *positionals = 0;
    report->spec = spec;
    report->file[0] = report->text[0] = '\0';
    report->faults = 0;
    report->len_bytes = 0;
    memset(report->origins, 0, sizeof report->origins);
    apply_defaults(&p);
    if (report->faults > 0)
        return CENOTE_NO_MEMORY; /* defaults are good, so there are strings without a value */
    if (!walk_arguments(&p, argc, argv, false, positionals, &file))
        return CENOTE_INVALID;
    if (file)
        apply_file(&p, file);
    apply_environment(&p);
    walk_arguments(&p, argc, argv, true, positionals, &file);
    return report->faults == 0 ? CENOTE_OK : CENOTE_INVALID;
}

int config_parse(const struct config_spec *spec, int argc, char **argv, void *out, int *positionals,
                 char *error, size_t error_size)
{
    struct config_report *report = calloc(1, sizeof *report);

    if (!report) {
        snprintf(error, error_size, "%s", cenote_status_text(CENOTE_NO_MEMORY));
        return CENOTE_NO_MEMORY;
    }
    int status = config_read(spec, argc, argv, out, positionals, report);
    if (status != CENOTE_OK) {
        if (report->len_bytes > 0)
            report->text[report->len_bytes - 1] = '\0';
        snprintf(error, error_size, "%s", report->text);
        config_free(spec, out);
    }
    free(report);
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
