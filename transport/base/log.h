/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines (logfmt: ts level module msg). Whoever detects an error logs it, once, with what and
 * where; callers pass the code on. The macros keep errno and check their format. The library starts
 * silent (no sink); daemons and tools install one before they start threads.
 *
 * A module may have a level of its own. What a line costs that nobody wants stays one relaxed load:
 * it is compared with the most talkative level of all, and only what passes is looked up by module.
 */
#ifndef CENOTE_BASE_LOG_H
#define CENOTE_BASE_LOG_H

#include <stdbool.h>

#define LOG_MODULES_MAX     64u /* that may have a level of their own */
#define LOG_MODULE_NAME_MAX 24u /* with its end */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* text: what is said, without a newline at its end, valid during the call. It may quote what peers
 * sent, of any bytes: the sink makes one line of it. Called from any thread. */
typedef void (*log_sink_fn)(void *arg, enum log_level level, const char *module, const char *text);

/* Not thread-safe: call before threads start. NULL silences. */
void log_set_sink(log_sink_fn sink, void *arg);
/* Of all modules without a level of their own. Any thread, like the next two. */
void log_set_level(enum log_level level);
/* Of one module from now on. false: the name is empty or too long, or LOG_MODULES_MAX others have
 * had one. */
bool log_set_module_level(const char *module, enum log_level level);
/* No module has a level of its own any more. */
void log_clear_module_levels(void);
/* "warn"; and back: true and *out on success. */
const char *log_level_name(enum log_level level);
bool log_level_parse(const char *name, enum log_level *out);
/* A ready-made sink, to standard error. Of a message, quotation marks, backslashes and control
 * characters are escaped as in JSON; a byte that is no UTF-8 is the text \xff.
 *     ts=2026-01-31T12:00:00.000Z level=warn module=rpc msg="peer 7 left" */
void log_to_stderr(void *arg, enum log_level level, const char *module, const char *text);
/* The same with "<4>" in front, sd-daemon(3)'s priority, where stderr ends in systemd's journal. */
void log_to_journal(void *arg, enum log_level level, const char *module, const char *text);

/* The most talkative level of any module. */
enum log_level log_level_now(void);
/* What the macros call; drops what the module's own level leaves out. */
void log_write(enum log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define LOG_AT(level, module, ...)                                                                 \
    do {                                                                                           \
        if ((level) <= log_level_now())                                                            \
            log_write((level), (module), __VA_ARGS__);                                             \
    } while (0)
#define log_error(module, ...) LOG_AT(LOG_ERROR, module, __VA_ARGS__)
#define log_warn(module, ...)  LOG_AT(LOG_WARN, module, __VA_ARGS__)
#define log_info(module, ...)  LOG_AT(LOG_INFO, module, __VA_ARGS__)
#define log_debug(module, ...) LOG_AT(LOG_DEBUG, module, __VA_ARGS__)

#endif
