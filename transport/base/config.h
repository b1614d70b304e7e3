/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table of options gives a program its command line (--data-dir DIR, --data-dir=DIR), its
 * environment (CENOTE_DATA_DIR), its configuration file (data-dir = DIR) and its --help.
 * Precedence: command line, environment, file, default.
 */
#ifndef CENOTE_BASE_CONFIG_H
#define CENOTE_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {
    CONFIG_STRING, /* char * */
    CONFIG_LIST,   /* struct config_list: repeatable; comma-separated in environment and file */
    CONFIG_BOOL,   /* bool: --insecure, --insecure=false */
    CONFIG_SIZE,   /* uint64_t bytes: 4096, 64K, 16GiB (binary units) */
    CONFIG_COUNT,  /* uint64_t */
    CONFIG_MS,     /* uint64_t milliseconds: 10s, 5m, 36h, 7d; a bare number is ms */
    CONFIG_CHOICE  /* int: index into choices */
};

struct config_list {
    char **items;
    size_t count;
};

struct config_option {
    const char *name; /* long name, without dashes */
    enum config_type type;
    size_t offset;              /* of the field in the program's struct */
    const char *fallback;       /* default, as text; NULL: zero */
    const char *metavar;        /* for help: DIR, SIZE ... */
    const char *help;           /* one sentence */
    const char *const *choices; /* CONFIG_CHOICE: NULL-terminated */
    uint64_t min, max;          /* numbers; max 0: no limit */
};

struct config_spec {
    const char *program;
    const char *usage; /* behind "Usage: " */
    const struct config_option *options;
    size_t count;
};

/* Fills *out (a zeroed struct of the program) from defaults, file (option "config", if the table
 * has it), environment and argv; options may stand anywhere, "--" ends them. Positional arguments
 * are moved to the front of argv: argv[1..*positionals]. CENOTE_OK; CENOTE_INVALID with a one-line
 * reason in error (file errors name line numbers). */
int config_parse(const struct config_spec *spec, int argc, char **argv, void *out, int *positionals,
                 char *error, size_t error_size);
/* Frees the strings and lists in *out. */
void config_free(const struct config_spec *spec, void *out);
/* Prints the help text, made from the table, to a FILE. */
void config_help(const struct config_spec *spec, void *file);

/* The parsers of single values, for other uses: true and *out on success. */
bool config_parse_size(const char *text, uint64_t *out);
bool config_parse_ms(const char *text, uint64_t *out);

#endif
