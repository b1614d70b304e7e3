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

Test(log, write__hostile_text_stays_one_line)
{
    struct heard h = {0};
    log_set_sink(hear, &h);
    log_error("m", "key %s", "a\nlevel=error forged\x1b[0m\x7f");
    cr_assert_str_eq(h.text, "key a?level=error forged?[0m?");
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

Test(log, stderr__form, .init = cr_redirect_stderr)
{
    char line[256] = "";
    log_set_sink(log_to_stderr, NULL);
    log_warn("rpc", "peer %d left", 7);
    fflush(stderr);
    FILE *f = cr_get_redirected_stderr();
    /* 2026-01-31T12:00:00.000Z */
    cr_assert_not_null(fgets(line, sizeof line, f));
    cr_assert_eq(line[10], 'T');
    cr_assert_eq(line[19], '.');
    cr_assert_str_eq(line + 23, "Z level=warn module=rpc peer 7 left\n");
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
    cr_assert_eq(strncmp(line, "<3>2", 4), 0);
    cr_assert_str_eq(line + 26, "Z level=error module=rpc one\n");
    cr_assert_not_null(fgets(line, sizeof line, f));
    cr_assert_eq(strncmp(line, "<7>2", 4), 0);
}
