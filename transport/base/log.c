/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/utf8.h"

#define LOG_TEXT_MAX   1024 /* longer messages are cut, and end in dots */
#define LOG_STAMP_MAX  128
/* What a character becomes at most, with its end; and a line, whatever its message holds. */
#define LOG_ESCAPE_MAX 8u
#define LOG_LINE_MAX   (LOG_TEXT_MAX * LOG_ESCAPE_MAX)

#define NO_LEVEL (-1)

static log_sink_fn the_sink;
static void *the_arg;
static atomic_int the_level = LOG_INFO;
static atomic_int most_talkative = LOG_INFO; /* of the_level and the modules' */

/* Entries are only ever appended, and a name stays once it is counted: readers take no lock. */
static struct {
    char name[LOG_MODULE_NAME_MAX];
    atomic_int level; /* NO_LEVEL: the_level */
} modules[LOG_MODULES_MAX];
static atomic_uint module_count;
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

static int load(const atomic_int *of)
{
    return atomic_load_explicit(of, memory_order_relaxed);
}

static void store(atomic_int *into, int level)
{
    atomic_store_explicit(into, level, memory_order_relaxed);
}

void log_set_sink(log_sink_fn sink, void *arg)
{
    the_sink = sink;
    the_arg = arg;
}

/* ---- levels ---------------------------------------------------------------------------------- */

/* NULL: it has no entry. */
static atomic_int *find_module(const char *name)
{
    unsigned count = atomic_load_explicit(&module_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++)
        if (strcmp(modules[i].name, name) == 0)
            return &modules[i].level;
    return NULL;
}

/* The lock is held. */
static void find_most_talkative(void)
{
    int most = load(&the_level);
    unsigned count = atomic_load_explicit(&module_count, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++)
        if (load(&modules[i].level) > most)
            most = load(&modules[i].level);
    store(&most_talkative, most);
}

void log_set_level(enum log_level level)
{
    pthread_mutex_lock(&changing);
    store(&the_level, (int)level);
    find_most_talkative();
    pthread_mutex_unlock(&changing);
}

/* The lock is held, and the name fits. */
static atomic_int *add_module(const char *name)
{
    unsigned count = atomic_load_explicit(&module_count, memory_order_relaxed);
    if (count == LOG_MODULES_MAX)
        return NULL;
    memcpy(modules[count].name, name, strlen(name) + 1);
    store(&modules[count].level, NO_LEVEL);
    atomic_store_explicit(&module_count, count + 1, memory_order_release);
    return &modules[count].level;
}

bool log_set_module_level(const char *module, enum log_level level)
{
    if (module[0] == '\0' || strlen(module) >= LOG_MODULE_NAME_MAX)
        return false;
    pthread_mutex_lock(&changing);
    atomic_int *own = find_module(module);
    if (!own)
        own = add_module(module);
    if (own)
        store(own, (int)level);
    find_most_talkative();
    pthread_mutex_unlock(&changing);
    return own != NULL;
}

void log_clear_module_levels(void)
{
    pthread_mutex_lock(&changing);
    unsigned count = atomic_load_explicit(&module_count, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++)
        store(&modules[i].level, NO_LEVEL);
    find_most_talkative();
    pthread_mutex_unlock(&changing);
}

enum log_level log_level_now(void)
{
    return (enum log_level)load(&most_talkative);
}

static bool is_wanted(enum log_level level, const char *module)
{
    const atomic_int *own = find_module(module);
    int limit = own ? load(own) : NO_LEVEL;
    return (int)level <= (limit == NO_LEVEL ? load(&the_level) : limit);
}

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

bool log_level_parse(const char *name, enum log_level *out)
{
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* ---- lines ----------------------------------------------------------------------------------- */

void log_write(enum log_level level, const char *module, const char *format, ...)
{
    int saved_errno = errno;
    char text[LOG_TEXT_MAX];
    va_list args;

    if (the_sink == NULL || !is_wanted(level, module))
        return;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0)
        text[0] = '\0';
    else if ((size_t)len >= sizeof text)
        memcpy(text + sizeof text - sizeof "...", "...", sizeof "...");
    the_sink(the_arg, level, module, text);
    errno = saved_errno;
}

/* "2026-01-31T12:00:00.000Z" */
static void stamp(char *into, size_t size)
{
    uint64_t wall_ms = clock_wall_ms();
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char whole[LOG_STAMP_MAX];
    if (gmtime_r(&seconds, &utc) == NULL ||
        strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &utc) == 0)
        whole[0] = '\0';
    snprintf(into, size, "%s.%03uZ", whole, (unsigned)(wall_ms % 1000));
}

/* The character at the beginning of text as it may stand between quotation marks, its escapes those
 * of JSON. A byte that is no UTF-8 is shown as the text \xff, backslash escaped. How much of text
 * it was. */
static size_t escape(const char *text, size_t left_bytes, char out[static LOG_ESCAPE_MAX])
{
    size_t n = utf8_char_bytes(text, left_bytes);
    if (n == 0) {
        snprintf(out, LOG_ESCAPE_MAX, "\\\\x%02x", (unsigned char)text[0]);
        return 1;
    }
    if (text[0] == '"' || text[0] == '\\')
        snprintf(out, LOG_ESCAPE_MAX, "\\%c", text[0]);
    else if (text[0] == '\n' || text[0] == '\t' || text[0] == '\r')
        snprintf(out, LOG_ESCAPE_MAX, "\\%c", text[0] == '\n' ? 'n' : text[0] == '\t' ? 't' : 'r');
    else if (utf8_is_control(text[0]))
        snprintf(out, LOG_ESCAPE_MAX, "\\u%04x", (unsigned char)text[0]);
    else
        snprintf(out, LOG_ESCAPE_MAX, "%.*s", (int)n, text);
    return n;
}

/* Messages quote what peers sent: nothing in one ends its quotation marks, or its line. */
static void write_line(const char *priority, enum log_level level, const char *module,
                       const char *text)
{
    char ts[2 * LOG_STAMP_MAX], line[LOG_LINE_MAX];
    size_t left_bytes = strlen(text);

    stamp(ts, sizeof ts);
    int head = snprintf(line, sizeof line, "%sts=%s level=%s module=%.*s msg=\"", priority, ts,
                        log_level_name(level), (int)LOG_MODULE_NAME_MAX, module);
    size_t len = head < 0 ? 0 : (size_t)head;
    while (left_bytes > 0 && len < sizeof line - LOG_ESCAPE_MAX - sizeof "\"\n") {
        char shown[LOG_ESCAPE_MAX];
        size_t used = escape(text, left_bytes, shown);
        text += used;
        left_bytes -= used;
        memcpy(line + len, shown, strlen(shown));
        len += strlen(shown);
    }
    memcpy(line + len, "\"\n", 2);
    len += 2;
    /* One write for a line: lines of several threads don't mix. A lost line is nobody's error. */
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written;
}

void log_to_stderr(void *arg, enum log_level level, const char *module, const char *text)
{
    (void)arg;
    write_line("", level, module, text);
}

void log_to_journal(void *arg, enum log_level level, const char *module, const char *text)
{
    /* syslog(3)'s: error, warning, informational, debug. */
    static const char *const priorities[] = {
        [LOG_ERROR] = "<3>", [LOG_WARN] = "<4>", [LOG_INFO] = "<6>", [LOG_DEBUG] = "<7>"};

    (void)arg;
    write_line(priorities[level], level, module, text);
}
