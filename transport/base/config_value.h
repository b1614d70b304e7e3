/* SPDX-License-Identifier: Apache-2.0 */
/* Private to base/config*.c: setting one option, from whichever source. */
#ifndef CENOTE_BASE_CONFIG_VALUE_H
#define CENOTE_BASE_CONFIG_VALUE_H

#include <cenote/status.h>

#include "transport/base/config.h"

/* Where the one-line reason of a failure goes. */
struct config_error {
    char *text;
    size_t size;
};

/* Sets one option's field in *out from its text; a list grows. CENOTE_OK or an error with text. */
int config_value_set(const struct config_option *o, void *out, const char *text,
                     struct config_error *error);
void config_list_clear(struct config_list *list);

/* Reads a configuration file: calls set(arg, name, value) for each line "name = value" until
 * one fails. Reasons name the file and the line. */
int config_file_read(const char *path,
                     int (*set)(void *arg, const char *name, const char *value,
                                struct config_error *error),
                     void *arg, struct config_error *error);

#endif
