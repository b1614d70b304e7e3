/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: lines of "name = value", with comments. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/config_value.h"

#define LINE_BYTES_MAX 4096u
#define FILE_BYTES_MAX (1u << 20)
#define BOM            "\xef\xbb\xbf"

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        text[--len] = '\0';
    return text;
}

static void cut_comment(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        if (*c == '#' && (c == text || isspace((unsigned char)c[-1]))) {
            *c = '\0';
            return;
        }
    }
}

struct reader {
    FILE *file;
    size_t read_bytes; /* so far */
    unsigned line;     /* number of the present one */
    bool too_long, has_nul;
    char text[LINE_BYTES_MAX];
};

/* false: there is no line any more, or the file is too long. */
static bool next_line(struct reader *r)
{
    size_t len = 0;
    int c = EOF;

    r->line++;
    r->too_long = r->has_nul = false;
    while (r->read_bytes < FILE_BYTES_MAX && (c = getc_unlocked(r->file)) != EOF && c != '\n') {
        r->read_bytes++;
        r->has_nul = r->has_nul || c == '\0';
        if (len + 1 < sizeof r->text)
            r->text[len++] = (char)c;
        else
            r->too_long = true;
    }
    r->read_bytes += c == '\n';
    r->text[len] = '\0';
    return c == '\n' || (c == EOF && len > 0 && r->read_bytes < FILE_BYTES_MAX);
}

static void read_line(struct reader *r, config_set_fn set, void *arg, struct config_report *report)
{
    if (r->too_long || r->has_nul) {
        config_file_fault(report, r->line, "the line %s",
                          r->has_nul ? "has a byte 0" : "is too long");
        return;
    }
    bool marked = r->line == 1 && strncmp(r->text, BOM, strlen(BOM)) == 0;
    char *text = r->text + (marked ? strlen(BOM) : 0);
    cut_comment(text);
    text = trim(text);
    if (*text == '\0')
        return;
    char *equals = strchr(text, '=');
    if (!equals) {
        config_file_fault(report, r->line, "'name = value' is expected");
        return;
    }
    *equals = '\0';
    char *name = trim(text), *value = trim(equals + 1);
    if (*name == '\0')
        config_file_fault(report, r->line, "'name = value' is expected");
    else if (*value == '"' || *value == '\'')
        config_file_fault(report, r->line, "%s: values stand there without quotes", name);
    else
        set(arg, r->line, name, value);
}

void config_file_read(const char *path, config_set_fn set, void *arg, struct config_report *report)
{
    struct reader r = {.file = fopen(path, "re")};

    if (!r.file) {
        config_file_fault(report, 0, "%s", strerror(errno));
        return;
    }
    while (next_line(&r))
        read_line(&r, set, arg, report);
    if (ferror(r.file))
        config_file_fault(report, 0, "%s", strerror(errno));
    else if (r.read_bytes >= FILE_BYTES_MAX)
        config_file_fault(report, r.line, "the file is longer than %u bytes", FILE_BYTES_MAX);
    fclose(r.file);
}
