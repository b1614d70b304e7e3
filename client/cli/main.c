/* SPDX-License-Identifier: Apache-2.0 */
/* The tool "cenote": options, the table of commands, exit codes. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "transport/base/config.h"
#include "transport/base/log.h"

#define ERROR_MAX 256

static const char *const transports[] = {[CENOTE_TRANSPORT_AUTO] = "auto",
                                         [CENOTE_TRANSPORT_SHM] = "shm",
                                         [CENOTE_TRANSPORT_TCP] = "tcp",
                                         [CENOTE_TRANSPORT_RDMA] = "rdma",
                                         NULL};
static const char *const verifies[] = {
    [CENOTE_VERIFY_FULL] = "full", [CENOTE_VERIFY_SEAL] = "seal", NULL};

static const struct config_option options[] = {
    {"meta", CONFIG_STRING, offsetof(struct cli, meta), "127.0.0.1:7400", "ENDPOINT",
     "metadata service: host:port or unix:PATH", NULL, 0, 0},
    {"http", CONFIG_STRING, offsetof(struct cli, http), "127.0.0.1:7480", "ENDPOINT",
     "trace, log: where the daemon of this machine serves HTTP", NULL, 0, 0},
    {"namespace", CONFIG_STRING, offsetof(struct cli, name_space), "default", "NAME",
     "namespace of the keys", NULL, 0, 0},
    {"transport", CONFIG_CHOICE, offsetof(struct cli, transport), "auto", "NAME",
     "how bytes travel", transports, 0, 0},
    {"rdma", CONFIG_STRING, offsetof(struct cli, rdma), "auto", "TEXT",
     "RDMA devices and settings, as cenoted's --rdma; none: no RDMA", NULL, 0, 0},
    {"verify", CONFIG_CHOICE, offsetof(struct cli, verify), "full", "HOW",
     "what get checks: seal and all sums, or the seal", verifies, 0, 0},
    {"timeout", CONFIG_MS, offsetof(struct cli, timeout_ms), "10s", "TIME",
     "of one call, and of a copy without progress", NULL, 1, UINT32_MAX},
    {"replace", CONFIG_BOOL, offsetof(struct cli, replace), NULL, NULL,
     "put: take the place of an older value", NULL, 0, 0},
    {"replicas", CONFIG_COUNT, offsetof(struct cli, replicas), "1", "N",
     "put: copies of the value, on different nodes", NULL, 1, CENOTE_REPLICAS_MAX},
    {"ttl", CONFIG_STRING, offsetof(struct cli, ttl), NULL, "TIME",
     "put, ns: time to live of the value, or of values that don't say; 90s, 36h, 7d", NULL, 0, 0},
    {"pin", CONFIG_STRING, offsetof(struct cli, pin), NULL, "HOW",
     "put, pin: hard, soft, soft:TIME or none; pin without it: hard", NULL, 0, 0},
    {"group", CONFIG_STRING, offsetof(struct cli, group), NULL, "NAME",
     "put: evict the value together with the others of this group", NULL, 0, 0},
    {"prefix", CONFIG_STRING, offsetof(struct cli, prefix), NULL, "TEXT",
     "rm: all keys that begin with it", NULL, 0, 0},
    {"quota", CONFIG_STRING, offsetof(struct cli, quota), NULL, "SIZE",
     "ns: bytes that it may hold; 0: no quota", NULL, 0, 0},
    {"quota-objects", CONFIG_STRING, offsetof(struct cli, quota_objects), NULL, "N",
     "ns: values that it may hold; 0: no quota", NULL, 0, 0},
    {"pin-limit", CONFIG_STRING, offsetof(struct cli, pin_limit), NULL, "SIZE",
     "ns: bytes that may be pinned hard; 0: half of the quota, or of the pool", NULL, 0, 0},
    {"range", CONFIG_STRING, offsetof(struct cli, range), NULL, "FROM:LENGTH",
     "get: that many bytes from there on, not all of the value", NULL, 0, 0},
    {"repair", CONFIG_BOOL, offsetof(struct cli, repair), NULL, NULL,
     "fsck: mend what can be mended safely", NULL, 0, 0},
    {"interval", CONFIG_MS, offsetof(struct cli, interval_ms), "2s", "TIME",
     "top: between two looks", NULL, 100, UINT32_MAX},
    {"once", CONFIG_BOOL, offsetof(struct cli, once), NULL, NULL,
     "top: print once, after one interval", NULL, 0, 0},
    {"metrics", CONFIG_STRING, offsetof(struct cli, metrics), NULL, "FILE",
     "write what was counted, as Prometheus reads it; -: to stderr", NULL, 0, 0},
    {"trace", CONFIG_STRING, offsetof(struct cli, trace), NULL, "FILE",
     "write where the time went, as a Chrome trace", NULL, 0, 0},
    {"json", CONFIG_BOOL, offsetof(struct cli, json), NULL, NULL, "results as JSON", NULL, 0, 0},
    {"verbose", CONFIG_BOOL, offsetof(struct cli, verbose), NULL, NULL,
     "tell on stderr what happens", NULL, 0, 0},
};

static const struct config_spec spec = {.program = "cenote",
                                        .usage = "cenote [OPTION...] COMMAND [ARGUMENT...]",
                                        .options = options,
                                        .count = sizeof options / sizeof *options};

static const struct command {
    const char *name, *arguments, *help;
    int min, max; /* arguments */
    int (*run)(struct cli *cli);
    bool alone; /* without a client of the pool */
} commands[] = {
    {"put", "KEY [FILE|-]", "store a file, or standard input, under a key", 1, 2, cli_put, false},
    {"get", "KEY [FILE|-]", "fetch a value into a file, or to standard output", 1, 2, cli_get,
     false},
    {"rm", "KEY...", "remove keys, or with --prefix all that begin so", 0, CENOTE_BATCH_MAX,
     cli_remove, false},
    {"exists", "KEY...", "tell which keys are there", 1, CENOTE_BATCH_MAX, cli_exists, false},
    {"stat", "KEY", "tell what is known of a value", 1, 1, cli_stat, false},
    {"ls", "[PREFIX]", "list keys and the lengths of their values", 0, 1, cli_list, false},
    {"pin", "KEY...", "keep values from eviction", 1, CENOTE_BATCH_MAX, cli_pin, false},
    {"unpin", "KEY...", "... no longer", 1, CENOTE_BATCH_MAX, cli_unpin, false},
    {"ttl", "KEY [TIME]", "tell how a value is kept, or set its time to live; none: for ever", 1, 2,
     cli_ttl, false},
    {"ns", "PART [NAME]", "namespaces: create, ls, set, clear, rm", 1, 2, cli_namespaces, false},
    {"status", "", "show the pool: nodes, memory, quarantine", 0, 0, cli_status, false},
    {"top", "", "show what goes on in the pool, again and again; q ends it", 0, 0, cli_top, false},
    {"fsck", "", "check records, tables, directories and seals against each other", 0, 0, cli_fsck,
     false},
    {"trace", "WHAT",
     "of this machine's daemon: on, off, or dump: a Chrome trace to standard output", 1, 1,
     cli_trace, true},
    {"log", "LEVEL", "of this machine's daemon: error, warn, info, debug, or MODULE=LEVEL", 1, 1,
     cli_log, true},
};
#define COMMANDS (sizeof commands / sizeof *commands)

int cli_complain(const struct cli *cli, const char *subject, int status)
{
    fprintf(stderr, "cenote: %s: %s%s%s\n", cli->command, subject ? subject : "",
            subject ? ": " : "", cenote_status_text(status));
    return status == CENOTE_NOT_FOUND ? EXIT_MISSING : EXIT_FAILED;
}

int cli_complain_space(const struct cli *cli, const char *name, int status)
{
    if (status != CENOTE_NOT_FOUND && status != CENOTE_EXISTS)
        return cli_complain(cli, name, status);
    fprintf(stderr, "cenote: %s: %s: %s\n", cli->command, name,
            status == CENOTE_EXISTS ? "there is such a namespace already" : "no such namespace");
    return status == CENOTE_EXISTS ? EXIT_FAILED : EXIT_MISSING;
}

/* Nobody is told about a reader who went away: he knows. */
int cli_complain_errno(const struct cli *cli, const char *subject)
{
    if (errno != EPIPE)
        fprintf(stderr, "cenote: %s: %s: %s\n", cli->command, subject, strerror(errno));
    return EXIT_FAILED;
}

static void print_help(FILE *f)
{
    config_help(&spec, f);
    fprintf(f, "\n  --help, --version\n\nCommands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(f, "  %-6s %-14s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    fprintf(f,
            "\nExit status: 0 done, 1 error, 2 usage, 3 no such key, 4 fsck found differences.\n");
}

/* These two are no options with a value that the environment could give. */
static bool answers_itself(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--version") == 0) {
            printf("cenote %s\n", cenote_version());
            return true;
        }
        if (strcmp(argv[i], "--help") == 0) {
            print_help(stdout);
            return true;
        }
    }
    return false;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int flush(const struct cli *cli, int code)
{
    if (fflush(stdout) != 0 && code == EXIT_DONE)
        code = cli_complain_errno(cli, "standard output");
    return code;
}

static int run(struct cli *cli, const struct command *command)
{
    const struct cenote_options o = {.meta = cli->meta,
                                     .name_space = cli->name_space,
                                     .transport = (enum cenote_transport)cli->transport,
                                     .verify = (enum cenote_verify)cli->verify,
                                     .timeout_ms = (uint32_t)cli->timeout_ms,
                                     .replicas = (uint32_t)cli->replicas,
                                     .rdma = cli->rdma};
    int status = cenote_open(&o, &cli->client);

    if (status != CENOTE_OK)
        return cli_complain(cli, status == CENOTE_INVALID ? NULL : cli->meta, status);
    int code = cli_count(cli), counted;
    if (code == EXIT_DONE)
        code = command->run(cli);
    counted = cli_write_counted(cli);
    code = code == EXIT_DONE ? counted : code;
    cenote_close(&cli->client);
    return flush(cli, code);
}

/* A put maps its file. A file that somebody cuts off meanwhile can't be read to its end. */
static void on_bus_error(int signal_number)
{
    static const char message[] = "cenote: the file was cut off, or memory failed, during a copy\n";

    (void)signal_number;
    if (write(STDERR_FILENO, message, sizeof message - 1) < 0)
        _exit(EXIT_FAILED);
    _exit(EXIT_FAILED);
}

static void set_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, bus = {.sa_handler = on_bus_error};

    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL); /* EFBIG says it, and the unfinished file is removed */
    sigaction(SIGBUS, &bus, NULL);
}

static int usage(const char *what, const char *which)
{
    fprintf(stderr, "cenote: %s%s\nTry 'cenote --help'.\n", what, which);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    char error[ERROR_MAX];
    struct cli cli = {0};
    int positionals;
    int code;

    if (answers_itself(argc, argv))
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
    if (config_parse(&spec, argc, argv, &cli, &positionals, error, sizeof error) != CENOTE_OK)
        return usage(error, "");

    const struct command *command = positionals > 0 ? find_command(argv[1]) : NULL;
    cli.args = argv + 2;
    cli.arg_count = positionals - 1;
    if (positionals == 0) {
        print_help(stderr);
        code = EXIT_USAGE;
    } else if (!command) {
        code = usage("no such command: ", argv[1]);
    } else if (cli.arg_count < command->min || cli.arg_count > command->max) {
        code = usage("wrong number of arguments for ", command->name);
    } else {
        cli.command = command->name;
        set_signals();
        log_set_level(cli.verbose ? LOG_DEBUG : LOG_ERROR);
        log_set_sink(log_to_stderr, NULL);
        code = command->alone ? flush(&cli, command->run(&cli)) : run(&cli, command);
    }
    config_free(&spec, &cli);
    return code;
}
