/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: lines of "name = value"; '#' begins a comment line. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/config_value.h"

#define LINE_BYTES_MAX 4096

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        text[--len] = '\0';
    return text;
}

struct line_target {
    int (*set)(void *arg, const char *name, const char *value, struct config_error *error);
    void *arg;
};

static int read_line(char *line, const struct line_target *target, struct config_error *error)
{
    char *text = trim(line);

    if (*text == '\0' || *text == '#')
        return CENOTE_OK;
    char *equals = strchr(text, '=');
    if (!equals) {
        snprintf(error->text, error->size, "'name = value' is expected");
        return CENOTE_INVALID;
    }
    *equals = '\0';
    return target->set(target->arg, trim(text), trim(equals + 1), error);
}

/* Puts "path:line: " before the reason. */
static void locate(const char *path, unsigned line, struct config_error *error)
{
    char reason[256];

    snprintf(reason, sizeof reason, "%s", error->text);
    snprintf(error->text, error->size, "%s:%u: %s", path, line, reason);
}

int config_file_read(const char *path,
                     int (*set)(void *arg, const char *name, const char *value,
                                struct config_error *error),
                     void *arg, struct config_error *error)
{
    struct line_target target = {.set = set, .arg = arg};
    char line[LINE_BYTES_MAX];
    int status = CENOTE_OK;
    unsigned number = 0;
    FILE *f = fopen(path, "re");

    if (!f) {
        snprintf(error->text, error->size, "%s: %s", path, strerror(errno));
        return CENOTE_INVALID;
    }
    while (status == CENOTE_OK && fgets(line, sizeof line, f)) {
        number++;
        if (!strchr(line, '\n') && !feof(f)) {
            snprintf(error->text, error->size, "the line is too long");
            status = CENOTE_INVALID;
        } else {
            status = read_line(line, &target, error);
        }
        if (status != CENOTE_OK)
            locate(path, number, error);
    }
    if (status == CENOTE_OK && ferror(f)) {
        snprintf(error->text, error->size, "%s: %s", path, strerror(errno));
        status = CENOTE_IO;
    }
    fclose(f);
    return status;
}
