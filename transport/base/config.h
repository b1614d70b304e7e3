/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table of options gives a program its command line (--data-dir DIR, --data-dir=DIR), its
 * environment (CENOTE_DATA_DIR), its configuration file (data-dir = DIR) and its --help.
 * Precedence: command line, environment, file, default.
 *
 * The file: lines of "name = value", in any order. Where a '#' begins a line, or follows white
 * space, the rest is a comment. There are no quotes and no sections. Each name stands there
 * once, but a list's, whose values add up. On the command line the last one holds.
 */
#ifndef CENOTE_BASE_CONFIG_H
#define CENOTE_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_OPTIONS_MAX  128u
#define CONFIG_FILE_MAX     1024u  /* the path of a file, with its end */
#define CONFIG_REPORT_BYTES 16384u /* of all that is wrong; the rest is counted */
#define CONFIG_VALUE_MAX    4096u  /* a value as text, with its end */

enum config_type {
    CONFIG_STRING, /* char * */
    CONFIG_LIST,   /* struct config_list: repeatable; comma-separated in environment and file */
    CONFIG_BOOL,   /* bool: --insecure, --insecure=false */
    CONFIG_SIZE,   /* uint64_t bytes: 4096, 64K, 16GiB (binary units) */
    CONFIG_COUNT,  /* uint64_t */
    CONFIG_MS,     /* uint64_t milliseconds: 10s, 5m, 36h, 7d; a bare number is ms */
    CONFIG_CHOICE, /* int: index into choices */
    CONFIG_ACTION  /* bool: --help and the like, on the command line only */
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
    const char *const *reloaded; /* names of options that may change while the program runs, then
                                  * NULL; or NULL: none */
};

enum config_source { CONFIG_BY_DEFAULT, CONFIG_BY_FILE, CONFIG_BY_ENVIRONMENT, CONFIG_BY_COMMAND };

struct config_origin {
    enum config_source source;
    unsigned line; /* of the file */
    bool faulty;   /* it was given a value that can't be taken */
};

/* Where each option's value is from, and everything that is wrong, a line each. */
struct config_report {
    const struct config_spec *spec;
    char file[CONFIG_FILE_MAX]; /* that was read; empty: none */
    struct config_origin origins[CONFIG_OPTIONS_MAX];
    unsigned faults;
    size_t len_bytes; /* of text */
    char text[CONFIG_REPORT_BYTES];
};

/* Fills *out (a zeroed struct of the program) from defaults, file (option "config", if the table
 * has it), environment and argv; options may stand anywhere, "--" ends them. Positional arguments
 * are moved to the front of argv: argv[1..*positionals]. CENOTE_OK; CENOTE_INVALID: *report
 * says all that is wrong, and *out holds what is right; CENOTE_NO_MEMORY: *out isn't to be looked
 * at. config_free() in any case. */
int config_read(const struct config_spec *spec, int argc, char **argv, void *out, int *positionals,
                struct config_report *report);
/* For what the program itself finds wrong with an option, or with several that don't go together
 * (names with commas): adds a line that begins with the place of the one that was said last,
 * "FILE:LINE: NAME: ", "CENOTE_NAME: " or "--NAME: " (no names: no place). Where one of them
 * couldn't even be read, nothing is added. */
void config_fault(struct config_report *report, const char *names, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Was any of them (names with commas) said, anywhere? */
bool config_was_said(const struct config_report *report, const char *names);

/* Both at once, for programs that add nothing: the report in error, without the last newline, cut
 * if need be, and *out freed unless CENOTE_OK. */
int config_parse(const struct config_spec *spec, int argc, char **argv, void *out, int *positionals,
                 char *error, size_t error_size);
/* Frees the strings and lists in *out; again: nothing. */
void config_free(const struct config_spec *spec, void *out);
/* Prints the help text, made from the table, to a FILE. */
void config_help(const struct config_spec *spec, void *file);

/* Is its name in spec->reloaded? */
bool config_is_reloaded(const struct config_spec *spec, const struct config_option *o);
/* All options as a file with comments, to a FILE: those that nobody said are commented out. */
void config_print(const struct config_report *report, const void *out, void *file);
/* An option's value as the file has it, cut if need be. */
void config_value_text(const struct config_option *o, const void *from,
                       char text[CONFIG_VALUE_MAX]);
bool config_value_equal(const struct config_option *o, const void *a, const void *b);
/* Gives the option's value to another struct of the program. CENOTE_OK or CENOTE_NO_MEMORY. */
int config_value_copy(const struct config_option *o, const void *from, void *to);

/* The parsers of single values, for other uses: true and *out on success. */
bool config_parse_size(const char *text, uint64_t *out);
bool config_parse_ms(const char *text, uint64_t *out);

#endif
