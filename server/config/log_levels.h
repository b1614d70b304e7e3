/* SPDX-License-Identifier: Apache-2.0 */
/* What --log-level says: "info,rpc=debug,store=warn". */
#ifndef CENOTE_SERVER_LOG_LEVELS_H
#define CENOTE_SERVER_LOG_LEVELS_H

#include <stdbool.h>

#include "transport/base/config.h"

/* Adds to the report what is no level, and which modules don't exist. */
void log_levels_check(const struct config_list *list, struct config_report *report);
/* Makes them hold, and no others; for a list without faults. Any thread. */
void log_levels_set(const struct config_list *list);
/* Does some part of the daemon log by this name? */
bool log_levels_know(const char *module);

#endif
