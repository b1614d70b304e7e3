/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Naming a process so that another one can prove its death later, even one that starts after it.
 *
 * A process id alone is given again. With the time when the process started it names one process
 * for ever, as long as the kernel runs, among those that see the same ids: the pid namespace is
 * part of the name.
 */
#ifndef CENOTE_TRANSPORT_SHM_PROCESS_H
#define CENOTE_TRANSPORT_SHM_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_name {
    uint64_t pid;
    uint64_t start;      /* clock ticks since the kernel's start */
    uint64_t name_space; /* of pids: the inode that stands for it */
};

enum process_fate {
    PROCESS_DEAD,    /* proven */
    PROCESS_LIVES,   /* a pidfd will prove its death */
    PROCESS_UNKNOWN, /* can't be looked at from here */
    PROCESS_UNSEEN   /* couldn't be looked at now, see process_lacks() */
};

/* A pidfd, or -1. */
int process_open(pid_t pid);
/* Names the process of a pidfd. CENOTE_OK, CENOTE_NOT_SUPPORTED. */
int process_name(int pidfd, pid_t pid, struct process_name *out);
/* Is it a want of descriptors or memory in this process or machine? That says nothing about what
 * was looked at, and may be over in a moment. */
bool process_lacks(int error);
/* *pidfd is set with PROCESS_LIVES only. */
enum process_fate process_look(const struct process_name *name, int *pidfd);

#endif
