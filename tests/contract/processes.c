/* SPDX-License-Identifier: Apache-2.0 */
/* Contract cases: a process dies at the worst moment. */
#include "tests/contract/processes.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/contract/cases.h"
#include "transport/base/clock.h"

#define WRITER_BYTES  (UINT64_C(1) << 20)
#define WRITER_OFFSET (UINT64_C(8) << 20)
#define SOON_MS       20000u
#define LINGER_MS     150u

extern char **environ;

/* ---- in the child ---------------------------------------------------------------------------- */

static int node_main(const char *transport)
{
    static struct rig r;
    char line[16];
    rig_start(&r, transport);
    printf("%s\n", rig_endpoint(&r));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL)
        ;
    rig_stop(&r);
    return 0;
}

static bool writer_forgets; /* loses its descriptors half-way */

static void tell_and_wait(struct xcopy_req *req)
{
    char line[16];
    if (writer_forgets)
        CHECK(close_range(3, ~0u, 0) == 0);
    printf("half\n");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        exit(0);
    rig_seal(req->owner);
}

/* TRANSPORT --writer ENDPOINT PUT_ID keep|forget */
static int writer_main(const char *transport, char **arg)
{
    static struct rig r;
    static struct rig_value v;
    char line[16];
    hash_init();
    rig_point_at(&r, transport, arg[0]);
    writer_forgets = strcmp(arg[2], "forget") == 0;
    struct xcopy_channel *c = rig_connect(&r, 1);
    rig_value_make(&v, 1, strtoull(arg[1], NULL, 10), WRITER_OFFSET, WRITER_BYTES);
    struct cenote_buffer whole = {v.data, v.len_bytes};
    struct xcopy_req req = rig_write_req(&v, &whole, 1);
    req.seal_it = tell_and_wait;
    int status = rig_run(c, &req);
    /* Without descriptors it would hear nothing of the node's end. */
    CHECK(c->transport->alive(c) == !writer_forgets);
    printf("status %d\n", status);
    fflush(stdout);
    (void)!fgets(line, sizeof line, stdin);
    rig_value_free(&v);
    rig_disconnect(c);
    rig_leave(&r);
    return 0;
}

/* TRANSPORT --holder ENDPOINT PUT_ID: loses its descriptors while it looks. */
static int holder_main(const char *transport, char **arg)
{
    static struct rig r;
    char line[16];
    hash_init();
    rig_point_at(&r, transport, arg[0]);
    struct xcopy_channel *c = rig_connect(&r, 1);
    struct xcopy_hold h = {.gva = rig_gva(WRITER_OFFSET),
                           .payload_len = WRITER_BYTES,
                           .put_id = strtoull(arg[1], NULL, 10)};
    CHECK_STATUS(xcopy_hold(c, &h), CENOTE_OK);
    CHECK(close_range(3, ~0u, 0) == 0);
    printf("held\n");
    fflush(stdout);
    (void)!fgets(line, sizeof line, stdin);
    return 0;
}

int processes_main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[2], "--node") == 0)
        return node_main(argv[1]);
    if (argc == 6 && strcmp(argv[2], "--writer") == 0)
        return writer_main(argv[1], argv + 3);
    if (argc == 5 && strcmp(argv[2], "--holder") == 0)
        return holder_main(argv[1], argv + 3);
    return -1;
}

/* ---- in the parent --------------------------------------------------------------------------- */

struct child {
    pid_t pid;
    FILE *in, *out; /* its standard input and output */
};

static void child_start(struct child *c, char *const argv[])
{
    int in[2], out[2];
    posix_spawn_file_actions_t actions;
    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    CHECK(posix_spawn(&c->pid, "/proc/self/exe", &actions, NULL, argv, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    c->in = fdopen(in[1], "w");
    c->out = fdopen(out[0], "r");
    CHECK(c->in != NULL && c->out != NULL);
}

static void child_read(struct child *c, char *line, size_t size)
{
    CHECK(fgets(line, (int)size, c->out) != NULL);
    line[strcspn(line, "\n")] = '\0';
}

static void child_write(struct child *c)
{
    fputs("go\n", c->in);
    fflush(c->in);
}

static void child_end(struct child *c)
{
    int status;
    fclose(c->in);
    CHECK(waitpid(c->pid, &status, 0) == c->pid);
    fclose(c->out);
}

static void start_writer(struct rig *r, struct child *c, uint64_t put_id, const char *mode)
{
    char endpoint[XCOPY_ENDPOINT_MAX], id[24], line[64], how[8];
    char transport[8], flag[] = "--writer", self[] = "writer";
    snprintf(endpoint, sizeof endpoint, "%s", rig_endpoint(r));
    snprintf(id, sizeof id, "%llu", (unsigned long long)put_id);
    snprintf(how, sizeof how, "%s", mode);
    snprintf(transport, sizeof transport, "%s", r->transport->name);
    char *argv[] = {self, transport, flag, endpoint, id, how, NULL};
    child_start(c, argv);
    child_read(c, line, sizeof line);
    CHECK(strcmp(line, "half") == 0);
}

static void expect_rights_of_next(struct rig *r)
{
    struct rig_value next;
    struct xcopy_channel *c = rig_connect(r, 2);
    rig_value_make(&next, 2, rig_next_put(), WRITER_OFFSET, WRITER_BYTES);
    rig_put(c, &next);
    CHECK(rig_holds(r, &next));
    rig_value_free(&next);
    rig_disconnect(c);
}

/* Over shared memory a fence ends by the proof of death, and by nothing less. */
void case_writer_killed(struct rig *r)
{
    struct child c;
    struct rig_fence f;
    uint64_t put_id = rig_next_put();
    bool mapped = r->peer.shm[0] != '\0';
    if (r->peer.loop != NULL || rig_needs_processes(r))
        return;
    start_writer(r, &c, put_id, "keep");
    rig_fence_begin(r, &f, 1, put_id);
    CHECK(rig_fence_ended(&f, mapped ? LINGER_MS : SOON_MS) == !mapped);
    CHECK(kill(c.pid, SIGSTOP) == 0);
    CHECK(rig_fence_ended(&f, mapped ? LINGER_MS : SOON_MS) == !mapped);
    CHECK(kill(c.pid, SIGKILL) == 0);
    CHECK(rig_fence_ended(&f, SOON_MS)); /* before anybody has waited for the process */
    child_end(&c);
    expect_rights_of_next(r);
    rig_fence_free(&f);
}

/* A socket that hung up proves nothing: its process copies on. */
void case_writer_forgets(struct rig *r)
{
    struct child c;
    struct rig_fence f, g;
    char line[64];
    uint64_t put_id = rig_next_put();
    if (r->peer.shm[0] == '\0')
        return;
    start_writer(r, &c, put_id, "forget");
    usleep(1000 * LINGER_MS); /* the node sees the end of the connection */
    rig_fence_begin(r, &f, 1, put_id);
    CHECK(!rig_fence_ended(&f, LINGER_MS));
    child_write(&c);
    child_read(&c, line, sizeof line);
    CHECK(strcmp(line, "status 0") == 0);
    CHECK(rig_fence_ended(&f, SOON_MS)); /* it has left its slot */
    rig_fence_begin(r, &g, 1, put_id + 1);
    CHECK(rig_fence_ended(&g, SOON_MS)); /* it is still there, and in no slot */
    child_end(&c);
    expect_rights_of_next(r);
    rig_fence_free(&f);
    rig_fence_free(&g);
}

static void start_holder(struct rig *r, struct child *c, uint64_t put_id)
{
    char endpoint[XCOPY_ENDPOINT_MAX], id[24], line[64], transport[8];
    char flag[] = "--holder", self[] = "holder";
    snprintf(endpoint, sizeof endpoint, "%s", r->peer.shm);
    snprintf(id, sizeof id, "%llu", (unsigned long long)put_id);
    snprintf(transport, sizeof transport, "%s", r->transport->name);
    char *argv[] = {self, transport, flag, endpoint, id, NULL};
    child_start(c, argv);
    child_read(c, line, sizeof line);
    CHECK(strcmp(line, "held") == 0);
}

/* Neither a socket that hung up nor a process that stands still ends a hold; its death does. */
void case_holder_killed(struct rig *r)
{
    struct child c;
    struct rig_value v;
    if (r->peer.shm[0] == '\0')
        return;
    rig_value_make(&v, 1, rig_next_put(), WRITER_OFFSET, WRITER_BYTES);
    rig_plant(r, &v);
    start_holder(r, &c, v.put_id);
    rig_void(r, &v);
    usleep(1000 * LINGER_MS); /* the node sees the end of the connection */
    CHECK(rig_held(r, v.offset));
    CHECK(kill(c.pid, SIGSTOP) == 0);
    CHECK(rig_held(r, v.offset));
    CHECK(kill(c.pid, SIGKILL) == 0);
    for (uint64_t end_ms = clock_now_ms() + SOON_MS; rig_held(r, v.offset);)
        CHECK(clock_now_ms() < end_ms);
    child_end(&c);
    rig_value_free(&v);
}

void case_node_killed(struct rig *r)
{
    static struct rig remote;
    struct child c;
    struct rig_value v;
    char endpoint[XCOPY_ENDPOINT_MAX], transport[8], flag[] = "--node", self[] = "node";
    char *argv[] = {self, transport, flag, NULL};
    if (r->peer.loop != NULL || rig_needs_processes(r))
        return;
    snprintf(transport, sizeof transport, "%s", r->transport->name);
    child_start(&c, argv);
    child_read(&c, endpoint, sizeof endpoint);
    rig_point_at(&remote, transport, endpoint);
    struct xcopy_channel *ch = rig_connect(&remote, 1);
    rig_value_make(&v, 1, rig_next_put(), 4096, 100000);
    rig_put(ch, &v);
    CHECK_STATUS(rig_get(ch, &v, v.data), CENOTE_OK);
    CHECK(ch->transport->alive(ch));
    CHECK(kill(c.pid, SIGKILL) == 0);
    child_end(&c);
    uint64_t deadline_ms = clock_now_ms() + SOON_MS;
    int status = CENOTE_OK;
    while (status == CENOTE_OK && clock_now_ms() < deadline_ms)
        status = rig_get(ch, &v, v.data);
    CHECK_STATUS(status, CENOTE_NODE_DOWN);
    CHECK(!ch->transport->alive(ch));
    if (remote.peer.shm[0] != '\0')
        unlink(remote.peer.shm + strlen("unix:"));
    rig_value_free(&v);
    rig_disconnect(ch);
    rig_leave(&remote);
}
