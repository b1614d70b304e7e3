/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cenote/status.h>

#include "transport/shm/process.h"

static pid_t child;
static struct process_name name;

static void begin(void)
{
    child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    int pidfd = process_open(child);
    cr_assert(pidfd >= 0);
    cr_assert_eq(process_name(pidfd, child, &name), CENOTE_OK);
    close(pidfd);
}

static void end(void)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

TestSuite(process, .init = begin, .fini = end);

Test(process, look__lives_until_it_is_dead)
{
    int pidfd = -1;
    cr_assert_eq(process_look(&name, &pidfd), PROCESS_LIVES);
    cr_assert(pidfd >= 0);
    close(pidfd);
    kill(child, SIGSTOP);
    cr_assert_eq(process_look(&name, &pidfd), PROCESS_LIVES);
    close(pidfd);
    kill(child, SIGKILL);
    siginfo_t info;
    cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    cr_assert_eq(process_look(&name, &pidfd), PROCESS_DEAD, "nobody has waited for it yet");
    waitpid(child, NULL, 0);
    cr_assert_eq(process_look(&name, &pidfd), PROCESS_DEAD);
}

Test(process, look__another_process_with_its_id)
{
    int pidfd = -1;
    name.start--;
    cr_assert_eq(process_look(&name, &pidfd), PROCESS_DEAD);
    cr_assert_eq(pidfd, -1);
}

Test(process, look__from_another_name_space)
{
    int pidfd = -1;
    name.name_space++;
    cr_assert_eq(process_look(&name, &pidfd), PROCESS_UNKNOWN);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    cr_assert_eq(process_look(&name, &pidfd), PROCESS_UNKNOWN);
}

/* As few as there may be: what is lacking here says nothing about the other one. */
Test(process, look__without_descriptors)
{
    int pidfd = -1;
    struct rlimit before;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    enum process_fate fate = PROCESS_UNSEEN;
    rlim_t count = 3; /* of them, that is enough at last */
    for (; fate != PROCESS_LIVES && count < before.rlim_cur; count++) {
        struct rlimit few = {.rlim_cur = count, .rlim_max = before.rlim_max};
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
        fate = process_look(&name, &pidfd);
        cr_assert(fate == PROCESS_UNSEEN || fate == PROCESS_LIVES, "%d, with %d", (int)fate,
                  (int)count);
    }
    cr_assert_eq(fate, PROCESS_LIVES);
    cr_assert(count > 4, "it was never without");
    close(pidfd);
    setrlimit(RLIMIT_NOFILE, &before);
}
