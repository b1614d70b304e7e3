/* SPDX-License-Identifier: Apache-2.0 */
/* Other processes of the suite: this program again, as a node or as a writer. */
#ifndef CENOTE_TESTS_CONTRACT_PROCESSES_H
#define CENOTE_TESTS_CONTRACT_PROCESSES_H

/* What the program does when it is started as "TRANSPORT --node", "... --writer ..." or "...
 * --holder ...". Returns the exit status, or -1: this is none of them. */
int processes_main(int argc, char **argv);

#endif
