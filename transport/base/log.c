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

#define LOG_TEXT_MAX  1024 /* longer messages are cut, and end in dots */
#define LOG_STAMP_MAX 128

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

    if (the_sink == NULL || !is_wanted(level, module))
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

static void write_line(const char *priority, enum log_level level, const char *module,
                       const char *text)
{
    uint64_t wall_ms = clock_wall_ms();
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char stamp[LOG_STAMP_MAX];
    char line[LOG_TEXT_MAX + 2 * LOG_STAMP_MAX];

    if (gmtime_r(&seconds, &utc) == NULL ||
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc) == 0)
        stamp[0] = '\0';
    int len = snprintf(line, sizeof line, "%s%s.%03uZ level=%s module=%s %s\n", priority, stamp,
                       (unsigned)(wall_ms % 1000), log_level_name(level), module, text);
    size_t len_bytes = len < 0 ? 0 : (size_t)len;
    if (len_bytes >= sizeof line) {
        len_bytes = sizeof line - 1;
        line[len_bytes - 1] = '\n';
    }
    /* One write for a line: lines of several threads don't mix. A lost line is nobody's error. */
    ssize_t written = write(STDERR_FILENO, line, len_bytes);
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
