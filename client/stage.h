/* SPDX-License-Identifier: Apache-2.0 */
/* Which stage of its operation a machine's step is, for traces. */
#ifndef CENOTE_CLIENT_STAGE_H
#define CENOTE_CLIENT_STAGE_H

#include "client/machine.h"

/* Looks into the request: for those who trace only. */
enum tally_stage stage_of(const struct step *step);

#endif
