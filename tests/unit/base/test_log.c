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
