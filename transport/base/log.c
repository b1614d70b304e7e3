/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "transport/base/clock.h"

#define LOG_TEXT_MAX  1024 /* longer messages are cut, and end in dots */
#define LOG_STAMP_MAX 128

static log_sink_fn the_sink;
static void *the_arg;
static atomic_int the_level = LOG_INFO;

void log_set_sink(log_sink_fn sink, void *arg)
{
    the_sink = sink;
    the_arg = arg;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&the_level, (int)level, memory_order_relaxed);
}

enum log_level log_level_now(void)
{
    return (enum log_level)atomic_load_explicit(&the_level, memory_order_relaxed);
}

/* Messages quote what peers sent: a newline in it must not become a line of its own. */
static void keep_to_one_line(char *text)
{
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

void log_write(enum log_level level, const char *module, const char *format, ...)
{
    int saved_errno = errno;
    char text[LOG_TEXT_MAX];
    va_list args;

    if (the_sink == NULL)
        return;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0)
        text[0] = '\0';
    else if ((size_t)len >= sizeof text)
        memcpy(text + sizeof text - sizeof "...", "...", sizeof "...");
    keep_to_one_line(text);
    the_sink(the_arg, level, module, text);
    errno = saved_errno;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_ERROR:
        return "error";
    case LOG_WARN:
        return "warn";
    case LOG_INFO:
        return "info";
    case LOG_DEBUG:
        return "debug";
    }
    return "?";
}

void log_to_stderr(void *arg, enum log_level level, const char *module, const char *text)
{
    uint64_t wall_ms = clock_wall_ms();
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char stamp[LOG_STAMP_MAX];
    char line[LOG_TEXT_MAX + 2 * LOG_STAMP_MAX];

    (void)arg;
    if (gmtime_r(&seconds, &utc) == NULL ||
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc) == 0)
        stamp[0] = '\0';
    int len = snprintf(line, sizeof line, "%s.%03uZ level=%s module=%s %s\n", stamp,
                       (unsigned)(wall_ms % 1000), level_name(level), module, text);
    size_t len_bytes = len < 0 ? 0 : (size_t)len;
    if (len_bytes >= sizeof line) {
        len_bytes = sizeof line - 1;
        line[len_bytes - 1] = '\n';
    }
    /* One write for a line: lines of several threads don't mix. A lost line is nobody's error. */
    ssize_t written = write(STDERR_FILENO, line, len_bytes);
    (void)written;
}
