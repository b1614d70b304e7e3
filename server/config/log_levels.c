/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config/log_levels.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/log.h"

/* tests/system/test_config.py compares them with the sources. */
static const char *const modules[] = {"alloc", "cenoted", "endpoint", "fabric", "gateway", "http",
                                      "log",   "memory",  "meta",     "node",   "rdma",    "rpc",
                                      "shm",   "store",   "tcp",      "trace",  "xcopy"};
#define MODULES (sizeof modules / sizeof modules[0])

static_assert(MODULES <= LOG_MODULES_MAX, "each may have a level of its own");

bool log_levels_know(const char *module)
{
    for (size_t i = 0; i < MODULES; i++)
        if (strcmp(modules[i], module) == 0)
            return true;
    return false;
}

/* "LEVEL" or "MODULE=LEVEL"; module is empty for the former. false: there is no such level. */
static bool split(const char *item, char module[LOG_MODULE_NAME_MAX], enum log_level *level)
{
    const char *equals = strchr(item, '=');
    size_t len = equals ? (size_t)(equals - item) : 0;

    if (len >= LOG_MODULE_NAME_MAX)
        len = LOG_MODULE_NAME_MAX - 1;
    memcpy(module, item, len);
    module[len] = '\0';
    return log_level_parse(equals ? equals + 1 : item, level);
}

static void complain_of_module(const char *module, struct config_report *report)
{
    char all[MODULES * LOG_MODULE_NAME_MAX] = "";
    size_t at = 0;

    for (size_t i = 0; i < MODULES; i++)
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i > 0 ? ", " : "", modules[i]);
    config_fault(report, "log-level", "no module is called '%s' (%s)", module, all);
}

void log_levels_check(const struct config_list *list, struct config_report *report)
{
    char module[LOG_MODULE_NAME_MAX];
    enum log_level level;

    for (size_t i = 0; i < list->count; i++) {
        if (!split(list->items[i], module, &level))
            config_fault(report, "log-level",
                         "'%s' is not valid (error, warn, info or debug, or MODULE=LEVEL)",
                         list->items[i]);
        else if (strchr(list->items[i], '=') && !log_levels_know(module))
            complain_of_module(module, report);
    }
}

void log_levels_set(const struct config_list *list)
{
    char module[LOG_MODULE_NAME_MAX];
    enum log_level level, general = LOG_INFO;

    log_clear_module_levels();
    for (size_t i = 0; i < list->count; i++) {
        if (!split(list->items[i], module, &level))
            continue;
        if (module[0] == '\0')
            general = level;
        else
            log_set_module_level(module, level);
    }
    log_set_level(general);
}
