/* SPDX-License-Identifier: Apache-2.0 */
/* What crash_at.c and who preloads it share. */
#ifndef RIPSTOP_E2E_ATTACKS_CRASH_AT_H_
#define RIPSTOP_E2E_ATTACKS_CRASH_AT_H_

#include <stdint.h>

struct crash_at {
  uint64_t count; /* writes so far */
  uint64_t at;    /* the one to die before; 0: none */
};

#endif
