/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/log.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct heard {
    int lines;
    enum log_level level;
    char module[32];
    char text[2048];
};

static void hear(void *arg, enum log_level level, const char *module, const char *text)
{
    struct heard *h = arg;
    h->lines++;
    h->level = level;
    snprintf(h->module, sizeof h->module, "%s", module);
    snprintf(h->text, sizeof h->text, "%s", text);
    errno = ENOTTY;
}

Test(log, write__reaches_the_sink_and_keeps_errno)
{
    struct heard h = {0};
    log_set_sink(hear, &h);
    errno = ENOENT;
    log_warn("rpc", "open %s: %m", "x");
    cr_assert_eq(errno, ENOENT);
    cr_assert_eq(h.lines, 1);
    cr_assert_eq(h.level, LOG_WARN);
    cr_assert_str_eq(h.module, "rpc");
    cr_assert_str_eq(h.text, "open x: No such file or directory");
}

Test(log, level__filters)
{
    struct heard h = {0};
    log_set_sink(hear, &h);
    log_debug("m", "not at the level from the start");
    cr_assert_eq(h.lines, 0);
    log_set_level(LOG_DEBUG);
    log_debug("m", "now");
    cr_assert_eq(h.lines, 1);
    log_set_level(LOG_ERROR);
    log_warn("m", "no more");
    cr_assert_eq(h.lines, 1);
}

Test(log, module_level__is_its_own)
{
    struct heard h = {0};
    log_set_sink(hear, &h);
    cr_assert(log_set_module_level("rpc", LOG_DEBUG));
    cr_assert_eq(log_level_now(), LOG_DEBUG);
    log_debug("meta", "not its own");
    cr_assert_eq(h.lines, 0);
    log_debug("rpc", "its own");
    cr_assert_eq(h.lines, 1);
    cr_assert(log_set_module_level("meta", LOG_ERROR));
    log_warn("meta", "less than the others");
    cr_assert_eq(h.lines, 1);
    log_set_level(LOG_DEBUG);
    log_debug("node", "as all");
    cr_assert_eq(h.lines, 2);
    log_warn("meta", "still");
    cr_assert_eq(h.lines, 2);
    log_clear_module_levels();
    log_set_level(LOG_WARN);
    cr_assert_eq(log_level_now(), LOG_WARN);
    log_warn("meta", "as all again");
    log_info("rpc", "as all again");
    cr_assert_eq(h.lines, 3);
}

Test(log, module_level__limits)
{
    char name[LOG_MODULE_NAME_MAX + 1];
    memset(name, 'm', LOG_MODULE_NAME_MAX);
    name[LOG_MODULE_NAME_MAX] = '\0';
    cr_assert(!log_set_module_level(name, LOG_DEBUG));
    cr_assert(!log_set_module_level("", LOG_DEBUG));
    cr_assert_eq(log_level_now(), LOG_INFO);
    for (unsigned i = 0; i < LOG_MODULES_MAX; i++) {
        snprintf(name, sizeof name, "m%u", i);
        cr_assert(log_set_module_level(name, LOG_WARN), "%s", name);
    }
    cr_assert(!log_set_module_level("one_more", LOG_DEBUG));
    log_clear_module_levels();
    cr_assert(!log_set_module_level("one_more", LOG_DEBUG));
    cr_assert(log_set_module_level("m7", LOG_DEBUG));
}

Test(log, level__names)
{
    enum log_level level = LOG_INFO;
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        cr_assert(log_level_parse(log_level_name((enum log_level)i), &level));
        cr_assert_eq((int)level, i);
    }
    cr_assert(!log_level_parse("Warn", &level) && !log_level_parse("", &level));
    cr_assert_eq(level, LOG_DEBUG);
}

Test(log, write__without_sink_is_silent)
{
    log_set_sink(NULL, NULL);
    log_error("m", "nobody hears %d", 1);
}

Test(log, write__long_text_is_cut)
{
    struct heard h = {0};
    char text[4096];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_set_sink(hear, &h);
    log_error("m", "%s", text);
    cr_assert_eq(strlen(h.text), 1023);
    cr_assert_str_eq(h.text + 1018, "xx...");
}

/* The value of a line's next key, which must be this one; *line moves behind it. Escapes are
 * resolved as in JSON, of which only those are known that a line may have. */
static void take_pair(const char **line, const char *key, char *value)
{
    size_t len = strlen(key);
    cr_assert(strncmp(*line, key, len) == 0 && (*line)[len] == '=', "no %s= in %s", key, *line);
    const char *c = *line + len + 1;
    if (*c != '"') {
        while (*c > ' ' && *c != '"' && *c != '=')
            *value++ = *c++;
    } else {
        for (c++; *c != '"'; c++) {
            unsigned code;
            cr_assert((unsigned char)*c >= ' ' && *c != 0x7f, "unescaped in %s", *line);
            if (*c != '\\') {
                *value++ = *c;
            } else if (*++c == 'u') {
                cr_assert_eq(sscanf(c, "u%4x", &code), 1);
                *value++ = (char)code;
                c += 4;
            } else {
                cr_assert(strchr("\"\\ntr", *c) != NULL && *c != '\0', "\\%c", *c);
                *value++ = *c == 'n' ? '\n' : *c == 't' ? '\t' : *c == 'r' ? '\r' : *c;
            }
        }
        c++;
    }
    *value = '\0';
    cr_assert(*c == ' ' || *c == '\n', "what follows %s= is %s", key, c);
    *line = c + 1;
}

/* One line on standard error, which says text in the end; out: as it is there. */
static void expect_line(const char *text, char *out, size_t size)
{
    char value[8192];
    const char *at = out;
    fflush(stderr);
    cr_assert_not_null(fgets(out, (int)size, cr_get_redirected_stderr()));
    take_pair(&at, "ts", value);
    cr_assert(strlen(value) == 24 && value[10] == 'T' && value[19] == '.' && value[23] == 'Z', "%s",
              value);
    take_pair(&at, "level", value);
    cr_assert_str_eq(value, "warn");
    take_pair(&at, "module", value);
    cr_assert_str_eq(value, "rpc");
    take_pair(&at, "msg", value);
    cr_assert_str_eq(value, text);
    cr_assert_eq(*at, '\0', "behind the message: %s", at);
}

Test(log, stderr__is_logfmt, .init = cr_redirect_stderr)
{
    char line[8192];
    log_set_sink(log_to_stderr, NULL);
    log_warn("rpc", "peer %d left", 7);
    expect_line("peer 7 left", line, sizeof line);
    cr_assert_not_null(strstr(line, "Z level=warn module=rpc msg=\"peer 7 left\"\n"));
    log_warn("rpc", "%s", "");
    expect_line("", line, sizeof line);
}

Test(log, stderr__hostile_text_stays_in_its_quotation_marks, .init = cr_redirect_stderr)
{
    static const char hostile[] = "a\" level=error\nts=x\t\r\\ forged\x1b[0m\x7f";
    char line[8192];
    log_set_sink(log_to_stderr, NULL);
    log_warn("rpc", "%s", hostile);
    expect_line(hostile, line, sizeof line);
    cr_assert_not_null(strstr(line, "msg=\"a\\\" level=error\\nts=x\\t\\r\\\\ forged\\u001b[0m"));
    log_warn("rpc", "%s", "h\xc3\xb6hle \xff\xc3.");
    expect_line("h\xc3\xb6hle \\xff\\xc3.", line, sizeof line);
}

Test(log, stderr__longest_line, .init = cr_redirect_stderr)
{
    char text[1024], line[8192];
    memset(text, '\x01', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_set_sink(log_to_stderr, NULL);
    log_warn("rpc", "%s", text);
    expect_line(text, line, sizeof line);
}

Test(log, journal__priority, .init = cr_redirect_stderr)
{
    char line[256] = "";
    log_set_sink(log_to_journal, NULL);
    log_set_level(LOG_DEBUG);
    log_error("rpc", "one");
    log_debug("rpc", "two");
    fflush(stderr);
    FILE *f = cr_get_redirected_stderr();
    cr_assert_not_null(fgets(line, sizeof line, f));
    cr_assert_eq(strncmp(line, "<3>ts=", 6), 0);
    cr_assert_not_null(strstr(line, "Z level=error module=rpc msg=\"one\"\n"));
    cr_assert_not_null(fgets(line, sizeof line, f));
    cr_assert_eq(strncmp(line, "<7>ts=", 6), 0);
}
