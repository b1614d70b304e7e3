/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/config.h"

#include <cenote/status.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct program {
    char *dir;
    char *config;
    struct config_list listen;
    bool insecure, ask;
    uint64_t dram_bytes, lease_ms, threads;
    int level;
};

static const char *const levels[] = {"error", "info", NULL};
static const struct config_option options[] = {
    {"t-dir", CONFIG_STRING, offsetof(struct program, dir), "/d", "DIR", "where", NULL, 0, 0},
    {"config", CONFIG_STRING, offsetof(struct program, config), NULL, "FILE", "file", NULL, 0, 0},
    {"t-listen", CONFIG_LIST, offsetof(struct program, listen), "a:1", "E", "on", NULL, 0, 0},
    {"t-insecure", CONFIG_BOOL, offsetof(struct program, insecure), NULL, NULL, "no", NULL, 0, 0},
    {"t-dram", CONFIG_SIZE, offsetof(struct program, dram_bytes), "1GiB", "SIZE", "memory", NULL,
     4096, 1ull << 50},
    {"t-lease", CONFIG_MS, offsetof(struct program, lease_ms), "10s", "MS", "lease", NULL, 0, 0},
    {"t-threads", CONFIG_COUNT, offsetof(struct program, threads), NULL, "N", "n", NULL, 0, 0},
    {"t-ask", CONFIG_ACTION, offsetof(struct program, ask), NULL, NULL, "ask", NULL, 0, 0},
    {"t-level", CONFIG_CHOICE, offsetof(struct program, level), "info", NULL, "log", levels, 0, 0},
};
static const char *const reloaded[] = {"t-lease", NULL};
static const struct config_spec spec = {"prog", "prog [OPTION]... [FILE]", options,
                                        sizeof options / sizeof *options, reloaded};

static char error[512];
static struct program p;
static int positionals;

static int parse(int argc, const char **argv)
{
    memset(&p, 0, sizeof p);
    return config_parse(&spec, argc, (char **)(void *)argv, &p, &positionals, error, sizeof error);
}
#define PARSE(...)                                                                                 \
    parse((int)(sizeof((const char *[]){"prog", __VA_ARGS__}) / sizeof(char *)),                   \
          (const char *[]){"prog", __VA_ARGS__})

static void write_file(char path[32], const char *text)
{
    strcpy(path, "/tmp/test_config.XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

Test(config, parse__defaults)
{
    cr_assert_eq(parse(1, (const char *[]){"prog"}), CENOTE_OK);
    cr_assert_str_eq(p.dir, "/d");
    cr_assert_eq(p.dram_bytes, 1ull << 30);
    cr_assert_eq(p.lease_ms, 10000u);
    cr_assert_eq(p.listen.count, 1u);
    cr_assert_eq(p.level, 1);
    cr_assert_eq(positionals, 0);
    config_free(&spec, &p);
    cr_assert_null(p.dir);
}

Test(config, parse__command_line_in_any_order)
{
    const char *argv[] = {"prog", "x", "--t-dir=/e",         "--t-insecure", "--t-listen",
                          "b:2",  "y", "--t-listen=c:3,d:4", "--",           "--z"};
    cr_assert_eq(parse(10, argv), CENOTE_OK, "%s", error);
    cr_assert_str_eq(p.dir, "/e");
    cr_assert(p.insecure);
    cr_assert_eq(p.listen.count, 3u);
    cr_assert_str_eq(p.listen.items[2], "d:4");
    cr_assert_eq(positionals, 3);
    cr_assert_str_eq(argv[1], "x");
    cr_assert_str_eq(argv[3], "--z");
    config_free(&spec, &p);
}

Test(config, parse__precedence)
{
    char path[32];
    write_file(path, "# comment\n\n t-dir = /file \nt-lease=3s\nt-level = error\nt-listen=f:1\n");
    setenv("CENOTE_T_LEASE", "4s", 1);
    setenv("CENOTE_T_LEVEL", "info", 1);
    cr_assert_eq(PARSE("--t-level", "error", "--config", path), CENOTE_OK, "%s", error);
    cr_assert_str_eq(p.dir, "/file");
    cr_assert_eq(p.lease_ms, 4000u);
    cr_assert_eq(p.level, 0);
    cr_assert_eq(p.listen.count, 1u);
    cr_assert_str_eq(p.listen.items[0], "f:1");
    config_free(&spec, &p);
    unlink(path);
}

Test(config, parse__errors_say_what_and_where)
{
    char path[32];
    cr_assert_eq(PARSE("--nope"), CENOTE_INVALID);
    cr_assert(strstr(error, "--nope"));
    cr_assert_eq(PARSE("--t-dir"), CENOTE_INVALID);
    cr_assert(strstr(error, "needs a value"));
    cr_assert_eq(PARSE("--t-dram=12Q"), CENOTE_INVALID);
    cr_assert(strstr(error, "t-dram") && strstr(error, "12Q"));
    cr_assert_eq(PARSE("--t-dram=1"), CENOTE_INVALID);
    cr_assert(strstr(error, "out of range"));
    cr_assert_eq(PARSE("--t-level=loud"), CENOTE_INVALID);
    cr_assert_eq(PARSE("--config", "/nonexistent/file"), CENOTE_INVALID);
    write_file(path, "t-dir=/a\nwhat = 1\n");
    cr_assert_eq(PARSE("--config", path), CENOTE_INVALID);
    cr_assert(strstr(error, ":2:") && strstr(error, "what"), "%s", error);
    unlink(path);
}

/* Reads a file and says what is wrong with it. */
static const struct config_report *report_on(const char *text)
{
    static struct config_report report;
    char path[32], config[48];
    write_file(path, text);
    snprintf(config, sizeof config, "--config=%s", path);
    char *argv[] = {"prog", config};
    memset(&p, 0, sizeof p);
    int status = config_read(&spec, 2, argv, &p, &positionals, &report);
    cr_assert_eq(status == CENOTE_OK, report.faults == 0);
    unlink(path);
    return &report;
}

Test(config, read__says_all_faults)
{
    const struct config_report *r =
        report_on("t-dir = /a\nwhat = 1\nT_LEASE = 3s\nt-dir = /b\nt-dram = 1\nt-level = loud\n"
                  "t-ask = true\nconfig = x\nt-dir\n = 3\nt-listen = 'x'\n");
    const char *const reasons[] = {":2: no option is called 'what'\n",
                                   ":3: no option is called 'T_LEASE' (is t-lease meant?)\n",
                                   ":4: t-dir: stands in line 1 already\n",
                                   ":5: t-dram: '1' is out of range: from 4KiB to 1024TiB\n",
                                   ":6: t-level: 'loud' is not valid (error, info)\n",
                                   ":7: t-ask: stands on the command line only\n",
                                   ":8: config: stands on the command line only\n",
                                   ":9: 'name = value' is expected\n",
                                   ":10: 'name = value' is expected\n",
                                   ":11: t-listen: values stand there without quotes\n"};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        cr_assert(strstr(r->text, reasons[i]), "%s is not in %s", reasons[i], r->text);
    cr_assert_eq(r->faults, sizeof reasons / sizeof *reasons);
    cr_assert_str_eq(p.dir, "/a");
    cr_assert_eq(p.dram_bytes, 1ull << 30);
    config_free(&spec, &p);
}

Test(config, read__comments_and_lists)
{
    const struct config_report *r =
        report_on("\xef\xbb\xbft-dir = /a#b # c\r\n#t-dir = /z\nt-listen = a:1 ,b:2,, \n"
                  "t-listen=c:3\nt-lease = 5s\t# five");
    cr_assert_eq(r->faults, 0u, "%s", r->text);
    cr_assert_str_eq(p.dir, "/a#b");
    cr_assert_eq(p.lease_ms, 5000u);
    cr_assert_eq(p.listen.count, 3u);
    cr_assert_str_eq(p.listen.items[1], "b:2");
    cr_assert(config_was_said(r, "t-threads,t-dir") && !config_was_said(r, "t-threads,t-level"));
    config_free(&spec, &p);
}

Test(config, fault__names_what_was_said_last)
{
    struct config_report *r = (struct config_report *)(void *)report_on("t-lease=1s\n\nt-dir=/x\n");
    config_fault(r, "t-dir,t-lease,t-threads", "a %d", 1);
    config_fault(r, "t-threads", "b");
    config_fault(r, "", "c\n\x1b");
    cr_assert_eq(r->faults, 3u);
    cr_assert(strstr(r->text, ":3: t-dir: a 1\n--t-threads: b\nc??\n"), "%s", r->text);
    config_free(&spec, &p);
    r = (struct config_report *)(void *)report_on("t-lease=x\n");
    config_fault(r, "t-dir,t-lease", "what follows from a value that can't be read");
    cr_assert_eq(r->faults, 1u, "%s", r->text);
    config_free(&spec, &p);
}

Test(config, report__is_bounded)
{
    static char text[1 << 16];
    size_t at = 0;
    for (unsigned i = 0; i < 3000; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "n%u = 1\n", i);
    const struct config_report *r = report_on(text);
    cr_assert_eq(r->faults, 3000u);
    cr_assert(r->len_bytes < sizeof r->text && r->text[r->len_bytes - 1] == '\n');
    config_free(&spec, &p);
}

Test(config, value__text_equal_copy)
{
    static const char *const texts[] = {"/d",  "",  "a:1,b:2", "true", "1536MiB",
                                        "90s", "7", "false",   "error"};
    struct program other = {0};
    char text[CONFIG_VALUE_MAX];
    report_on("t-listen=a:1,b:2\nt-insecure=yes\nt-dram=1536M\nt-lease=90000\nt-threads=7\n"
              "t-level=error\n");
    config_free(&spec, &other);
    for (size_t i = 0; i < spec.count; i++) {
        const struct config_option *o = &spec.options[i];
        config_value_text(o, &p, text);
        if (i != 1)
            cr_assert_str_eq(text, texts[i]);
        cr_assert_eq(config_value_copy(o, &p, &other), CENOTE_OK);
        cr_assert(config_value_equal(o, &p, &other), "%s", o->name);
        cr_assert_eq(config_is_reloaded(&spec, o), strcmp(o->name, "t-lease") == 0);
    }
    other.listen.items[1][0] = 'x';
    other.lease_ms++;
    cr_assert(!config_value_equal(&options[2], &p, &other));
    cr_assert(!config_value_equal(&options[5], &p, &other));
    config_free(&spec, &p);
    config_free(&spec, &other);
}

Test(config, print__can_be_read_again)
{
    static char text[8192];
    const struct config_report *r = report_on("t-listen=a:1,b:2\nt-dram=3M\n");
    FILE *f = fmemopen(text, sizeof text - 1, "w");
    config_print(r, &p, f);
    fclose(f);
    config_free(&spec, &p);
    cr_assert(strstr(text, "#t-dir = /d\n") && strstr(text, "\nt-dram = 3MiB\n"), "%s", text);
    cr_assert(strstr(text, "# lease Read again at SIGHUP.\n#t-lease = 10s\n"), "%s", text);
    cr_assert(!strstr(text, "t-ask") && !strstr(text, "config"));
    r = report_on(text);
    cr_assert_eq(r->faults, 0u, "%s", r->text);
    cr_assert_eq(p.listen.count, 2u);
    cr_assert_eq(p.dram_bytes, 3ull << 20);
    config_free(&spec, &p);
}

Test(config, parse_size__texts)
{
    uint64_t v = 7;
    cr_assert(config_parse_size("0", &v) && v == 0);
    cr_assert(config_parse_size("64K", &v) && v == 65536);
    cr_assert(config_parse_size("16GiB", &v) && v == 16ull << 30);
    v = 7;
    const char *const bad[] = {"",         "-1", " 1", "K", "1.5G", "1 G", "18446744073709551616",
                               "17000000T"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!config_parse_size(bad[i], &v) && v == 7, "%s", bad[i]);
}

Test(config, parse_ms__texts)
{
    uint64_t v;
    cr_assert(config_parse_ms("250", &v) && v == 250);
    cr_assert(config_parse_ms("2m", &v) && v == 120000);
    cr_assert(config_parse_ms("2d", &v) && v == 172800000);
    cr_assert(!config_parse_ms("2w", &v));
    cr_assert(!config_parse_ms("213503982335d", &v));
}

Test(config, help__names_every_option)
{
    char text[4096] = "";
    FILE *f = fmemopen(text, sizeof text - 1, "w");
    config_help(&spec, f);
    fclose(f);
    for (size_t i = 0; i < spec.count; i++)
        cr_assert(strstr(text, options[i].name) && strstr(text, options[i].help));
    cr_assert(strstr(text, "(error, info) [info]"));
}
