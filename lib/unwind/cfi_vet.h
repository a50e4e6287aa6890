/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_CFI_VET_H
#define UNWIND_CFI_VET_H

#include "unwind/cfi_reader.h"

/* What a CIE's program leaves for the FDE's to begin with. */
struct cfi_vet {
    unsigned pointer_encoding; /* of DW_CFA_set_loc */
    bool cfa_defined;
};

/* Steps through the instructions up to r->end. False where one is unknown or unsafe. */
bool cfi_vet_program(struct cfi_reader *r, struct cfi_vet *state);

#endif
