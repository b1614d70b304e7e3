/* SPDX-License-Identifier: Apache-2.0 */
/* Private to base/config*.c: setting one option, from whichever source, and reading a file. */
#ifndef CENOTE_BASE_CONFIG_VALUE_H
#define CENOTE_BASE_CONFIG_VALUE_H

#include <cenote/status.h>

#include "transport/base/config.h"

/* Where the one-line reason of a failure goes, without the option's name. */
struct config_error {
    char *text;
    size_t size;
};

/* Sets one option's field in *out from its text; a list grows. CENOTE_OK or an error with text. */
int config_value_set(const struct config_option *o, void *out, const char *text,
                     struct config_error *error);
void config_list_clear(struct config_list *list);

#define CONFIG_ENV_MAX 64 /* the name of an option in the environment, with its end */
void config_env_name(const struct config_option *o, char name[CONFIG_ENV_MAX]);

/* NULL: there is none. */
const struct config_option *config_find(const struct config_spec *spec, const char *name,
                                        size_t len);
/* The option that somebody may have meant who wrote this name; or NULL. */
const struct config_option *config_guess(const struct config_spec *spec, const char *name);

/* Adds a line to the report: the place, then the reason. line 0: the whole file. */
void config_file_fault(struct config_report *report, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Without a place. */
void config_plain_fault(struct config_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What a file says: calls set(arg, line, name, value) for each "name = value", and adds to the
 * report what isn't of that form. Goes on behind faults, to the file's end. */
typedef void (*config_set_fn)(void *arg, unsigned line, const char *name, const char *value);
void config_file_read(const char *path, config_set_fn set, void *arg, struct config_report *report);

#endif
